/*
 * The network's start: the devices that there are, and what the kernel's command line says of them.
 * `ip=10.0.0.1/24` gives eth0 an address and sets it up, `gw=10.0.0.254` says who leads to the rest of the world.
 */
#include "net.h"
#include "printk.h"

void virtio_net_init(void);

static bool prefix_length(const char *s, u32 *mask)
{
	const char *end;
	ulong n = parse_number(s, &end);

	if (end == s || *end || n > 32)
		return false;
	*mask = n ? ~0u << (32 - n) : 0;
	return true;
}

void net_init(void)
{
	u32 address, mask = 0xffffff00;
	const char *end, *ip, *gateway;
	struct netdev *dev;

	netdev_add(&loopback);
	virtio_net_init();
	gateway = boot_param("gw=");
	if (gateway && (!parse_ipv4(gateway, &end, &ip_gateway) || *end))
		pr_warn("gw=%s: not an address\n", gateway);
	ip = boot_param("ip=");
	if (!ip)
		return;
	dev = netdev_find("eth0");
	if (!parse_ipv4(ip, &end, &address) || (*end && (*end != '/' || !prefix_length(end + 1, &mask)))) {
		pr_warn("ip=%s: not like 10.0.0.1/24\n", ip);
	} else if (!dev) {
		pr_warn("ip=%s: there is no network device\n", ip);
	} else {
		netdev_configure(dev, address, mask);
		netdev_set_up(dev, true);
	}
}
