/* gcc calls these for 64-bit division on i386, and would find them in libgcc. */
#include "types.h"

static u64 divide(u64 n, u64 d, u64 *remainder)
{
	u32 high = n >> 32, low = n, q_high, q_low, r;

	if (!(d >> 32)) {
		/* Two steps of schoolbook division; DIV takes 64 bits by 32, and the first remainder is below the divisor. */
		u32 d32 = d;
		q_high = high / d32;
		r = high % d32;
		__asm__("divl %4" : "=a"(q_low), "=d"(r) : "0"(low), "1"(r), "rm"(d32) : "cc");
		if (remainder)
			*remainder = r;
		return (u64)q_high << 32 | q_low;
	}
	/* A divisor above 32 bits leaves a quotient below 2^32: one bit at a time is quick enough for so rare a case. */
	u64 q = 0, rest = 0;
	for (int i = 63; i >= 0; i--) {
		rest = rest << 1 | (n >> i & 1);
		if (rest >= d) {
			rest -= d;
			q |= 1ull << i;
		}
	}
	if (remainder)
		*remainder = rest;
	return q;
}

/* Called by code that gcc generates, with the calling convention that the kernel is compiled with. */
#define LIBGCC __attribute__((used))
LIBGCC u64 __udivmoddi4(u64 n, u64 d, u64 *remainder) { return divide(n, d, remainder); }
LIBGCC u64 __udivdi3(u64 n, u64 d) { return divide(n, d, NULL); }
LIBGCC u64 __umoddi3(u64 n, u64 d)
{
	u64 r;
	divide(n, d, &r);
	return r;
}
LIBGCC s64 __divdi3(s64 n, s64 d)
{
	u64 q = divide(n < 0 ? -(u64)n : (u64)n, d < 0 ? -(u64)d : (u64)d, NULL);
	return (n < 0) != (d < 0) ? -q : q;
}
LIBGCC s64 __moddi3(s64 n, s64 d)
{
	u64 r;
	divide(n < 0 ? -(u64)n : (u64)n, d < 0 ? -(u64)d : (u64)d, &r);
	return n < 0 ? -r : r;
}
