/* struct lguest_data as C sees it; the offsets are those of the generated lguest_abi.h, and checked against it. */
#pragma once
#include <lguest_abi.h>
#include "types.h"

struct lguest_data {
	u32 irq_enabled;        /* bit 9 as in EFLAGS */
	u32 blocked_interrupts; /* bitmap */
	u32 cr2;
	u32 time_sec, time_nsec;
	u32 irq_pending;
	u8 hcall_status[LHCALL_RING_SIZE];
	struct {
		u32 nr, arg[4];
	} hcalls[LHCALL_RING_SIZE];
	/* The host's at boot. */
	u32 reserve_mem, tsc_khz;
	/* Ours at boot. */
	u32 noirq_iret, kernel_address, syscall_vec;
};
extern struct lguest_data lguest_data;

_Static_assert(offsetof(struct lguest_data, irq_pending) == LGUEST_DATA_IRQ_PENDING, "lguest_data");
_Static_assert(offsetof(struct lguest_data, hcalls) == LGUEST_DATA_HCALLS, "lguest_data");
_Static_assert(offsetof(struct lguest_data, noirq_iret) == LGUEST_DATA_NOIRQ_IRET, "lguest_data");
_Static_assert(sizeof(struct lguest_data) == LGUEST_DATA_SIZE, "lguest_data");
