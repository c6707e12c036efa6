/*
 * Run as /init on a machine with a network card and an entropy device: asks puppy for what it promises of sockets, poll and
 * random numbers, prints "ok NAME" or "FAIL NAME" for each and powers the machine off. At 10.0.2.2 is QEMU's own
 * gateway, which answers echoes; there is nobody else.
 */
#include "../../../guests/user/lib/call.h"
#include "../../../guests/user/lib/net.h"

static int checks, failed;
static void check(int ok, const char *name)
{
	checks++;
	failed += !ok;
	printf("%s %s\n", ok ? "ok" : "FAIL", name);
	flush();
}
static void equal(long got, long wanted, const char *name)
{
	check(got == wanted, name);
	if (got != wanted)
		printf("(%ld, not %ld)\n", got, wanted);
}

static u64 now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.sec * 1000000000ull + t.nsec;
}
static void pause_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t);
}

static struct address at(u32 ip, u16 port) { return (struct address){AF_INET, to16(port), to32(ip), {0}}; }
#define HOME 0x7f000001
#define GATEWAY 0x0a000202
#define NOBODY 0x0a000263
#define NONBLOCK 04000

static int udp(void) { return socket(AF_INET, SOCK_DGRAM, 0); }

/* ---- Sockets ---- */

static void check_datagrams(void)
{
	struct address a = at(HOME, 7000), from, b;
	char buf[2000];
	int s = udp(), c = udp();

	equal(bind(s, &a), 0, "bind");
	equal(bind(udp(), &a), -EADDRINUSE, "a port has one owner");
	b = at(NOBODY, 1);
	equal(bind(c, &b), -EADDRNOTAVAIL, "an address that is not ours cannot be bound");
	equal(sendto(c, "hello", 5, &a), 5, "sendto");
	equal(recvfrom(s, buf, sizeof buf, &from), 5, "recvfrom");
	check(!memcmp(buf, "hello", 5) && get32(from.ip) == HOME && get16(from.port) >= 32768, "the datagram and its sender");
	equal(sendto(s, "back", 4, &from), 4, "the answer goes");
	equal(recvfrom(c, buf, 2, NULL), 2, "a datagram that is too long is cut");
	equal(syscall6(NR(371, 45), c, (ulong)buf, 9, 0x40, 0, 0), -EAGAIN, "and its rest is lost");
	equal(sendto(c, "", 0, &a), 0, "a datagram may be empty");
	equal(recvfrom(s, buf, sizeof buf, NULL), 0, "and arrives");
	equal(sendto(c, "x", 1, NULL), -EDESTADDRREQ, "nowhere to go");
	equal(sendto(c, buf, 1472, &a), 1472, "as long as the MTU allows");
	equal(sendto(c, buf, 1473, &a), -EMSGSIZE, "and no longer");
	equal(recvfrom(s, buf, sizeof buf, NULL), 1472, "the long one arrives");
	equal(sendto(c, (void *)8, 4, &a), -14, "a bad address is EFAULT");
	b = at(0x01020304, 9);
	equal(sendto(c, "x", 1, &b), -ENETUNREACH, "no way there");
	b = at(0x0a0002ff, 9);
	equal(sendto(c, "x", 1, &b), -EACCES, "everyone is addressed only if that is meant");
	int one = 1;
	setsockopt(c, SOL_SOCKET, SO_BROADCAST, &one, sizeof one);
	equal(sendto(c, "x", 1, &b), 1, "and then is");
	equal(socket(10, SOCK_DGRAM, 0), -97, "no IPv6");
	equal(socket(AF_INET, 1, 0), -93, "no streams");
	equal(recvfrom(0, buf, 1, NULL), -88, "the console is no socket");
	close(s);
	close(c);
	equal(bind(s = udp(), &a), 0, "a closed socket's port is free");
	close(s);
}

static void check_connected(void)
{
	struct address a = at(HOME, 7001), b = at(HOME, 7002);
	char buf[16];
	u32 size = sizeof b;
	int s = udp(), c = udp(), error;

	bind(s, &a);
	bind(c, &b);
	equal(connect(c, &a), 0, "connect");
	equal(write(c, "ab", 2), 2, "write");
	equal(read(s, buf, sizeof buf), 2, "read");
	equal(syscall6(NR(368, 52), c, (ulong)&b, (ulong)&size, 0, 0, 0), 0, "getpeername");
	check(get16(b.port) == 7001 && get32(b.ip) == HOME, "the peer's name");
	equal(syscall6(NR(367, 51), c, (ulong)&b, (ulong)&size, 0, 0, 0), 0, "getsockname");
	equal(get16(b.port), 7002, "the socket's own name");
	int stranger = udp();
	sendto(stranger, "zz", 2, &b);
	equal(syscall6(NR(371, 45), c, (ulong)buf, 9, 0x40, 0, 0), -EAGAIN, "a connected socket hears its partner alone");
	close(s);
	equal(write(c, "cd", 2), 2, "into the void");
	equal(write(c, "ef", 2), -ECONNREFUSED, "the port is closed: the next call says so");
	write(c, "gh", 2);
	size = sizeof error;
	equal(syscall6(NR(365, 55), c, SOL_SOCKET, 4, (ulong)&error, (ulong)&size, 0), 0, "getsockopt");
	equal(error, ECONNREFUSED, "SO_ERROR");
	a = at(NOBODY, 9);
	b = at(0, 0);
	s = udp();
	equal(connect(s, &a), 0, "connect to somebody who is not there");
	equal(write(s, "x", 1), 1, "sent");
	u64 start = now();
	equal(read(s, buf, sizeof buf), -EHOSTUNREACH, "nobody answers for that address");
	check(now() - start > 2000000000ull && now() - start < 8000000000ull, "after three seconds");
	close(s);
	close(c);
	close(stranger);
}

static void check_messages(void)
{
	struct {
		const void *base;
		size_t size;
	} out[3] = {{"one ", 4}, {"", 0}, {"two", 3}}, in[2];
	char first[3], second[32];
	struct address a = at(HOME, 7003), from;
	struct {
		void *name;
		u32 name_size;
		void *pieces;
		size_t count;
		void *control;
		size_t control_size;
		u32 flags;
	} m = {&a, sizeof a, out, 3, NULL, 0, 0};
	int s = udp(), c = udp();

	bind(s, &a);
	equal(syscall6(NR(370, 46), c, (ulong)&m, 0, 0, 0, 0), 7, "sendmsg");
	in[0].base = first, in[0].size = sizeof first;
	in[1].base = second, in[1].size = sizeof second;
	m.name = &from, m.pieces = in, m.count = 2;
	equal(syscall6(NR(372, 47), s, (ulong)&m, 0, 0, 0, 0), 7, "recvmsg");
	check(!memcmp(first, "one", 3) && !memcmp(second, " two", 4) && get32(from.ip) == HOME, "in pieces");
	close(s);
	close(c);
}

#ifndef __x86_64__
static void check_socketcall(void)
{
	ulong arguments[6] = {AF_INET, SOCK_DGRAM, 0};
	struct address a = at(HOME, 7004);
	char buf[8];
	int s = syscall6(102, 1, (ulong)arguments, 0, 0, 0, 0);

	check(s >= 0, "socketcall: socket");
	arguments[0] = s, arguments[1] = (ulong)&a, arguments[2] = sizeof a;
	equal(syscall6(102, 2, (ulong)arguments, 0, 0, 0, 0), 0, "socketcall: bind");
	ulong to[6] = {s, (ulong) "old", 3, 0, (ulong)&a, sizeof a};
	equal(syscall6(102, 11, (ulong)to, 0, 0, 0, 0), 3, "socketcall: sendto");
	ulong from[6] = {s, (ulong)buf, sizeof buf, 0};
	equal(syscall6(102, 10, (ulong)from, 0, 0, 0, 0), 3, "socketcall: recv");
	equal(syscall6(102, 99, (ulong)from, 0, 0, 0, 0), -EINVAL, "socketcall: no such");
	close(s);
}
#endif

/* ---- Waiting ---- */

static void check_waiting(void)
{
	struct address a = at(HOME, 7005);
	char buf[8];
	int s = udp(), ends[2], pid, status;
	struct pollfd list[3];
	u64 start;

	bind(s, &a);
	pipe(ends);
	list[0] = (struct pollfd){s, POLLIN, 0};
	list[1] = (struct pollfd){ends[0], POLLIN, 0};
	list[2] = (struct pollfd){ends[1], 4, 0};
	equal(poll(list, 2, 0), 0, "nothing to read yet");
	start = now();
	equal(poll(list, 2, 30), 0, "nor after a while");
	check(now() - start >= 30000000, "which has passed");
	equal(poll(list, 3, -1), 1, "a pipe can be written to");
	equal(list[2].revents, 4, "POLLOUT");
	sendto(s, "x", 1, &a);
	equal(poll(list, 2, -1), 1, "a datagram is there");
	check(list[0].revents == POLLIN && !list[1].revents, "POLLIN");
	read(s, buf, 1);
	pid = fork();
	if (!pid) {
		pause_ms(20);
		write(ends[1], "y", 1);
		pause_ms(20);
		sendto(s, "z", 1, &a);
		pause_ms(20);
		_exit(0);
	}
	equal(poll(list, 2, 5000), 1, "woken by a pipe");
	equal(list[1].revents, POLLIN, "the pipe's POLLIN");
	read(ends[0], buf, 1);
	equal(poll(list, 2, 5000), 1, "woken by a socket");
	equal(list[0].revents, POLLIN, "the socket's POLLIN");
	read(s, buf, 1);
	wait4(pid, &status, 0);
	close(ends[1]);
	equal(poll(list + 1, 1, -1), 1, "a pipe without writers");
	equal(list[1].revents, POLLHUP, "POLLHUP");
	list[0].fd = 60;
	equal(poll(list, 1, 0), 1, "no such file");
	equal(list[0].revents, 0x20, "POLLNVAL");
	list[0] = (struct pollfd){0, POLLIN, 0};
	equal(poll(list, 1, 0), 0, "nobody types");

	u64 set = 1ull << s, out = 1ull << s;
	long none[2] = {0, 0}, some[2] = {0, 20000};
	equal(syscall6(NR(142, 23), s + 1, (ulong)&set, (ulong)&out, 0, (ulong)none, 0), 1, "select");
	check(!set && out == 1ull << s, "writable, not readable");
	set = 1ull << s;
	start = now();
	equal(syscall6(NR(142, 23), s + 1, (ulong)&set, 0, 0, (ulong)some, 0), 0, "select waits");
	check(now() - start >= 20000000, "as long as it is told to");
	sendto(s, "x", 1, &a);
	set = 1ull << s;
	equal(syscall6(NR(142, 23), s + 1, (ulong)&set, 0, 0, 0, 0), 1, "select: readable");
	read(s, buf, 1);
	set = 1ull << 50;
	equal(syscall6(NR(142, 23), 51, (ulong)&set, 0, 0, (ulong)none, 0), -EBADF, "select: no such file");

	equal(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, some, sizeof some), 0, "SO_RCVTIMEO");
	start = now();
	equal(read(s, buf, 1), -EAGAIN, "reading gives up");
	check(now() - start >= 20000000, "in time");
	syscall6(NR(55, 72), s, 4, NONBLOCK, 0, 0, 0);
	some[0] = 100;
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, some, sizeof some);
	equal(read(s, buf, 1), -EAGAIN, "O_NONBLOCK");
	close(s);
	close(ends[0]);
}

/* ---- Echoes ---- */

static void check_echo(u32 ip, const char *name)
{
	struct {
		u8 type, code;
		be16 checksum, id, sequence;
		char data[8];
	} m = {8, 0, to16(0), to16(0), to16(3), "echoecho"}, reply;
	struct address to = at(ip, 0), from;
	int s = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	long seconds[2] = {3, 0};

	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, seconds, sizeof seconds);
	equal(sendto(s, &m, sizeof m, &to), sizeof m, name);
	equal(recvfrom(s, &reply, sizeof reply, &from), sizeof reply, "the echo");
	check(reply.type == 0 && get16(reply.sequence) == 3 && !memcmp(reply.data, m.data, 8) && get32(from.ip) == ip,
	      "is what was sent");
	m.type = 0;
	equal(sendto(s, &m, sizeof m, &to), -EINVAL, "such a socket sends nothing but questions");
	close(s);
}

/* ---- Random numbers ---- */

static long slurp(const char *path, void *buf, size_t n)
{
	int fd = open(path, O_RDONLY, 0);
	long got = fd < 0 ? fd : read(fd, buf, n);
	close(fd);
	return got;
}

/* Of 4096 random bits about half are ones: 8 deviations (of 32) away is once in 10^15 tries. */
static int looks_random(const u8 *bytes, size_t n)
{
	long ones = 0;
	for (size_t i = 0; i < n * 8; i++)
		ones += bytes[i / 8] >> i % 8 & 1;
	return n == 512 && ones > 2048 - 256 && ones < 2048 + 256;
}

static void check_random(void)
{
	static u8 bytes[4][512];
	static const char *const paths[] = {"/dev/random", "/dev/urandom", "/dev/hwrng"};

	for (int i = 0; i < 3; i++) {
		equal(slurp(paths[i], bytes[i], 512), 512, paths[i]);
		check(looks_random(bytes[i], 512), "is random");
	}
	equal(syscall6(NR(355, 318), (ulong)bytes[3], 512, 0, 0, 0, 0), 512, "getrandom");
	check(looks_random(bytes[3], 512), "is random");
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < i; k++)
			check(memcmp(bytes[i], bytes[k], 512) != 0, "no two are alike");
	equal(syscall6(NR(355, 318), 8, 16, 0, 0, 0, 0), -14, "getrandom: EFAULT");
	equal(syscall6(NR(355, 318), (ulong)bytes, 16, 0x80, 0, 0, 0), -EINVAL, "getrandom: no such flag");
}

int main(void)
{
	open("/dev/console", O_RDWR, 0);
	dup2(0, 1);
	dup2(0, 2);
	check_random();
	check_datagrams();
	check_connected();
	check_messages();
#ifndef __x86_64__
	check_socketcall();
#endif
	check_waiting();
	check_echo(HOME, "an echo from here");
	check_echo(GATEWAY, "an echo from the gateway");
	printf(failed ? "%d checks, %d failed\n" : "%d checks passed\n", checks, failed);
	flush();
	reboot(REBOOT_POWER_OFF, failed);
	return 0;
}
