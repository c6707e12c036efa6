/* Several processors, as a program meets them: where it may run, memory that several processes have, waiting for a word. */
#pragma once
#include "user.h"

int set_affinity(int pid, ulong mask); /* pid 0: the caller; bit n: processor n */
ulong affinity(int pid);               /* 0: no such process */
int cpu_now(void);
int sched_yield(void);

#define PROT_NONE 0
void *map_shared(size_t length);            /* zeroes that fork does not copy; NULL: none */
void *map_again(void *start, size_t length); /* private zeroes in place of what is there; NULL: none */
int mprotect(void *start, size_t length, int prot);

long futex_wait(volatile u32 *word, u32 value); /* sleeps while it has this value */
long futex_wake(volatile u32 *word, u32 count);

/* A process that shares all of our memory and begins in fn, on a stack of its own that ends at `top`. What fn returns is
 * its exit status; it must not use what has no lock, such as printf. */
int clone_memory(int (*fn)(void *), void *argument, void *top);

u64 monotonic_ns(void);
