/* ping: echoes by ICMP (RFC 792), one a second, and how long each took. Prints what Linux's prints. */
#include "../lib/net.h"
#include "applets.h"

enum { ECHO_REPLY = 0, UNREACHABLE = 3, ECHO = 8, TIME_EXCEEDED = 11 };

struct icmp {
	u8 type, code;
	be16 checksum, id, sequence;
};
struct ip {
	u8 version_words, service;
	be16 length, id, fragment;
	u8 ttl, protocol;
	be16 checksum;
	be32 from, to;
};
#define MAX_DATA 1472 /* fills an Ethernet frame */
#define MAX_TRACKED 1024 /* echoes on their way whose time of departure is remembered */

static struct {
	int fd;
	struct address to;
	u16 id;
	ulong count; /* 0: until interrupted */
	u64 interval, wait;
	u32 size;
	int quiet;
	ulong sent, received, duplicates, errors;
	u64 start, min, max, sum, squares; /* squares: of microseconds */
	u64 departed[MAX_TRACKED];
	u8 back[MAX_TRACKED];
} p;
static volatile int interrupted;

static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

static u64 now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.sec * 1000000000ull + t.nsec;
}

static u16 checksum(const u8 *data, u32 n)
{
	u32 sum = 0;
	for (u32 i = 0; i < n; i++)
		sum += i & 1 ? data[i] : data[i] << 8;
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return ~sum;
}

static u64 root(u64 n)
{
	u64 r = 0;
	for (u64 bit = 1ull << 31; bit; bit >>= 1)
		if ((r + bit) * (r + bit) <= n)
			r += bit;
	return r;
}

/* Nanoseconds as milliseconds, with three digits behind the point or, like Linux's ping, fewer for longer times. */
static const char *milliseconds(u64 ns)
{
	static char text[4][24];
	static u32 turn;
	char *buf = text[turn++ % ARRAY_SIZE(text)];
	u64 us = ns / 1000;

	if (us >= 100000)
		snprintf(buf, sizeof text[0], "%llu", us / 1000);
	else if (us >= 10000)
		snprintf(buf, sizeof text[0], "%llu.%llu", us / 1000, us / 100 % 10);
	else if (us >= 1000)
		snprintf(buf, sizeof text[0], "%llu.%02llu", us / 1000, us / 10 % 100);
	else
		snprintf(buf, sizeof text[0], "%llu.%03llu", us / 1000, us % 1000);
	return buf;
}

static int send_echo(void)
{
	static u8 packet[sizeof(struct icmp) + MAX_DATA];
	struct icmp *m = (struct icmp *)packet;
	u16 sequence = ++p.sent;

	*m = (struct icmp){ECHO, 0, to16(0), to16(p.id), to16(sequence)};
	for (u32 i = 0; i < p.size; i++)
		packet[sizeof *m + i] = i;
	m->checksum = to16(checksum(packet, sizeof *m + p.size));
	p.departed[sequence % MAX_TRACKED] = now();
	p.back[sequence % MAX_TRACKED] = 0;
	long n = sendto(p.fd, packet, sizeof *m + p.size, &p.to);
	if (n < 0 && n != -EINTR) {
		complain("sendto", n);
		p.errors++;
	}
	return n;
}

static void reply(const struct ip *ip, const struct icmp *m, u32 size)
{
	u16 sequence = get16(m->sequence);
	u64 took = now() - p.departed[sequence % MAX_TRACKED];
	int again = p.back[sequence % MAX_TRACKED];

	/* One that was never sent, or so long ago that nobody remembers. */
	if ((u16)((u16)p.sent - sequence) >= MAX_TRACKED || (u16)((u16)p.sent - sequence) >= p.sent)
		return;
	p.back[sequence % MAX_TRACKED] = 1;
	if (again) {
		p.duplicates++;
	} else {
		p.min = !p.received || took < p.min ? took : p.min;
		p.max = took > p.max ? took : p.max;
		p.sum += took;
		p.squares += took / 1000 * (took / 1000);
		p.received++;
	}
	if (!p.quiet)
		printf("%u bytes from %s: icmp_seq=%u ttl=%u time=%s ms%s\n", size, ip_text(ip->from), sequence, ip->ttl,
		       milliseconds(took), again ? " (DUP!)" : "");
}

/* An error quotes the packet that it is about: is it one of ours? */
static void failure(const struct ip *ip, const struct icmp *m, long size)
{
	static const char *const reasons[] = {"Net", "Host", "Protocol", "Port"};
	const struct ip *lost = (const struct ip *)(m + 1);
	long header = (lost->version_words & 15) * 4;
	const struct icmp *echo = (const struct icmp *)((const u8 *)lost + header);

	if (size < (long)(2 * sizeof *m + sizeof *lost) || size < (long)(2 * sizeof *m) + header || lost->protocol != IPPROTO_ICMP ||
	    echo->type != ECHO || get16(echo->id) != p.id)
		return;
	p.errors++;
	if (p.quiet)
		return;
	printf("From %s icmp_seq=%u ", ip_text(ip->from), get16(echo->sequence));
	if (m->type == TIME_EXCEEDED)
		printf("Time to live exceeded\n");
	else
		printf("Destination %s Unreachable\n", m->code < ARRAY_SIZE(reasons) ? reasons[m->code] : "is");
}

static void receive(void)
{
	static u8 packet[2048];
	long n = recvfrom(p.fd, packet, sizeof packet, NULL);
	const struct ip *ip = (const struct ip *)packet;
	long header = (ip->version_words & 15) * 4;
	const struct icmp *m = (const struct icmp *)(packet + header);

	/* We are shown every ICMP packet that arrives here. */
	if (n < (long)sizeof *ip || n < header + (long)sizeof *m)
		return;
	if (m->type == ECHO_REPLY && get16(m->id) == p.id)
		reply(ip, m, n - header);
	else if (m->type == UNREACHABLE || m->type == TIME_EXCEEDED)
		failure(ip, m, n - header);
	flush();
}

/* Takes what comes until the time, or until everything that was sent is back and nothing more will be. */
static void receive_until(u64 deadline, int last)
{
	struct pollfd list = {p.fd, POLLIN, 0};

	while (!interrupted && !(last && p.received + p.errors >= p.sent)) {
		u64 t = now();
		/* Once anything has answered, a second is long enough for the rest. */
		if (last && p.received && deadline > t + 1000000000ull)
			deadline = t + 1000000000ull;
		if (t >= deadline)
			return;
		if (poll(&list, 1, (deadline - t + 999999) / 1000000) > 0)
			receive();
	}
}

static int summary(const char *host)
{
	ulong lost = p.sent ? (p.sent - p.received) * 100 / p.sent : 0;

	printf("\n--- %s ping statistics ---\n%lu packets transmitted, %lu received, ", host, p.sent, p.received);
	if (p.duplicates)
		printf("+%lu duplicates, ", p.duplicates);
	if (p.errors)
		printf("+%lu errors, ", p.errors);
	printf("%lu%% packet loss, time %llums\n", lost, (now() - p.start) / 1000000);
	if (p.received) {
		u64 mean = p.sum / p.received / 1000, mean_square = p.squares / p.received;
		u64 deviation = mean_square > mean * mean ? root(mean_square - mean * mean) : 0;
		const u64 us[] = {p.min / 1000, mean, p.max / 1000, deviation};
		printf("rtt min/avg/max/mdev = ");
		for (int i = 0; i < 4; i++)
			printf("%llu.%03llu%s", us[i] / 1000, us[i] % 1000, i < 3 ? "/" : " ms\n");
	}
	return p.received ? 0 : 1;
}

static int usage(void)
{
	dprintf(2, "usage: ping [-q] [-c COUNT] [-i SECONDS] [-W SECONDS] [-s BYTES] ADDRESS\n");
	return 2;
}

/* "0.2": a time in nanoseconds; 0 if it is none. */
static u64 seconds(const char *s)
{
	u64 whole = 0, part = 0, unit = 100000000;
	if (!*s)
		return 0;
	for (; *s >= '0' && *s <= '9' && whole < 100000; s++)
		whole = whole * 10 + *s - '0';
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10)
			part += (*s - '0') * unit;
	return *s ? 0 : whole * 1000000000ull + part;
}

int ping_main(int argc, char **argv)
{
	int i = 1;
	long n;

	p.interval = 1000000000ull;
	p.wait = 10 * 1000000000ull;
	p.size = 56;
	for (; i < argc && argv[i][0] == '-' && argv[i][1] && !argv[i][2]; i++) {
		char option = argv[i][1];
		if (option == 'q') {
			p.quiet = 1;
			continue;
		}
		if (++i == argc)
			return usage();
		n = number(argv[i], -1);
		if (option == 'c' && n > 0)
			p.count = n;
		else if (option == 'i' && seconds(argv[i]))
			p.interval = seconds(argv[i]);
		else if (option == 'W' && seconds(argv[i]))
			p.wait = seconds(argv[i]);
		else if (option == 's' && n >= 0 && n <= MAX_DATA)
			p.size = n;
		else
			return usage();
	}
	if (i != argc - 1)
		return usage();
	p.to.family = AF_INET;
	if (parse_ip(argv[i], &p.to.ip)) {
		dprintf(2, "ping: %s: not an address\n", argv[i]);
		return 2;
	}
	p.fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	if (p.fd < 0)
		return complain("socket", p.fd), 2;
	/* Connected, so that an address that cannot be reached at all is refused before anything is printed. */
	n = connect(p.fd, &p.to);
	close(p.fd);
	p.fd = n < 0 ? n : socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	if (p.fd < 0)
		return complain("connect", p.fd), 2;
	p.id = getpid();
	signal(SIGINT, (ulong)interrupt);
	printf("PING %s (%s) %u(%u) bytes of data.\n", argv[i], ip_text(p.to.ip), p.size,
	       p.size + (u32)(sizeof(struct ip) + sizeof(struct icmp)));
	flush();
	p.start = now();
	for (u64 next = p.start; !interrupted; next += p.interval) {
		send_echo();
		int last = p.count && p.sent == p.count;
		receive_until(last ? now() + p.wait : next + p.interval, last);
		if (last)
			break;
	}
	return summary(argv[i]);
}
