/* ifconfig: shows network devices and sets them up, by ioctls. */
#include "../lib/net.h"
#include "applets.h"

enum {
	SIOCGIFNAME = 0x8910, SIOCGIFFLAGS = 0x8913, SIOCSIFFLAGS = 0x8914, SIOCGIFADDR = 0x8915, SIOCSIFADDR = 0x8916,
	SIOCGIFBRDADDR = 0x8919, SIOCGIFNETMASK = 0x891b, SIOCSIFNETMASK = 0x891c, SIOCGIFMTU = 0x8921, SIOCGIFHWADDR = 0x8927,
};
#define HARDWARE_ETHERNET 1
#define UP 1

static const struct {
	u32 bit;
	const char *name;
} flag_names[] = {{1, "UP"}, {2, "BROADCAST"}, {8, "LOOPBACK"}, {0x40, "RUNNING"}};

struct request {
	char name[16];
	union {
		struct address address;
		struct {
			u16 family;
			u8 bytes[6];
		} hardware;
		u16 flags;
		u32 number;
		ulong largest[3];
	};
};

static int fd;

static int ask(struct request *r, const char *name, u32 what)
{
	size_t n = strlen(name);
	memset(r, 0, sizeof *r);
	memcpy(r->name, name, n < sizeof r->name ? n : sizeof r->name - 1);
	return ioctl(fd, what, r);
}

static int show(const char *name)
{
	struct request r;
	int error = ask(&r, name, SIOCGIFFLAGS), first = 1;

	if (error < 0)
		return complain(name, error);
	u32 flags = r.flags;
	printf("%s: flags=%u<", name, flags);
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (flags & flag_names[i].bit) {
			printf("%s%s", first ? "" : ",", flag_names[i].name);
			first = 0;
		}
	ask(&r, name, SIOCGIFMTU);
	printf(">  mtu %u\n", r.number);
	if (ask(&r, name, SIOCGIFADDR) >= 0) {
		printf("        inet %s", ip_text(r.address.ip));
		ask(&r, name, SIOCGIFNETMASK);
		printf("  netmask %s", ip_text(r.address.ip));
		ask(&r, name, SIOCGIFBRDADDR);
		if (get32(r.address.ip))
			printf("  broadcast %s", ip_text(r.address.ip));
		printf("\n");
	}
	ask(&r, name, SIOCGIFHWADDR);
	if (r.hardware.family == HARDWARE_ETHERNET) {
		printf("        ether ");
		for (int i = 0; i < 6; i++)
			printf("%s%02x", i ? ":" : "", r.hardware.bytes[i]);
		printf("\n");
	} else {
		printf("        loop\n");
	}
	return 0;
}

/* Numbers start at 1, without gaps. */
static int show_all(int down_too)
{
	struct request r;

	for (u32 i = 1;; i++) {
		memset(&r, 0, sizeof r);
		r.number = i;
		if (ioctl(fd, SIOCGIFNAME, &r) < 0)
			return 0;
		char name[sizeof r.name];
		memcpy(name, r.name, sizeof name);
		ask(&r, name, SIOCGIFFLAGS);
		if (!down_too && !(r.flags & UP))
			continue;
		if (i > 1)
			printf("\n");
		show(name);
	}
}

static int usage(void)
{
	dprintf(2, "usage: ifconfig [-a] [DEVICE [ADDRESS[/BITS]] [netmask MASK] [up|down]]\n");
	return 2;
}

static int set(const char *name, u32 what, be32 ip)
{
	struct request r;
	size_t n = strlen(name);

	memset(&r, 0, sizeof r);
	memcpy(r.name, name, n < sizeof r.name ? n : sizeof r.name - 1);
	r.address.family = AF_INET;
	r.address.ip = ip;
	int error = ioctl(fd, what, &r);
	return error < 0 ? complain(name, error) : 0;
}

static int set_up(const char *name, int up)
{
	struct request r;
	int error = ask(&r, name, SIOCGIFFLAGS);

	if (error >= 0) {
		r.flags = up ? r.flags | UP : r.flags & ~UP;
		error = ioctl(fd, SIOCSIFFLAGS, &r);
	}
	return error < 0 ? complain(name, error) : 0;
}

int ifconfig_main(int argc, char **argv)
{
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0)
		return complain("socket", fd);
	if (argc == 1)
		return show_all(0);
	if (!strcmp(argv[1], "-a"))
		return argc == 2 ? show_all(1) : usage();
	if (argv[1][0] == '-')
		return usage();
	if (argc == 2)
		return show(argv[1]);
	for (int i = 2; i < argc; i++) {
		be32 ip;
		long bits = -1;
		char *slash = strchr(argv[i], '/');
		if (slash) {
			*slash = 0;
			bits = number(slash + 1, -1);
			if (bits < 0 || bits > 32)
				return usage();
		}
		if (!strcmp(argv[i], "up") || !strcmp(argv[i], "down")) {
			if (set_up(argv[1], argv[i][0] == 'u'))
				return 1;
		} else if (!strcmp(argv[i], "netmask") && i + 1 < argc) {
			if (parse_ip(argv[++i], &ip))
				return usage();
			if (set(argv[1], SIOCSIFNETMASK, ip))
				return 1;
		} else if (!parse_ip(argv[i], &ip)) {
			if (set(argv[1], SIOCSIFADDR, ip))
				return 1;
			if (bits >= 0 && set(argv[1], SIOCSIFNETMASK, to32(bits ? ~0u << (32 - bits) : 0)))
				return 1;
		} else {
			return usage();
		}
	}
	return 0;
}
