/*
 * G:020 One image for all machines: a distribution wants to ship one kernel, said Rusty in 2007, and was right. So it
 * has to find out, early, and without touching anything that might not be there.
 *
 * Which machine is this? The boot loader says so in hardware_subarch, the field that Linux got for lguest and Xen; and
 * on the answer hangs which table of operations the kernel runs with from here on.
 */
#include "pv.h"
#include "printk.h"
#include "string.h"

struct pv_ops pv_ops;

void pv_select(u32 subarch, u64 design)
{
	switch (subarch) {
	case SUBARCH_NATIVE:
		pv_ops = pv_native;
		break;
	case SUBARCH_LGUEST:
#ifdef __x86_64__
		pv_ops = pv_lguest64;
		lguest64_adapt(design);
#else
		pv_ops = pv_lguest;
		lguest_adapt(design);
#endif
		break;
	default:
		/* No operation can be trusted, not even "power off". */
		for (;;)
			__asm__ volatile("hlt");
	}
}
