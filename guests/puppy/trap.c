/*
 * G:150 Here the stubs arrive in C. Nothing in this file knows of Hosts any more, and that is how you recognise a good
 * treaty.
 *
 * Exceptions: a page fault may be a promise to keep (mm/fault.c); anything else that a user causes becomes a signal,
 * and anything that the kernel causes is either in the exception table or the end.
 */
#include "errno.h"
#include "printk.h"
#include "proc.h"

void syscall_entry(void), double_fault(void);
extern char trap_stubs[];

static const char *const names[] = {
	"divide error", "debug", "NMI", "breakpoint", "overflow", "bound range", "invalid opcode", "device not available",
	"double fault", "coprocessor overrun", "invalid TSS", "segment not present", "stack fault", "general protection",
	"page fault", "spurious interrupt", "floating point", "alignment check", "machine check", "SIMD floating point",
};

static const u8 signals[20] = {
	[0] = SIGFPE, [1] = SIGTRAP, [3] = SIGTRAP, [4] = SIGSEGV, [5] = SIGSEGV, [6] = SIGILL, [7] = SIGFPE, [9] = SIGFPE,
	[10] = SIGSEGV, [11] = SIGBUS, [12] = SIGBUS, [13] = SIGSEGV, [16] = SIGFPE, [17] = SIGBUS, [19] = SIGFPE,
};

static const char *trap_name(u32 vector) { return vector < ARRAY_SIZE(names) ? names[vector] : "unknown trap"; }

static void die(struct pt_regs *regs, u32 vector, ulong error, ulong address)
{
	panic("%s in the kernel at %lx (error %lx, address %lx, %s[%d])", trap_name(vector), regs->ip, error, address,
	      current->comm, current->pid);
}

__attribute__((used)) void double_fault(void) { panic("double fault, probably a kernel stack overflow"); }

#define ERROR_WRITE 2
#define ERROR_USER 4
#define ERROR_FETCH 16

static void page_fault(struct pt_regs *regs, ulong error)
{
	ulong address = pv_ops.read_cr2();
	struct task *t = current;

	if (regs->flags & FLAG_IF)
		irq_enable();
	if (address >= TASK_SIZE || !t->mm) {
		if (!user_mode(regs)) {
			if (!fixup_exception(regs))
				die(regs, 14, error, address);
			return;
		}
	} else {
		enum fault_result r = mm_fault(t->mm, address, error & ERROR_WRITE, error & ERROR_FETCH);
		if (r == FAULT_OK)
			return;
		if (!user_mode(regs)) {
			if (!fixup_exception(regs))
				die(regs, 14, error, address);
			return;
		}
		if (r == FAULT_OOM) {
			pr_warn("out of memory: %s[%d] killed\n", t->comm, t->pid);
			force_signal(t, SIGKILL);
			return;
		}
		if (r == FAULT_BUS) {
			force_signal(t, SIGBUS);
			return;
		}
	}
	pr_info("%s[%d]: segfault at %lx ip %lx sp %lx error %lx\n", t->comm, t->pid, address, regs->ip, regs->sp, error);
	force_signal(t, SIGSEGV);
}

/* From the stubs of entry_*.S, interrupts off. Returns whether user mode is where we go back to. */
__attribute__((used)) long trap_handler(struct pt_regs *regs, ulong vector)
{
	ulong error = regs->orig_ax;

	regs->orig_ax = -1;
	if (vector >= FIRST_EXTERNAL_VECTOR) {
		do_irq(regs, vector - FIRST_EXTERNAL_VECTOR);
	} else if (vector == 14) {
		page_fault(regs, error);
	} else if (vector == 8) {
		double_fault();
	} else if (vector == 2) {
		pr_warn("NMI ignored\n");
	} else if (user_mode(regs)) {
		irq_enable();
		if (vector == 1)
			regs->flags &= ~FLAG_TF;
		pr_info("%s[%d]: %s ip %lx sp %lx error %lx\n", current->comm, current->pid, trap_name(vector), regs->ip,
			regs->sp, error);
		force_signal(current, vector < ARRAY_SIZE(signals) && signals[vector] ? signals[vector] : SIGSEGV);
	} else if (!fixup_exception(regs)) {
		die(regs, vector, error, 0);
	}
	return user_mode(regs);
}

static void (*stub(int vector))(void) { return (void (*)(void))(trap_stubs + 16 * vector); }

void trap_open_irq(int irq) { pv_ops.set_gate(FIRST_EXTERNAL_VECTOR + irq, stub(FIRST_EXTERNAL_VECTOR + irq), 0, false); }

void trap_init(void)
{
	for (int v = 0; v < FIRST_EXTERNAL_VECTOR; v++)
		if (v != 15 && v != 31)
			pv_ops.set_gate(v, stub(v), v == 3 || v == 4 ? 3 : 0, false);
	/* Bare hardware may interrupt on a line that nobody asked for; a hypervisor does not, and each gate is a hypercall. */
	if (pv_ops.has_ports)
		for (int irq = 0; irq < EXTERNAL_VECTORS; irq++)
			trap_open_irq(irq);
#ifndef __x86_64__
	pv_ops.set_gate(SYSCALL_VECTOR, syscall_entry, 3, true);
#endif
	pv_ops.set_syscall();
	pv_ops.set_kernel_stack((ulong)current->stack + KERNEL_STACK);
}
