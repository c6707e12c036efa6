/*
 * Measuring several processors: smp-bench, pure computation on each; lock-bench, all at one lock; shootdown-bench, all in one
 * address space whose pages change under them. Each result is one line; a check that fails is another, and the exit status 1.
 */
#include "../lib/cpu.h"
#include "applets.h"

#define MOST 64

static int cpus_here;
static ulong cpus_mask;

/* The n-th processor that we may use, round and round. */
static ulong nth_cpu(int n)
{
	ulong mask = cpus_mask;
	for (n %= cpus_here; n > 0; n--)
		mask &= mask - 1;
	return mask & -mask;
}

static void find_cpus(void)
{
	cpus_mask = affinity(0);
	for (ulong mask = cpus_mask; mask; mask &= mask - 1)
		cpus_here++;
}

static int usage(const char *rest)
{
	dprintf(2, "usage: %s %s\n", program, rest);
	return 2;
}

/* Seconds with decimals, in nanoseconds; 0: not a time. */
static u64 duration(const char *s)
{
	u64 ns = 0, unit = 100000000;
	for (; *s >= '0' && *s <= '9'; s++)
		ns = ns * 10 + (*s - '0');
	ns *= 1000000000;
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10)
			ns += (*s - '0') * unit;
	return *s ? 0 : ns;
}

/* All begin together: each says that it is there and sleeps until told. */
struct start {
	volatile u32 ready, go;
};

static void wait_for_start(struct start *s)
{
	__atomic_fetch_add(&s->ready, 1, __ATOMIC_SEQ_CST);
	futex_wake(&s->ready, 1);
	while (!s->go)
		futex_wait(&s->go, 0);
}

static void start_all(struct start *s, u32 count)
{
	for (u32 there; (there = s->ready) < count;)
		futex_wait(&s->ready, there);
	s->go = 1;
	futex_wake(&s->go, MOST);
}

/* Every child's end: 0 if all went well. */
static int wait_for_all(const int *pids, int n)
{
	int failed = 0;
	for (int i = 0; i < n; i++) {
		int status = -1;
		while (wait4(pids[i], &status, 0) == -EINTR)
			;
		failed |= status != 0;
	}
	return failed;
}

static u64 per_second(u64 n, u64 ns)
{
	return ns / 1000 ? n * 1000000 / (ns / 1000) : 0;
}

/* ---- smp-bench ---- */

#define CHUNK 1000

static u32 compute(u32 x, u32 rounds)
{
	static u32 table[256];
	for (u32 i = 0; i < rounds; i++) {
		x = 36969 * (x & 0xffff) + (x >> 16);
		table[x & 255] += x;
		x ^= table[x >> 8 & 255] & 1;
	}
	return x;
}

struct smp_shared {
	struct start start;
	volatile u64 deadline;
	struct {
		volatile u64 rounds, end;
		volatile u32 result, padding[11];
	} worker[MOST];
};

static void smp_worker(struct smp_shared *s, int me, u64 work)
{
	u64 done = 0;
	u32 x = 12345 + me;
	set_affinity(0, nth_cpu(me));
	wait_for_start(&s->start);
	do {
		u32 rounds = work && work - done < CHUNK ? work - done : CHUNK;
		x = compute(x, rounds);
		done += rounds;
	} while (work ? done < work : monotonic_ns() < s->deadline);
	s->worker[me].result = x;
	s->worker[me].rounds = done;
	s->worker[me].end = monotonic_ns();
	_exit(0);
}

int smp_bench_main(int argc, char **argv)
{
	int pids[MOST], by_work = argc > 2 && argv[2][0] == 'w';
	find_cpus();
	long n = argc > 1 ? number(argv[1], 0) : cpus_here;
	u64 work = by_work ? (u64)number(argv[2] + 1, 0) : 0, time = argc > 2 && !by_work ? duration(argv[2]) : 100000000;
	if (argc > 3 || n < 1 || n > MOST || (by_work ? !work : !time))
		return usage("[PROCESSES [SECONDS | wROUNDS]]");
	struct smp_shared *s = map_shared(sizeof *s);
	if (!s)
		return complain("mmap", -ENOMEM);
	for (int i = 0; i < n; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			return complain("fork", pids[i]);
		if (pids[i] == 0)
			smp_worker(s, i, work);
	}
	while (s->start.ready < (u32)n)
		futex_wait(&s->start.ready, s->start.ready);
	u64 begin = monotonic_ns(), end = begin, total = 0;
	s->deadline = begin + time;
	start_all(&s->start, n);
	int failed = wait_for_all(pids, n);
	for (int i = 0; i < n; i++) {
		printf("smp-bench: process %d: %llu rounds\n", i, s->worker[i].rounds);
		total += s->worker[i].rounds;
		end = s->worker[i].end > end ? s->worker[i].end : end;
	}
	printf("smp-bench: %ld processes, %llu rounds, %llu ns, %llu rounds per second\n", n, total, end - begin,
	       per_second(total, end - begin));
	return failed || (work && total != work * n);
}

/* ---- lock-bench ---- */

struct lock_shared {
	struct start start;
	volatile u32 lock __attribute__((aligned(64))); /* spin, futex */
	volatile u32 next __attribute__((aligned(64))); /* ticket: the next to be drawn … */
	volatile u32 serving;                           /* … and the one whose turn it is */
	volatile ulong counter __attribute__((aligned(64)));
	volatile u64 begin, end[MOST];
};

static void pause_a_while(u32 *turns)
{
	__asm__ volatile("pause" ::: "memory");
	/* The holder may be waiting for the processor that we are burning. */
	if (++*turns % 2000 == 0)
		sched_yield();
}

static void spin_lock(struct lock_shared *s)
{
	u32 turns = 0, taken = 1;
	for (;;) {
		__asm__ volatile("lock; xchgl %0,%1" : "+r"(taken), "+m"(s->lock)::"memory");
		if (!taken)
			return;
		while (s->lock)
			pause_a_while(&turns);
	}
}
static void spin_unlock(struct lock_shared *s) { __atomic_store_n(&s->lock, 0, __ATOMIC_RELEASE); }

static void ticket_lock(struct lock_shared *s)
{
	u32 turns = 0, mine = 1;
	__asm__ volatile("lock; xaddl %0,%1" : "+r"(mine), "+m"(s->next)::"memory");
	while (s->serving != mine)
		pause_a_while(&turns);
}
static void ticket_unlock(struct lock_shared *s) { __atomic_store_n(&s->serving, s->serving + 1, __ATOMIC_RELEASE); }

/* 0 free, 1 taken, 2 taken and somebody sleeps */
static void futex_lock(struct lock_shared *s)
{
	u32 free = 0;
	if (__atomic_compare_exchange_n(&s->lock, &free, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(&s->lock, 2, __ATOMIC_SEQ_CST))
		futex_wait(&s->lock, 2);
}
static void futex_unlock(struct lock_shared *s)
{
	if (__atomic_exchange_n(&s->lock, 0, __ATOMIC_SEQ_CST) == 2)
		futex_wake(&s->lock, 1);
}

/* To see that the check sees. */
static void no_lock(struct lock_shared *s) { (void)s; }

static const struct kind {
	const char *name;
	void (*lock)(struct lock_shared *), (*unlock)(struct lock_shared *);
} kinds[] = {
	{"spin", spin_lock, spin_unlock},
	{"ticket", ticket_lock, ticket_unlock},
	{"futex", futex_lock, futex_unlock},
	{"none", no_lock, no_lock},
};

static void lock_worker(struct lock_shared *s, const struct kind *kind, int me, ulong each)
{
	set_affinity(0, nth_cpu(me));
	wait_for_start(&s->start);
	for (ulong i = 0; i < each; i++) {
		kind->lock(s);
		/* Read, then write: what a second holder adds in between is lost. */
		ulong count = s->counter;
		__asm__ volatile("pause" ::: "memory");
		s->counter = count + 1;
		kind->unlock(s);
	}
	s->end[me] = monotonic_ns();
	_exit(0);
}

static int lock_round(const struct kind *kind, int n, ulong each)
{
	int pids[MOST];
	struct lock_shared *s = map_shared(sizeof *s);
	if (!s)
		return complain("mmap", -ENOMEM);
	for (int i = 0; i < n; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			return complain("fork", pids[i]);
		if (pids[i] == 0)
			lock_worker(s, kind, i, each);
	}
	while (s->start.ready < (u32)n)
		futex_wait(&s->start.ready, s->start.ready);
	u64 begin = monotonic_ns(), end = begin;
	start_all(&s->start, n);
	int failed = wait_for_all(pids, n);
	for (int i = 0; i < n; i++)
		end = s->end[i] > end ? s->end[i] : end;
	printf("lock-bench: %s, %d processes, %lu acquisitions, %llu ns, %llu per second\n", kind->name, n, each * n,
	       end - begin, per_second(each * n, end - begin));
	if (s->counter != each * n) {
		printf("lock-bench: %s: BROKEN: the counter is %lu of %lu\n", kind->name, s->counter, each * n);
		failed = 1;
	}
	munmap(s, sizeof *s);
	return failed;
}

int lock_bench_main(int argc, char **argv)
{
	int failed = 0, found = 0;
	find_cpus();
	long n = argc > 1 ? number(argv[1], 0) : cpus_here, each = argc > 2 ? number(argv[2], 0) : 10000;
	const char *only = argc > 3 ? argv[3] : NULL;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		found |= !only || !strcmp(only, kinds[i].name);
	if (argc > 4 || n < 1 || n > MOST || each < 1 || !found)
		return usage("[PROCESSES [ACQUISITIONS [spin | ticket | futex | none]]]");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (only ? !strcmp(only, kinds[i].name) : strcmp("none", kinds[i].name))
			failed |= lock_round(&kinds[i], n, each);
	return failed;
}

/* ---- shootdown-bench ---- */

#define PAGE 4096
#define STACK 8192

/*
 * One page changes places: round after round a new, empty one takes its address and gets the round's number. Readers know
 * from `begun` and `published` when it must hold just that number. Who then sees another looks through a translation that
 * should be gone: to the page before, or to the zeroes that the new page was until it was written to.
 */
static struct {
	struct start start;
	volatile u32 begun, published, stop;
	volatile u32 *page;
	struct {
		volatile u32 stale, seen;
		volatile u64 reads;
		u32 padding[12];
	} reader[MOST];
} shoot;

static int reader_main(void *argument)
{
	int me = (long)argument;
	u64 reads = 0;
	u32 stale = 0;
	set_affinity(0, nth_cpu(me));
	wait_for_start(&shoot.start);
	while (!shoot.stop) {
		u32 round = shoot.published, value = *shoot.page;
		if (shoot.begun == round && value != round) {
			stale++;
			shoot.reader[me].seen = value;
		}
		reads++;
	}
	shoot.reader[me].stale = stale;
	shoot.reader[me].reads = reads;
	return 0;
}

static void remap(ulong rounds)
{
	for (ulong i = 1; i <= rounds; i++) {
		shoot.begun = i;
		map_again((void *)shoot.page, PAGE);
		(void)*shoot.page; /* the shared zero page first, sometimes: its place must be taken everywhere too */
		*shoot.page = i;
		shoot.published = i;
	}
}

static void reprotect(ulong rounds)
{
	for (ulong i = 0; i < rounds; i++) {
		mprotect((void *)shoot.page, PAGE, PROT_READ);
		mprotect((void *)shoot.page, PAGE, PROT_READ | PROT_WRITE);
		*shoot.page = shoot.published; /* or there would be nothing to take away the next time */
	}
}

static int shootdown_round(const char *name, void (*change)(ulong), int n, ulong rounds)
{
	int pids[MOST], readers = n - 1;
	u64 reads = 0;
	u32 stale = 0, seen = 0;
	shoot.start.ready = shoot.start.go = shoot.stop = 0;
	shoot.begun = shoot.published = *shoot.page = 0;
	for (int i = 0; i < readers; i++) {
		char *stack = malloc(STACK);
		pids[i] = clone_memory(reader_main, (void *)(long)(i + 1), stack + STACK);
		if (pids[i] < 0)
			return complain("clone", pids[i]);
	}
	set_affinity(0, nth_cpu(0));
	start_all(&shoot.start, readers);
	u64 begin = monotonic_ns();
	change(rounds);
	u64 ns = monotonic_ns() - begin;
	shoot.stop = 1;
	int failed = wait_for_all(pids, readers);
	set_affinity(0, cpus_mask);
	for (int i = 1; i <= readers; i++) {
		reads += shoot.reader[i].reads;
		stale += shoot.reader[i].stale;
		seen = shoot.reader[i].stale ? shoot.reader[i].seen : seen;
	}
	printf("shootdown-bench: %s, %d processors, %lu rounds, %llu ns, %llu ns each, %llu reads\n", name, n, rounds, ns,
	       ns / rounds, reads);
	if (stale) {
		printf("shootdown-bench: %s: STALE: %u reads through old translations, the last saw %u\n", name, stale, seen);
		failed = 1;
	}
	return failed;
}

int shootdown_bench_main(int argc, char **argv)
{
	find_cpus();
	long n = argc > 1 ? number(argv[1], 0) : cpus_here, rounds = argc > 2 ? number(argv[2], 0) : 1000;
	if (argc > 3 || n < 1 || n > MOST || rounds < 1)
		return usage("[PROCESSORS [ROUNDS]]");
	shoot.page = mmap(PAGE);
	if (!shoot.page)
		return complain("mmap", -ENOMEM);
	int failed = shootdown_round("remap", remap, n, rounds);
	return failed | shootdown_round("mprotect", reprotect, n, rounds);
}
