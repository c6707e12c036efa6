/*
 * The network as its own files see it: what lies on the wire, and what each layer offers the ones above and below.
 *
 * A frame climbs by calls: the driver's net_receive, then ip_input, icmp_input or udp_input, then the queue of a socket, all
 * within the device's interrupt. What is sent goes down by calls too: ip_output, arp_send, the driver's transmit. Whoever
 * is given a buffer owns it, and passes it on or frees it. Locks (sockets_lock, arp's, the driver's) are held for a moment
 * and never while another layer is called, so that their order is no question; interrupts are off under them.
 *
 * Nothing that came from the wire is believed before its length has been compared with what the buffer holds.
 */
#pragma once
#include "../include/net.h"
#include "spinlock.h"

/* ---- Numbers on the wire: big-endian, anywhere in memory. In variables they are the processor's own. ---- */
typedef struct {
	u8 byte[2];
} be16;
typedef struct {
	u8 byte[4];
} be32;
static inline u16 get16(be16 n) { return n.byte[0] << 8 | n.byte[1]; }
static inline u32 get32(be32 n) { return (u32)n.byte[0] << 24 | n.byte[1] << 16 | n.byte[2] << 8 | n.byte[3]; }
static inline be16 to16(u16 n) { return (be16){ { n >> 8, n } }; }
static inline be32 to32(u32 n) { return (be32){ { n >> 24, n >> 16, n >> 8, n } }; }

struct ethernet {
	u8 to[MAC_SIZE], from[MAC_SIZE];
	be16 type;
};
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806

/* RFC 826, for IPv4 over Ethernet */
struct arp {
	be16 hardware, protocol;
	u8 hardware_size, protocol_size;
	be16 operation;
	u8 sender_mac[MAC_SIZE];
	be32 sender;
	u8 target_mac[MAC_SIZE];
	be32 target;
};

/* RFC 791 */
struct ipv4 {
	u8 version_words; /* 4, and the header's size in words of 4 bytes */
	u8 service;
	be16 length, id, fragment;
	u8 ttl, protocol;
	be16 checksum;
	be32 from, to;
};
#define IPV4_DONT_FRAGMENT 0x4000
#define IPV4_FRAGMENT 0x3fff /* more fragments, offset: neither is 0 in a part of a packet */
#define IPV4_TTL 64
#define PROTOCOL_ICMP 1
#define PROTOCOL_UDP 17
static inline u32 ipv4_header_size(const struct ipv4 *ip) { return (ip->version_words & 15) * 4; }

/* RFC 792 */
struct icmp {
	u8 type, code;
	be16 checksum;
	be16 id, sequence; /* of echoes; unused in errors, which the packet's own first bytes follow */
};
enum { ICMP_ECHO_REPLY = 0, ICMP_UNREACHABLE = 3, ICMP_SOURCE_QUENCH = 4, ICMP_REDIRECT = 5, ICMP_ECHO = 8,
       ICMP_TIME_EXCEEDED = 11, ICMP_PARAMETER = 12 };
enum { UNREACHABLE_NET = 0, UNREACHABLE_HOST = 1, UNREACHABLE_PROTOCOL = 2, UNREACHABLE_PORT = 3, UNREACHABLE_TOO_BIG = 4 };
#define ICMP_QUOTED 8 /* bytes of the packet's payload that an error quotes at least */

/* RFC 768 */
struct udp {
	be16 from, to, length, checksum;
};

/* ---- checksum.c: the Internet's (RFC 1071) ---- */
u32 checksum_add(u32 sum, const void *data, u32 n); /* only the last piece may have an odd size */
u32 checksum_pseudo(u32 from, u32 to, u8 protocol, u32 length);
u16 checksum_end(u32 sum); /* 0 over data that holds its own checksum: nothing was changed on the way */

/* ---- netbuf.c ---- */
struct netbuf *netbuf_copy(const struct netbuf *nb); /* NULL: no memory */

/* ---- device.c ---- */
extern struct netdev *netdevs; /* grows at start only */
extern struct netdev loopback;
struct netdev *netdev_find(const char *name);
struct netdev *netdev_owner(u32 address);                /* the device, up, whose address this is */
bool netdev_broadcast(struct netdev *dev, u32 address);  /* everyone there? */

/* ---- arp.c ---- */
void arp_input(struct netdev *dev, struct netbuf *nb);
void arp_send(struct netdev *dev, u32 next_hop, struct netbuf *nb); /* a packet; as soon as the neighbour is known */
void arp_announce(struct netdev *dev);                              /* this address is mine */
void arp_forget(struct netdev *dev);

/* ---- ipv4.c ---- */
extern u32 ip_gateway; /* who forwards what lies elsewhere; 0: nobody */
struct packet {
	u32 from, to; /* from 0: whatever address suits */
	u8 protocol, ttl;
};
void ip_input(struct netdev *dev, struct netbuf *nb);
int ip_output(struct packet p, struct netbuf *nb); /* 0 or the error; the buffer is gone in any case */
struct netdev *ip_route(u32 to, u32 *next_hop);    /* NULL: no way */
u32 ip_source(u32 to);                             /* the address that packets to there come from; 0: no way */

/* ---- icmp.c ---- */
void icmp_input(struct netdev *dev, struct packet p, struct netbuf *nb);
/* Tells the sender of a packet (its header first in the buffer, which stays the caller's) that it did not arrive. */
void icmp_unreachable(struct netbuf *nb, u8 code);

/* ---- udp.c ---- */
void udp_input(struct netdev *dev, struct packet p, struct netbuf *nb);
int udp_output(struct packet p, u16 from_port, u16 to_port, struct netbuf *nb);

/* ---- sock.c: who listens ---- */
enum sock_kind { SOCK_UDP, SOCK_ECHO, SOCK_RAW_ICMP };
struct endpoint {
	u32 address; /* 0: any */
	u16 port;    /* of echoes: their id */
};
struct sock {
	struct sock *next;
	enum sock_kind kind;
	struct endpoint local, remote; /* a remote address that is not 0: connected */
	bool bound, broadcast, reuse, shut;
	u8 ttl;
	int error; /* for the next call; positive */
	struct netbuf *first, *last;
	u32 queued;
	struct waitq wait;
	u64 receive_timeout; /* ns; 0: none */
};
#define SOCK_QUEUE 32 /* datagrams that wait to be read; more are dropped */
extern spinlock_t sockets_lock;
extern struct sock *sockets; /* all that are bound, and the raw ones */
void sock_add(struct sock *s);
void sock_remove(struct sock *s); /* and forgets what it has received */
int sock_bind(struct sock *s, struct endpoint local); /* port 0: any that is free */
struct netbuf *sock_take(struct sock *s, bool peek);
/* To the socket that fits best: false, and the buffer is still the caller's, if none does. */
bool sock_deliver(enum sock_kind kind, struct endpoint from, struct endpoint to, struct netbuf *nb);
void sock_deliver_raw(struct endpoint from, struct endpoint to, const struct netbuf *nb); /* copies */
void sock_failed(enum sock_kind kind, struct endpoint local, struct endpoint remote, int error);
