/* The network as drivers and the rest of the kernel see it. */
#pragma once
#include "proc.h"

#define MAC_SIZE 6
#define ETHERNET_HEADER 14
#define ETHERNET_MTU 1500

struct netdev;

/* A frame or packet. Each layer moves `data` over its own header: forward on the way up, back on the way down. */
struct netbuf {
	struct netbuf *next;
	u8 *data;
	u32 len;
	u32 from_address; /* in a socket's queue: who sent it */
	u16 from_port;
	u8 space[];
};
#define NETBUF_HEADROOM 80 /* for the headers of all layers, the device's included */
#define NETBUF_ROOM (ETHERNET_HEADER + ETHERNET_MTU)

struct netbuf *netbuf_new(u32 size); /* data after the headroom, len 0; NULL: no memory, or larger than NETBUF_ROOM */
void netbuf_free(struct netbuf *nb);
static inline void *netbuf_push(struct netbuf *nb, u32 n)
{
	nb->len += n;
	return nb->data -= n;
}
static inline void netbuf_pull(struct netbuf *nb, u32 n)
{
	nb->len -= n;
	nb->data += n;
}

/* Linux's interface flags */
#define IFF_UP 1
#define IFF_BROADCAST 2
#define IFF_LOOPBACK 8
#define IFF_RUNNING 0x40

struct netdev {
	struct netdev *next;
	char name[16];
	u8 mac[MAC_SIZE];
	u32 flags, mtu, index;
	u32 address, mask;                                     /* IPv4; 0: none */
	void (*transmit)(struct netdev *dev, struct netbuf *nb); /* a whole frame, which is now the driver's */
	ulong received, received_bytes, sent, sent_bytes, dropped;
};

void netdev_add(struct netdev *dev);
void netdev_configure(struct netdev *dev, u32 address, u32 mask);
void netdev_set_up(struct netdev *dev, bool up);
void net_receive(struct netdev *dev, struct netbuf *nb); /* a frame from the driver */
void net_init(void);
bool parse_ipv4(const char *s, const char **end, u32 *address);
#define IPV4_FORMAT "%u.%u.%u.%u"
#define IPV4_PARTS(a) (a) >> 24, (a) >> 16 & 255, (a) >> 8 & 255, (a) & 255

/* Counters that several processors may step at once. */
static inline void count(ulong *n, ulong by) { __atomic_fetch_add(n, by, __ATOMIC_RELAXED); }
