/* The boot processor's own data, and the proof that layout.h and the C structures agree. */
#include "percpu.h"
#include "proc.h"
#ifdef __x86_64__
#include <lguest64_abi.h>
#endif

_Static_assert(offsetof(struct percpu, self) + PERCPU_BASE == PC_SELF, "percpu");
_Static_assert(offsetof(struct percpu, task) + PERCPU_BASE == PC_CURRENT, "percpu");
_Static_assert(offsetof(struct percpu, kernel_sp) + PERCPU_BASE == PC_KERNEL_SP, "percpu");
_Static_assert(offsetof(struct percpu, user_sp) + PERCPU_BASE == PC_USER_SP, "percpu");
_Static_assert(offsetof(struct cpu_area, pc) == PERCPU_BASE, "cpu_area");
_Static_assert(offsetof(struct task, sp) == 0, "switch_to");
_Static_assert(sizeof(struct pt_regs) == PT_SIZE, "pt_regs");
_Static_assert(offsetof(struct pt_regs, orig_ax) == PT_ORIG_AX, "pt_regs");
_Static_assert(offsetof(struct pt_regs, ip) == PT_IP, "pt_regs");
_Static_assert(offsetof(struct pt_regs, cs) == PT_CS, "pt_regs");
_Static_assert(offsetof(struct pt_regs, flags) == PT_FLAGS, "pt_regs");
#ifdef __x86_64__
_Static_assert(PT_SIZE == LGR_SIZE && PT_IP == LGR_RIP && PT_RAX == LGR_RAX && PT_R11 == LGR_R11, "lguest64_regs");
_Static_assert(offsetof(struct percpu, tss) + 4 == offsetof(struct percpu, tss.rsp), "tss");
#endif

static struct task idle = { .on_cpu = true };

/* In .data, not .bss: the assembly that clears .bss runs before the hypervisor is told of the shared page. */
struct cpu_area cpu0_area __attribute__((section(".data.page"))) = {
#ifdef __x86_64__
	.shared = {
		[LGS_HCALL_STATUS ... LGS_HCALL_STATUS + 63] = 0xff,
		[LGS_BLOCKED_INTERRUPTS ... LGS_BLOCKED_INTERRUPTS + 3] = 0xff, /* each line opens with its driver */
		/* kernelAddress, little-endian: KERNEL_SPACE is 0xffff8000'00000000. noirqStart = noirqEnd = 0: none. */
		[LGS_KERNEL_ADDRESS + 5] = 0x80, [LGS_KERNEL_ADDRESS + 6] = 0xff, [LGS_KERNEL_ADDRESS + 7] = 0xff,
	},
#endif
	.pc = { .self = &cpu0_area.pc, .task = &idle, .idle = &idle },
};
