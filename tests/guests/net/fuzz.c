/* What a hostile neighbour might send. Arguments: a seed, and how many frames. */
#include "world.h"

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
	start();
	if (argc != 3)
		return 2;
	fuzz(atoi(argv[1]), atoi(argv[2]));
	return failures != 0;
}
