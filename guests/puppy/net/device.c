/* Network devices: what they are called, which address they have, and where the frames go that they bring. */
#include "net.h"
#include "printk.h"

struct netdev *netdevs;
static const u8 everyone[MAC_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

struct netbuf *netbuf_copy(const struct netbuf *nb)
{
	struct netbuf *copy = netbuf_new(nb->len);

	if (copy) {
		memcpy(copy->data, nb->data, nb->len);
		copy->len = nb->len;
	}
	return copy;
}

void netdev_add(struct netdev *dev)
{
	struct netdev **p = &netdevs;
	u32 index = 1;

	for (; *p; p = &(*p)->next)
		index++;
	dev->index = index;
	*p = dev;
}

struct netdev *netdev_find(const char *name)
{
	for (struct netdev *dev = netdevs; dev; dev = dev->next)
		if (!strcmp(dev->name, name))
			return dev;
	return NULL;
}

struct netdev *netdev_owner(u32 address)
{
	for (struct netdev *dev = netdevs; dev; dev = dev->next)
		if (address && dev->address == address && (dev->flags & IFF_UP))
			return dev;
	return NULL;
}

bool netdev_broadcast(struct netdev *dev, u32 address)
{
	/* The last two prefixes are too long to have an address for everyone (RFC 3021). */
	bool subnet = dev->address && dev->mask < 0xfffffffe && address == (dev->address | ~dev->mask);
	return (dev->flags & IFF_BROADCAST) && (address == 0xffffffff || subnet);
}

/* Neighbours may have known us by another address, and we them. */
void netdev_configure(struct netdev *dev, u32 address, u32 mask)
{
	arp_forget(dev);
	WRITE_ONCE(dev->address, address);
	WRITE_ONCE(dev->mask, mask);
	if (dev->flags & IFF_UP)
		arp_announce(dev);
}

void netdev_set_up(struct netdev *dev, bool up)
{
	bool was = dev->flags & IFF_UP;

	if (up)
		dev->flags |= IFF_UP | IFF_RUNNING;
	else
		dev->flags &= ~(IFF_UP | IFF_RUNNING);
	if (up && !was)
		arp_announce(dev);
	if (!up)
		arp_forget(dev);
}

void net_receive(struct netdev *dev, struct netbuf *nb)
{
	struct ethernet *e = (void *)nb->data;

	count(&dev->received, 1);
	count(&dev->received_bytes, nb->len);
	/* The hub shows us what is meant for others too. */
	if (!(dev->flags & IFF_UP) || nb->len < sizeof(*e) ||
	    (memcmp(e->to, dev->mac, MAC_SIZE) && memcmp(e->to, everyone, MAC_SIZE))) {
		netbuf_free(nb);
		return;
	}
	netbuf_pull(nb, sizeof(*e));
	switch (get16(e->type)) {
	case ETHERTYPE_ARP:
		arp_input(dev, nb);
		return;
	case ETHERTYPE_IPV4:
		ip_input(dev, nb);
		return;
	}
	netbuf_free(nb);
}

/* ---- The loopback device: what is sent comes back at once, on the sender's stack. No deeper than twice, because the
 * answer to an echo or to an error is never answered. ---- */

static void loop(struct netdev *dev, struct netbuf *nb)
{
	count(&dev->received, 1);
	count(&dev->received_bytes, nb->len);
	ip_input(dev, nb);
}

struct netdev loopback = { .name = "lo", .flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK, .mtu = ETHERNET_MTU,
			   .address = 0x7f000001, .mask = 0xff000000, .transmit = loop };

bool parse_ipv4(const char *s, const char **end, u32 *address)
{
	u32 value = 0;

	for (int part = 0; part < 4; part++) {
		u32 n = 0, digits = 0;
		if (part && *s++ != '.')
			return false;
		for (; *s >= '0' && *s <= '9' && digits < 4; s++, digits++)
			n = n * 10 + (*s - '0');
		if (!digits || n > 255)
			return false;
		value = value << 8 | n;
	}
	*end = s;
	*address = value;
	return true;
}
