/*
 * puppy's network, from the driver's end to the sockets' queues, as part of a program of the machine that runs the tests,
 * with a card that is two functions. Built with the address and undefined-behaviour sanitizers: each frame lies in a block
 * of memory of exactly its size, so that reading a byte too many ends the program.
 */
#pragma once
#include "net/net.h"
#include "errno.h"

int printf(const char *format, ...);
void *malloc(__SIZE_TYPE__ n);
void free(void *p);
int atoi(const char *s);

/* ---- The kernel around it ---- */

int locks_held;
static u64 clock_now = 1;
static struct ktimer *timer;
static int live; /* buffers */

u64 now_ns(void) { return clock_now; }
void wake_all(struct waitq *q) { (void)q; }
void poll_wake(void) {}
void timer_start(struct ktimer *t, u64 deadline)
{
	timer = t;
	t->deadline = deadline;
	t->queued = true;
}

static inline void pass_time(u64 ns)
{
	clock_now += ns;
	while (timer && timer->queued && timer->deadline <= clock_now) {
		timer->queued = false;
		timer->fn(timer);
	}
}

struct netbuf *netbuf_new(u32 size)
{
	if (size > NETBUF_ROOM)
		return NULL;
	struct netbuf *nb = malloc(offsetof(struct netbuf, space) + NETBUF_HEADROOM + size);
	nb->next = NULL;
	nb->data = nb->space + NETBUF_HEADROOM;
	nb->len = 0;
	live++;
	return nb;
}

void netbuf_free(struct netbuf *nb)
{
	live--;
	free(nb);
}

/* ---- The card ---- */

static u8 out[NETBUF_ROOM]; /* the last frame that was sent */
static u32 out_size;
static int out_count;

static inline void transmit(struct netdev *dev, struct netbuf *nb)
{
	(void)dev;
	if (locks_held)
		__builtin_trap(); /* no layer calls another with a lock */
	if (nb->len > NETBUF_ROOM)
		__builtin_trap();
	memcpy(out, nb->data, nb->len);
	out_size = nb->len;
	out_count++;
	netbuf_free(nb);
}

#define US 0x0a000001 /* 10.0.0.1/24 */
#define THEM 0x0a000002
#define EVERYONE 0x0a0000ff
static const u8 our_mac[MAC_SIZE] = { 2, 0, 0, 0, 0, 1 }, their_mac[MAC_SIZE] = { 2, 0, 0, 0, 0, 2 };
static struct netdev card = { .name = "eth0", .mac = { 2, 0, 0, 0, 0, 1 }, .flags = IFF_BROADCAST, .mtu = ETHERNET_MTU,
			      .transmit = transmit };

static inline void receive(const void *frame, u32 n)
{
	struct netbuf *nb = netbuf_new(n);

	memcpy(nb->data, frame, n);
	nb->len = n;
	out_size = out_count = 0;
	net_receive(&card, nb);
	if (locks_held)
		__builtin_trap();
}

/* ---- Frames ---- */

struct frame {
	struct ethernet e;
	union {
		struct arp arp;
		struct {
			struct ipv4 ip;
			union {
				struct icmp icmp;
				struct udp udp;
			};
			u8 data[64];
		};
	};
};

static inline struct frame arp_frame(u16 operation, u32 sender, u32 target)
{
	struct frame f = { .e = { .type = to16(ETHERTYPE_ARP) } };

	memset(f.e.to, 0xff, MAC_SIZE);
	memcpy(f.e.from, their_mac, MAC_SIZE);
	f.arp = (struct arp){ to16(1), to16(ETHERTYPE_IPV4), MAC_SIZE, 4, to16(operation), { 0 }, to32(sender), { 0 }, to32(target) };
	memcpy(f.arp.sender_mac, their_mac, MAC_SIZE);
	return f;
}
#define ARP_SIZE (sizeof(struct ethernet) + sizeof(struct arp))

/* Makes the checksums true again. */
static inline void seal(struct frame *f)
{
	u32 header = ipv4_header_size(&f->ip), length = get16(f->ip.length);

	if (header < sizeof(f->ip) || length < header || length > sizeof(*f) - sizeof(f->e))
		return;
	f->ip.checksum = to16(0);
	f->ip.checksum = to16(checksum_end(checksum_add(0, &f->ip, header)));
	u8 *payload = (u8 *)&f->ip + header;
	if (f->ip.protocol == PROTOCOL_ICMP && length >= header + sizeof(struct icmp)) {
		struct icmp *m = (void *)payload;
		m->checksum = to16(0);
		m->checksum = to16(checksum_end(checksum_add(0, m, length - header)));
	}
	if (f->ip.protocol == PROTOCOL_UDP && length >= header + sizeof(struct udp)) {
		struct udp *u = (void *)payload;
		u32 n = get16(u->length) <= length - header ? get16(u->length) : length - header;
		u->checksum = to16(0);
		u16 sum = checksum_end(checksum_pseudo(get32(f->ip.from), get32(f->ip.to), PROTOCOL_UDP, get16(u->length)) +
				       checksum_add(0, u, n));
		u->checksum = to16(sum ? sum : 0xffff);
	}
}

static inline struct frame ip_frame(u8 protocol, u32 from, u32 to, u32 payload)
{
	struct frame f = { .e = { .type = to16(ETHERTYPE_IPV4) } };

	memcpy(f.e.to, our_mac, MAC_SIZE);
	memcpy(f.e.from, their_mac, MAC_SIZE);
	f.ip = (struct ipv4){ 0x45, 0, to16(sizeof(struct ipv4) + payload), to16(7), to16(0), 64, protocol, to16(0), to32(from), to32(to) };
	for (u32 i = 0; i < sizeof(f.data); i++)
		f.data[i] = i * 37;
	return f;
}
#define DATA 32
#define FRAME_SIZE (sizeof(struct ethernet) + sizeof(struct ipv4) + sizeof(struct udp) + DATA)

static inline struct frame echo_frame(u32 from, u32 to)
{
	struct frame f = ip_frame(PROTOCOL_ICMP, from, to, sizeof(struct icmp) + DATA);

	f.icmp = (struct icmp){ ICMP_ECHO, 0, to16(0), to16(0x1234), to16(5) };
	seal(&f);
	return f;
}

static inline struct frame udp_frame(u32 from, u32 to, u16 port)
{
	struct frame f = ip_frame(PROTOCOL_UDP, from, to, sizeof(struct udp) + DATA);

	f.udp = (struct udp){ to16(4000), to16(port), to16(sizeof(struct udp) + DATA), to16(0) };
	seal(&f);
	return f;
}

/* ---- What programs of checks have in common ---- */

static int failures;
static inline void check(bool ok, const char *what)
{
	printf("%s %s\n", ok ? "ok" : "FAIL", what);
	failures += !ok;
}

/* The size of what a socket has received first, which is then forgotten. */
static inline u32 take(struct sock *s)
{
	struct netbuf *nb = sock_take(s, false);
	u32 n = nb ? nb->len : 0;

	if (nb)
		netbuf_free(nb);
	return n;
}

static inline struct netbuf *datagram(u32 n)
{
	struct netbuf *nb = netbuf_new(n);
	memset(nb->data, 0x55, n);
	nb->len = n;
	return nb;
}

/* A card with an address, in use. */
static inline void start(void)
{
	netdev_add(&loopback);
	netdev_add(&card);
	netdev_configure(&card, US, 0xffffff00);
	netdev_set_up(&card, true);
}
