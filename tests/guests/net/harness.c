/*
 * puppy's network, from the driver's end to the sockets' queues, as a program of the machine that runs the tests, with a
 * card that is two functions. Built with the address and undefined-behaviour sanitizers: each frame lies in a block of
 * memory of exactly its size, so that reading a byte too many ends the program. `checks` asks for what the standards
 * say, `fuzz SEED FRAMES` sends what a hostile neighbour might.
 */
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

static void pass_time(u64 ns)
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

static void transmit(struct netdev *dev, struct netbuf *nb)
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

static void receive(const void *frame, u32 n)
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

static struct frame arp_frame(u16 operation, u32 sender, u32 target)
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
static void seal(struct frame *f)
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

static struct frame ip_frame(u8 protocol, u32 from, u32 to, u32 payload)
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

static struct frame echo_frame(u32 from, u32 to)
{
	struct frame f = ip_frame(PROTOCOL_ICMP, from, to, sizeof(struct icmp) + DATA);

	f.icmp = (struct icmp){ ICMP_ECHO, 0, to16(0), to16(0x1234), to16(5) };
	seal(&f);
	return f;
}

static struct frame udp_frame(u32 from, u32 to, u16 port)
{
	struct frame f = ip_frame(PROTOCOL_UDP, from, to, sizeof(struct udp) + DATA);

	f.udp = (struct udp){ to16(4000), to16(port), to16(sizeof(struct udp) + DATA), to16(0) };
	seal(&f);
	return f;
}

/* ---- Checks ---- */

static int failures;
static void check(bool ok, const char *what)
{
	printf("%s %s\n", ok ? "ok" : "FAIL", what);
	failures += !ok;
}

static const struct frame *sent(void) { return (const void *)out; }
static bool sent_icmp(u8 type) { return out_count == 1 && get16(sent()->e.type) == ETHERTYPE_IPV4 && sent()->icmp.type == type; }
static bool sent_sound(void)
{
	u32 length = get16(sent()->ip.length);
	return out_size == sizeof(struct ethernet) + length && !checksum_end(checksum_add(0, &sent()->ip, sizeof(struct ipv4))) &&
	       !checksum_end(checksum_add(0, &sent()->icmp, length - sizeof(struct ipv4)));
}

static u32 take(struct sock *s)
{
	struct netbuf *nb = sock_take(s, false);
	u32 n = nb ? nb->len : 0;

	if (nb)
		netbuf_free(nb);
	return n;
}

static void check_arp(void)
{
	struct frame f = arp_frame(1, THEM, US);
	receive(&f, ARP_SIZE);
	const struct arp *a = &sent()->arp;
	check(out_count == 1 && out_size == ARP_SIZE && !memcmp(sent()->e.to, their_mac, MAC_SIZE) && get16(a->operation) == 2 &&
		      get32(a->sender) == US && !memcmp(a->sender_mac, our_mac, MAC_SIZE) && get32(a->target) == THEM,
	      "a question for our address is answered to who asked");
	f = arp_frame(1, THEM, THEM);
	receive(&f, ARP_SIZE);
	check(!out_count, "a question for another address is not answered");
	f = arp_frame(1, US, US);
	receive(&f, ARP_SIZE);
	check(!out_count, "who claims our address gets no answer");
	f = arp_frame(1, 0, US);
	receive(&f, ARP_SIZE);
	check(out_count == 1, "whether our address is free is answered");
	f = arp_frame(1, 0xc0a80001, US);
	receive(&f, ARP_SIZE);
	check(!out_count, "somebody who is no neighbour is not answered");
	f = arp_frame(1, THEM, US);
	f.arp.sender_mac[0] = 3;
	receive(&f, ARP_SIZE);
	check(!out_count, "a group's address as a sender's is not believed");
	bool quiet = true;
	f = arp_frame(1, THEM, US);
	for (u32 n = 0; n < ARP_SIZE; n++) {
		receive(&f, n);
		quiet = quiet && !out_count;
	}
	check(quiet, "an ARP frame that is cut off anywhere is dropped");
}

static void check_echo(void)
{
	struct frame f = echo_frame(THEM, US);
	receive(&f, FRAME_SIZE);
	check(sent_icmp(ICMP_ECHO_REPLY) && sent_sound() && !memcmp(&sent()->icmp.id, &f.icmp.id, 4 + DATA) &&
		      get32(sent()->ip.to) == THEM && get32(sent()->ip.from) == US,
	      "an echo comes back");
	f = echo_frame(THEM, EVERYONE);
	memset(f.e.to, 0xff, MAC_SIZE);
	receive(&f, FRAME_SIZE);
	check(!out_count, "an echo for everyone does not");
	f = echo_frame(THEM, US);
	f.e.to[5] = 9;
	receive(&f, FRAME_SIZE);
	check(!out_count, "a frame for another card is not ours");
	static const u32 impossible[] = { US, 0x7f000001, 0xe0000001, 0xffffffff, EVERYONE };
	for (size_t i = 0; i < ARRAY_SIZE(impossible); i++) {
		f = echo_frame(impossible[i], US);
		receive(&f, FRAME_SIZE);
		check(!out_count, "nobody is answered whom there cannot be");
	}
	f = echo_frame(THEM, 0x7f000001);
	receive(&f, FRAME_SIZE);
	check(!out_count, "127.0.0.1 is not reached from outside");
	f = echo_frame(THEM, US);
	f.ip.fragment = to16(0x2000);
	seal(&f);
	receive(&f, FRAME_SIZE);
	check(!out_count, "a fragment is dropped");
	bool quiet = true;
	f = echo_frame(THEM, US);
	for (u32 n = 0; n < FRAME_SIZE; n++) {
		receive(&f, n);
		quiet = quiet && !out_count;
	}
	check(quiet, "a packet that is cut off anywhere is dropped");
	quiet = true;
	for (u32 bit = sizeof(struct ethernet) * 8; bit < FRAME_SIZE * 8; bit++) {
		f = echo_frame(THEM, US);
		((u8 *)&f)[bit / 8] ^= 1 << bit % 8;
		receive(&f, FRAME_SIZE);
		quiet = quiet && !out_count;
	}
	check(quiet, "a packet with any bit turned over is dropped");
	u8 padded[sizeof(struct frame) + 20] = { 0 };
	f = echo_frame(THEM, US);
	memcpy(padded, &f, FRAME_SIZE);
	receive(padded, sizeof(padded));
	check(sent_icmp(ICMP_ECHO_REPLY) && out_size == FRAME_SIZE, "what pads a frame is no part of the packet");
	/* One word of options (all "no operation") between IP's header and ICMP's. */
	struct frame g = ip_frame(PROTOCOL_ICMP, THEM, US, 4 + sizeof(struct icmp) + DATA - 4);
	f = echo_frame(THEM, US);
	g.ip.version_words = 0x46;
	memset(&g.icmp, 1, 4);
	memcpy((u8 *)&g.icmp + 4, &f.icmp, sizeof(struct icmp) + DATA - 4);
	seal(&g);
	receive(&g, FRAME_SIZE);
	check(sent_icmp(ICMP_ECHO_REPLY) && out_size == FRAME_SIZE - 4, "options are passed over");
}

static void check_udp(void)
{
	struct sock s = { .kind = SOCK_UDP }, other = { .kind = SOCK_UDP };
	struct frame f = udp_frame(THEM, US, 7777);

	check(!sock_bind(&s, (struct endpoint){ 0, 7777 }), "a port is free");
	check(sock_bind(&other, (struct endpoint){ US, 7777 }) == -EADDRINUSE, "and then is not");
	receive(&f, FRAME_SIZE);
	struct netbuf *nb = sock_take(&s, true);
	check(nb && nb->len == DATA && nb->from_address == THEM && nb->from_port == 4000 && !memcmp(nb->data, f.data, DATA),
	      "a datagram finds its socket");
	netbuf_free(nb);
	check(take(&s) == DATA && !take(&s), "once");
	bool quiet = true;
	for (u32 bit = sizeof(struct ethernet) * 8; bit < FRAME_SIZE * 8; bit++) {
		f = udp_frame(THEM, US, 7777);
		((u8 *)&f)[bit / 8] ^= 1 << bit % 8;
		receive(&f, FRAME_SIZE);
		quiet = quiet && !take(&s);
	}
	check(quiet, "one with any bit turned over does not");
	f = udp_frame(THEM, US, 7777);
	f.udp.checksum = to16(0);
	receive(&f, FRAME_SIZE);
	check(take(&s) == DATA, "one without a checksum does");
	f = udp_frame(THEM, US, 7777);
	f.udp.length = to16(sizeof(struct udp) + DATA + 1);
	seal(&f);
	receive(&f, FRAME_SIZE);
	check(!take(&s), "one that claims more than there is does not");
	f = udp_frame(THEM, US, 7777);
	f.udp.length = to16(sizeof(struct udp) - 1);
	seal(&f);
	receive(&f, FRAME_SIZE);
	check(!take(&s), "nor one that claims less than its header");
	for (int i = 0; i < SOCK_QUEUE + 5; i++) {
		f = udp_frame(THEM, US, 7777);
		receive(&f, FRAME_SIZE);
	}
	int n = 0;
	while (take(&s))
		n++;
	check(n == SOCK_QUEUE, "a socket that nobody reads holds so many and no more");
	sock_remove(&s);

	f = udp_frame(THEM, US, 7777);
	receive(&f, FRAME_SIZE);
	check(sent_icmp(ICMP_UNREACHABLE) && sent()->icmp.code == UNREACHABLE_PORT && sent_sound() &&
		      !memcmp(sent()->data, &f.ip, sizeof(f.ip) + ICMP_QUOTED),
	      "where nobody listens, the sender hears of it");
	f = udp_frame(THEM, EVERYONE, 7777);
	memset(f.e.to, 0xff, MAC_SIZE);
	receive(&f, FRAME_SIZE);
	check(!out_count, "but not if everyone was meant");
	f = ip_frame(99, THEM, US, DATA);
	seal(&f);
	receive(&f, FRAME_SIZE);
	check(sent_icmp(ICMP_UNREACHABLE) && sent()->icmp.code == UNREACHABLE_PROTOCOL, "nor is an unknown protocol kept quiet");
	n = 0;
	for (int i = 0; i < 1000; i++) {
		f = udp_frame(THEM, US, 7777);
		receive(&f, FRAME_SIZE);
		n += out_count;
	}
	check(n > 0 && n < 100, "a flood is not answered with a flood");
	pass_time(NSEC_PER_SEC);
}

static struct netbuf *datagram(u32 n)
{
	struct netbuf *nb = netbuf_new(n);
	memset(nb->data, 0x55, n);
	nb->len = n;
	return nb;
}

static void check_neighbours(void)
{
	struct sock s = { .kind = SOCK_UDP };
	struct packet to_stranger = { .to = US + 40 };
	struct frame f;

	sock_bind(&s, (struct endpoint){ US, 5000 });
	s.remote = (struct endpoint){ US + 40, 6000 };
	out_count = 0;
	check(!udp_output(to_stranger, 5000, 6000, datagram(10)) && out_count == 1 && get16(sent()->e.type) == ETHERTYPE_ARP &&
		      get32(sent()->arp.target) == US + 40 && sent()->e.to[0] == 0xff,
	      "for somebody unknown, everyone is asked");
	udp_output(to_stranger, 5000, 6000, datagram(10));
	check(out_count == 1, "once");
	pass_time(NSEC_PER_SEC + 1);
	check(out_count == 2, "and again after a second");
	f = arp_frame(2, US + 40, US);
	receive(&f, ARP_SIZE);
	check(out_count == 2 && get16(sent()->e.type) == ETHERTYPE_IPV4 && !memcmp(sent()->e.to, their_mac, MAC_SIZE),
	      "the answer sends what has waited");
	f = arp_frame(2, US + 41, US);
	receive(&f, ARP_SIZE);
	out_count = 0;
	to_stranger.to = US + 41;
	udp_output(to_stranger, 5000, 6000, datagram(10));
	check(get16(sent()->e.type) == ETHERTYPE_ARP, "an answer that nobody asked for is not believed");
	s.remote.address = US + 41;
	for (int i = 0; i < 5; i++)
		pass_time(NSEC_PER_SEC + 1);
	check(s.error == EHOSTUNREACH && out_count == 3, "after three questions the socket hears that there is no way");
	s.error = 0;
	out_count = 0;
	to_stranger.to = US + 40;
	pass_time(61 * NSEC_PER_SEC);
	udp_output(to_stranger, 5000, 6000, datagram(10));
	check(get16(sent()->e.type) == ETHERTYPE_ARP, "a minute later one asks again");
	arp_forget(&card);

	f = udp_frame(THEM, US, 5000);
	check(udp_output((struct packet){ .to = THEM }, 1, 2, datagram(ETHERNET_MTU)) == -EMSGSIZE, "what does not fit is refused");
	check(udp_output((struct packet){ .to = 0x08080808 }, 1, 2, datagram(1)) == -ENETUNREACH, "so is what has no way to go");
	check(udp_output((struct packet){ .to = US }, 9, 5001, datagram(3)) == 0 && !s.error, "to ourselves there always is one");
	s.remote = (struct endpoint){ US, 5001 };
	udp_output((struct packet){ .from = US, .to = US }, 5000, 5001, datagram(3));
	check(s.error == ECONNREFUSED, "and what nobody there wants comes back as an error");
	sock_remove(&s);
}

/* ---- Fuzzing ---- */

static u64 state;
static u32 random32(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 16;
}
static u32 below(u32 n) { return random32() % n; }

static u32 random_address(void)
{
	static const u32 some[] = { US, THEM, EVERYONE, 0, 0xffffffff, 0x7f000001, 0xe0000001, 0x08080808 };
	return below(4) ? some[below(ARRAY_SIZE(some))] : US + below(256);
}
/* Mostly such that a frame gets further than the first look at its header. */
static u32 random_sender(void) { return below(4) ? THEM : random_address(); }
static u32 random_target(void) { return below(4) ? US : random_address(); }

static void random_frame(void)
{
	union {
		struct frame f;
		u8 bytes[NETBUF_ROOM];
	} x;
	u32 n;

	for (u32 i = 0; i < sizeof(x); i++)
		x.bytes[i] = random32();
	switch (below(10)) {
	case 0:
		x.f = arp_frame(below(4), random_sender(), random_target());
		n = ARP_SIZE;
		break;
	case 1:
		n = below(sizeof(x) + 1);
		memcpy(x.f.e.to, our_mac, MAC_SIZE);
		x.f.e.type = to16(below(2) ? ETHERTYPE_IPV4 : ETHERTYPE_ARP);
		break;
	case 2:
	case 3:
		x.f = udp_frame(random_sender(), random_target(), below(4));
		n = FRAME_SIZE;
		break;
	case 4:
	case 5: {
		/* An error about a packet, of which it quotes this much. */
		struct frame inner = udp_frame(US, THEM, below(4));
		x.f = ip_frame(PROTOCOL_ICMP, random_sender(), US, sizeof(struct icmp) + below(sizeof(struct ipv4) + 16));
		x.f.icmp = (struct icmp){ below(4) ? ICMP_UNREACHABLE : below(16), below(6), to16(0), to16(0), to16(0) };
		memcpy(x.f.data, &inner.ip, sizeof(struct ipv4) + 8);
		seal(&x.f);
		n = sizeof(struct ethernet) + get16(x.f.ip.length);
		break;
	}
	case 6: {
		/* A packet that is sound but shorter than what its protocol has in front. */
		static const u8 protocols[] = { PROTOCOL_ICMP, PROTOCOL_UDP, 99 };
		u32 size = below(16);
		x.f = ip_frame(protocols[below(3)], random_sender(), random_target(), size);
		x.f.icmp.type = below(2) ? ICMP_ECHO : ICMP_ECHO_REPLY;
		x.f.ip.checksum = to16(checksum_end(checksum_add(0, &x.f.ip, sizeof(x.f.ip))));
		/* ICMP's checksum, where there is room for it, is the sum of the rest. */
		x.f.icmp.checksum = to16(0);
		if (x.f.ip.protocol == PROTOCOL_ICMP && size >= 4)
			x.f.icmp.checksum = to16(checksum_end(checksum_add(0, &x.f.icmp, size)));
		n = sizeof(struct ethernet) + sizeof(struct ipv4) + size;
		break;
	}
	default:
		x.f = echo_frame(random_sender(), random_target());
		x.f.icmp.type = below(3) ? below(16) : ICMP_ECHO;
		seal(&x.f);
		n = FRAME_SIZE;
	}
	/* Some bytes are others than they should be; half of the time the checksums are made to agree. */
	for (u32 k = below(4); k--;)
		x.bytes[below(n ? n : 1)] = random32();
	if (get16(x.f.e.type) == ETHERTYPE_IPV4 && below(2))
		seal(&x.f);
	if (!below(4))
		n = below(n + 1);
	else if (!below(4) && n < sizeof(x))
		n += below(sizeof(x) - n);
	if (below(4) && n >= MAC_SIZE)
		memcpy(x.f.e.to, our_mac, MAC_SIZE);
	receive(x.bytes, n);
}

static void fuzz(u64 seed, int frames)
{
	struct sock udp = { .kind = SOCK_UDP }, connected = udp, echo = { .kind = SOCK_ECHO }, raw = { .kind = SOCK_RAW_ICMP };
	struct sock *all[] = { &udp, &connected, &echo, &raw };
	ulong taken = 0;
	int answers = 0;

	state = seed * 0x9e3779b97f4a7c15ull + 1;
	sock_bind(&udp, (struct endpoint){ 0, 1 });
	sock_bind(&connected, (struct endpoint){ US, 2 });
	connected.remote = (struct endpoint){ THEM, 4000 };
	sock_bind(&echo, (struct endpoint){ 0, 0x1234 });
	sock_add(&raw);
	for (int i = 0; i < frames; i++) {
		random_frame();
		answers += out_count;
		struct sock *s = all[below(4)];
		if (!below(3))
			while (take(s))
				taken++;
		if (!below(16))
			pass_time(below(100) * (NSEC_PER_SEC / 100));
		if (!below(32))
			udp_output((struct packet){ .to = random_address() }, below(4), below(4), datagram(below(1000)));
		if (!below(5000))
			netdev_configure(&card, US, 0xffffff00);
	}
	for (int i = 0; i < 4; i++)
		sock_remove(all[i]);
	arp_forget(&card);
	printf("%s %d frames, %lu taken, %d answers\n", live ? "FAIL" : "ok", frames, taken, answers);
	failures += live || !taken || !answers;
}

int main(int argc, char **argv)
{
	netdev_add(&loopback);
	netdev_add(&card);
	netdev_configure(&card, US, 0xffffff00);
	netdev_set_up(&card, true);
	check(out_count == 1 && get32(sent()->arp.sender) == US && get32(sent()->arp.target) == US, "a new address is announced");
	if (argc > 2) {
		fuzz(atoi(argv[1]), atoi(argv[2]));
		return failures != 0;
	}
	check_arp();
	check_echo();
	check_udp();
	check_neighbours();
	arp_forget(&card);
	check(!live, "no buffer is lost");
	return failures != 0;
}
