/* How a system call is made: its number on each architecture, and its arguments as words. */
#pragma once
#include "user.h"

#ifdef __x86_64__
#define NR(i386, x86_64) x86_64
#else
#define NR(i386, x86_64) i386
#endif

long syscall6(long number, ulong a, ulong b, ulong c, ulong d, ulong e, ulong f);
#define CALL0(i, x) syscall6(NR(i, x), 0, 0, 0, 0, 0, 0)
#define CALL1(i, x, a) syscall6(NR(i, x), (ulong)(a), 0, 0, 0, 0, 0)
#define CALL2(i, x, a, b) syscall6(NR(i, x), (ulong)(a), (ulong)(b), 0, 0, 0, 0)
#define CALL3(i, x, a, b, c) syscall6(NR(i, x), (ulong)(a), (ulong)(b), (ulong)(c), 0, 0, 0)
#define CALL4(i, x, a, b, c, d) syscall6(NR(i, x), (ulong)(a), (ulong)(b), (ulong)(c), (ulong)(d), 0, 0)
