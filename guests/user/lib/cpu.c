#include "cpu.h"
#include "call.h"

int set_affinity(int pid, ulong mask) { return CALL3(241, 203, pid, sizeof mask, &mask); }

ulong affinity(int pid)
{
	ulong mask = 0;
	return CALL3(242, 204, pid, sizeof mask, &mask) < 0 ? 0 : mask;
}

int cpu_now(void)
{
	u32 cpu = 0;
	CALL3(318, 309, &cpu, 0, 0);
	return cpu;
}

int sched_yield(void) { return CALL0(158, 24); }

#define MAP_SHARED 1
#define MAP_FIXED 0x10

static void *map(void *at, size_t length, ulong flags)
{
	ulong got = syscall6(NR(192, 9), (ulong)at, length, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1ul, 0);
	return got > -4096ul ? NULL : (void *)got;
}

void *map_shared(size_t length) { return map(NULL, length, MAP_SHARED); }
void *map_again(void *start, size_t length) { return map(start, length, MAP_PRIVATE | MAP_FIXED); }
int mprotect(void *start, size_t length, int prot) { return CALL3(125, 10, start, length, prot); }

#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

long futex_wait(volatile u32 *word, u32 value) { return CALL4(240, 202, word, FUTEX_WAIT, value, 0); }
long futex_wake(volatile u32 *word, u32 count) { return CALL3(240, 202, word, FUTEX_WAKE, count); }

u64 monotonic_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.sec * 1000000000ull + t.nsec;
}
