/* Sockets, by the numbers that Linux gave them; i386's later ones, which need no detour through socketcall. */
#include "net.h"
#include "call.h"

int socket(int family, int type, int protocol) { return CALL3(359, 41, family, type, protocol); }
int bind(int fd, const struct address *a) { return CALL3(361, 49, fd, a, sizeof *a); }
int connect(int fd, const struct address *a) { return CALL3(362, 42, fd, a, sizeof *a); }
int poll(struct pollfd *list, u32 n, int milliseconds) { return CALL3(168, 7, list, n, milliseconds); }
int sethostname(const char *name) { return CALL2(74, 170, name, strlen(name)); }

int setsockopt(int fd, int level, int option, const void *value, u32 size)
{
	return syscall6(NR(366, 54), fd, level, option, (ulong)value, size, 0);
}

long sendto(int fd, const void *buf, size_t n, const struct address *to)
{
	return syscall6(NR(369, 44), fd, (ulong)buf, n, 0, (ulong)to, to ? sizeof *to : 0);
}

long recvfrom(int fd, void *buf, size_t n, struct address *from)
{
	u32 size = sizeof *from;
	return syscall6(NR(371, 45), fd, (ulong)buf, n, 0, (ulong)from, (ulong)(from ? &size : NULL));
}

int parse_ip(const char *s, be32 *ip)
{
	for (int part = 0; part < 4; part++) {
		u32 n = 0, digits = 0;
		if (part && *s++ != '.')
			return -EINVAL;
		for (; *s >= '0' && *s <= '9' && digits < 4; s++, digits++)
			n = n * 10 + *s - '0';
		if (!digits || n > 255)
			return -EINVAL;
		ip->byte[part] = n;
	}
	return *s ? -EINVAL : 0;
}

const char *ip_text(be32 ip)
{
	static char text[4][16];
	static u32 turn;
	char *buf = text[turn++ % ARRAY_SIZE(text)];

	snprintf(buf, sizeof text[0], "%u.%u.%u.%u", ip.byte[0], ip.byte[1], ip.byte[2], ip.byte[3]);
	return buf;
}
