/* Stands in for puppy's proc.h and what it includes, where the network's files are built for the machine that tests them. */
#pragma once
#include "types.h"
#include "string.h"

struct waitq {
	int unused;
};
struct ktimer {
	struct ktimer *next;
	u64 deadline;
	void (*fn)(struct ktimer *t);
	bool queued, running;
};
void timer_start(struct ktimer *t, u64 deadline);
void wake_all(struct waitq *q);
u64 now_ns(void);
