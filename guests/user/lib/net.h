/* Sockets and addresses, for the programs that speak to the network. */
#pragma once
#include "user.h"

#define AF_INET 2
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define IPPROTO_ICMP 1
#define SOL_SOCKET 1
#define SO_REUSEADDR 2
#define SO_BROADCAST 6
#define SO_RCVTIMEO 20

#define POLLIN 1
#define POLLHUP 0x10
#define POLLERR 8

typedef struct {
	u8 byte[2];
} be16;
typedef struct {
	u8 byte[4];
} be32;
static inline u16 get16(be16 n) { return n.byte[0] << 8 | n.byte[1]; }
static inline u32 get32(be32 n) { return (u32)n.byte[0] << 24 | n.byte[1] << 16 | n.byte[2] << 8 | n.byte[3]; }
static inline be16 to16(u16 n) { return (be16){{n >> 8, n}}; }
static inline be32 to32(u32 n) { return (be32){{n >> 24, n >> 16, n >> 8, n}}; }

struct address {
	u16 family;
	be16 port;
	be32 ip;
	u8 unused[8];
};
/* "10.0.0.1" and nothing else: there is nobody who knows names. 0 on success. */
int parse_ip(const char *s, be32 *ip);
/* As text, in one of four static buffers by turns. */
const char *ip_text(be32 ip);

struct pollfd {
	int fd;
	short events, revents;
};

int socket(int family, int type, int protocol);
int bind(int fd, const struct address *a);
int connect(int fd, const struct address *a);
int setsockopt(int fd, int level, int option, const void *value, u32 size);
long sendto(int fd, const void *buf, size_t n, const struct address *to);  /* NULL: where it is connected to */
long recvfrom(int fd, void *buf, size_t n, struct address *from);          /* NULL: not wanted */
int poll(struct pollfd *list, u32 n, int milliseconds);
int sethostname(const char *name);
