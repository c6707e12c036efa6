/* Asking about network devices and setting them up: the ioctls that ifconfig makes (include/uapi/linux/sockios.h, if.h). */
#include "errno.h"
#include "fs.h"
#include "socket.h"

enum {
	FIONREAD = 0x541b, SIOCGIFNAME = 0x8910, SIOCGIFCONF = 0x8912, SIOCGIFFLAGS = 0x8913, SIOCSIFFLAGS = 0x8914,
	SIOCGIFADDR = 0x8915, SIOCSIFADDR = 0x8916, SIOCGIFBRDADDR = 0x8919, SIOCGIFNETMASK = 0x891b,
	SIOCSIFNETMASK = 0x891c, SIOCGIFMTU = 0x8921, SIOCGIFHWADDR = 0x8927, SIOCGIFINDEX = 0x8933,
};
enum { HARDWARE_ETHERNET = 1, HARDWARE_LOOPBACK = 772 };

struct ifreq {
	char name[16];
	union {
		struct sockaddr_in address;
		struct {
			u16 family;
			u8 mac[14];
		} hardware;
		u16 flags;
		u32 number;
		ulong largest[3]; /* struct ifmap is: two addresses and some bytes */
	};
};

struct ifconf {
	int size;
	struct ifreq *list;
};

static struct netdev *by_index(u32 index)
{
	struct netdev *dev = netdevs;

	while (dev && dev->index != index)
		dev = dev->next;
	return dev;
}

static struct sockaddr_in as_address(u32 address) { return (struct sockaddr_in){ .family = AF_INET, .address = to32(address) }; }

/* The devices that have an address; with no list, how large it would be. */
static long list(struct ifconf *user)
{
	struct ifconf c;
	int used = 0;

	if (copy_from_user(&c, user, sizeof(c)))
		return -EFAULT;
	for (struct netdev *dev = netdevs; dev; dev = dev->next) {
		struct ifreq r = { .address = as_address(dev->address) };
		strlcpy(r.name, dev->name, sizeof(r.name));
		if (!dev->address)
			continue;
		if (c.list && used + (int)sizeof(r) > c.size)
			break;
		if (c.list && copy_to_user((u8 *)c.list + used, &r, sizeof(r)))
			return -EFAULT;
		used += sizeof(r);
	}
	return put_user(used, &user->size);
}

/* Ones, then zeroes. */
static bool is_mask(u32 mask) { return !(~mask & (~mask + 1)); }

static u32 usual_mask(u32 address)
{
	return address >> 31 == 0 ? 0xff000000 : address >> 30 == 2 ? 0xffff0000 : 0xffffff00;
}

static long set(struct netdev *dev, ulong cmd, struct ifreq *r)
{
	u32 address = get32(r->address.address);

	if (cmd == SIOCSIFFLAGS) {
		netdev_set_up(dev, r->flags & IFF_UP);
		return 0;
	}
	if (r->address.family != AF_INET)
		return -EINVAL;
	if (cmd == SIOCSIFNETMASK) {
		if (!is_mask(address))
			return -EINVAL;
		netdev_configure(dev, dev->address, address);
		return 0;
	}
	if (address >> 28 >= 14 || (address && !(address >> 24)))
		return -EINVAL;
	netdev_configure(dev, address, address ? usual_mask(address) : 0);
	/* Whoever gives it an address wants to use it, says Linux. */
	if (address)
		netdev_set_up(dev, true);
	return 0;
}

static long get(struct netdev *dev, ulong cmd, struct ifreq *r)
{
	memset(r->largest, 0, sizeof(r->largest));
	switch (cmd) {
	case SIOCGIFFLAGS:
		r->flags = dev->flags;
		return 0;
	case SIOCGIFMTU:
		r->number = dev->mtu;
		return 0;
	case SIOCGIFINDEX:
		r->number = dev->index;
		return 0;
	case SIOCGIFHWADDR:
		r->hardware.family = dev->flags & IFF_LOOPBACK ? HARDWARE_LOOPBACK : HARDWARE_ETHERNET;
		memcpy(r->hardware.mac, dev->mac, MAC_SIZE);
		return 0;
	}
	if (!dev->address)
		return -EADDRNOTAVAIL;
	r->address = as_address(cmd == SIOCGIFADDR      ? dev->address
				: cmd == SIOCGIFNETMASK ? dev->mask
				: dev->flags & IFF_BROADCAST ? dev->address | ~dev->mask : 0);
	return 0;
}

long socket_ioctl(struct file *f, ulong cmd, ulong arg)
{
	struct ifreq r, *user = (void *)arg;
	struct netdev *dev;
	long err;

	if (cmd == FIONREAD) {
		struct netbuf *nb = sock_take(f->priv, true);
		int n = nb ? nb->len : 0;
		if (nb)
			netbuf_free(nb);
		return put_user(n, (int *)arg);
	}
	if (cmd == SIOCGIFCONF)
		return list((void *)arg);
	bool sets = cmd == SIOCSIFFLAGS || cmd == SIOCSIFADDR || cmd == SIOCSIFNETMASK;
	bool gets = cmd == SIOCGIFNAME || cmd == SIOCGIFFLAGS || cmd == SIOCGIFADDR || cmd == SIOCGIFBRDADDR ||
		    cmd == SIOCGIFNETMASK || cmd == SIOCGIFMTU || cmd == SIOCGIFHWADDR || cmd == SIOCGIFINDEX;
	if (!sets && !gets)
		return -ENOTTY;
	if (copy_from_user(&r, user, sizeof(r)))
		return -EFAULT;
	r.name[sizeof(r.name) - 1] = 0;
	dev = cmd == SIOCGIFNAME ? by_index(r.number) : netdev_find(r.name);
	if (!dev)
		return -ENODEV;
	if (sets)
		return set(dev, cmd, &r);
	if (cmd == SIOCGIFNAME)
		memcpy(r.name, dev->name, sizeof(r.name));
	else if ((err = get(dev, cmd, &r)))
		return err;
	return copy_to_user(user, &r, sizeof(r));
}
