/*
 * The measuring programs. Each takes a number of operations and prints one line: how many were done, how long they took
 * by CLOCK_MONOTONIC, and what one of them cost.
 */
#include "applets.h"

static u64 now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.sec * 1000000000ull + t.nsec;
}

static ulong iterations(int argc, char **argv, ulong usual)
{
	long n = argc > 1 ? number(argv[1], -1) : (long)usual;
	if (n > 0)
		return n;
	dprintf(2, "usage: %s [OPERATIONS]\n", program);
	exit(2);
}

static int report(ulong operations, u64 ns, const char *what)
{
	u64 tenths = ns * 10 / operations;
	printf("%s: %lu %s, %llu ns, %llu.%llu ns each\n", program, operations, what, ns, tenths / 10, tenths % 10);
	return 0;
}

int getpid_loop_main(int argc, char **argv)
{
	ulong n = iterations(argc, argv, 100000);
	u64 start = now();
	for (ulong i = 0; i < n; i++)
		getpid();
	return report(n, now() - start, "system calls");
}

int fork_bench_main(int argc, char **argv)
{
	ulong n = iterations(argc, argv, 200);
	u64 start = now();
	for (ulong i = 0; i < n; i++) {
		int status, pid = fork();
		if (pid < 0)
			return complain("fork", pid);
		if (pid == 0)
			_exit(0);
		wait4(pid, &status, 0);
	}
	return report(n, now() - start, "forks with exit and wait");
}

#define PAGE 4096
#define STRETCH 64 /* pages that are mapped at a time */

int page_bench_main(int argc, char **argv)
{
	ulong n = iterations(argc, argv, 4096), left = n;
	u64 start = now();
	while (left) {
		ulong pages = left < STRETCH ? left : STRETCH;
		volatile char *at = mmap(pages * PAGE);
		if (!at)
			return complain("mmap", ENOMEM);
		for (ulong i = 0; i < pages; i++)
			at[i * PAGE] = 1;
		munmap((void *)at, pages * PAGE);
		left -= pages;
	}
	return report(n, now() - start, "pages mapped, touched and unmapped");
}

/* Two processes pass one byte to and fro: each operation is two context switches. */
int ctx_bench_main(int argc, char **argv)
{
	ulong n = iterations(argc, argv, 1000);
	int to[2], from[2], pid, status, error;
	char byte = 0;
	if ((error = pipe(to)) < 0 || (error = pipe(from)) < 0)
		return complain("pipe", error);
	pid = fork();
	if (pid < 0)
		return complain("fork", pid);
	if (pid == 0) {
		close(to[1]);
		close(from[0]);
		while (read(to[0], &byte, 1) == 1)
			write(from[1], &byte, 1);
		_exit(0);
	}
	close(to[0]);
	close(from[1]);
	u64 start = now();
	for (ulong i = 0; i < n; i++)
		if (write(to[1], &byte, 1) != 1 || read(from[0], &byte, 1) != 1)
			return complain("pipe", EPIPE);
	u64 end = now();
	close(to[1]);
	wait4(pid, &status, 0);
	return report(n, end - start, "round trips between two processes");
}

int pipe_bench_main(int argc, char **argv)
{
	static char block[4096];
	ulong n = iterations(argc, argv, 1000);
	int ends[2], pid, status, error;
	if ((error = pipe(ends)) < 0)
		return complain("pipe", error);
	u64 start = now();
	pid = fork();
	if (pid < 0)
		return complain("fork", pid);
	if (pid == 0) {
		close(ends[0]);
		for (ulong i = 0; i < n; i++)
			for (size_t done = 0; done < sizeof block;) {
				long written = write(ends[1], block + done, sizeof block - done);
				if (written <= 0)
					_exit(1);
				done += written;
			}
		_exit(0);
	}
	close(ends[1]);
	u64 bytes = 0;
	long got;
	while ((got = read(ends[0], block, sizeof block)) > 0)
		bytes += got;
	wait4(pid, &status, 0);
	if (bytes != (u64)n * sizeof block) {
		dprintf(2, "pipe-bench: %llu bytes came through\n", bytes);
		return 1;
	}
	return report(n, now() - start, "blocks of 4096 bytes through a pipe");
}

/* Integer work that stays in registers and cache: a multiply-with-carry generator feeding a small sieve of branches. */
int cpu_bench_main(int argc, char **argv)
{
	static u32 table[256];
	ulong n = iterations(argc, argv, 1000000);
	u32 x = 12345, sum = 0;
	u64 start = now();
	for (ulong i = 0; i < n; i++) {
		x = 36969 * (x & 0xffff) + (x >> 16);
		table[x & 255] += x;
		sum ^= table[(x >> 8) & 255];
		if (x & 0x10000)
			sum += i;
	}
	u64 ns = now() - start;
	volatile u32 result = sum; /* or the compiler would drop the loop */
	(void)result;
	return report(n, ns, "rounds of integer work");
}
