/* Interrupts: line n arrives on vector 32 + n, from the 8259s natively, from the host under a hypervisor. */
#include "printk.h"
#include "proc.h"

#define SHARERS 4
static void (*handlers[EXTERNAL_VECTORS][SHARERS])(struct pt_regs *);
static ulong spurious;

void irq_register(int irq, void (*handler)(struct pt_regs *))
{
	for (int i = 0; i < SHARERS; i++)
		if (!handlers[irq][i]) {
			handlers[irq][i] = handler;
			trap_open_irq(irq);
			pv_ops.irq_enable_line(irq);
			return;
		}
	panic("more than %d devices on interrupt %d", SHARERS, irq);
}

void do_irq(struct pt_regs *regs, int irq)
{
	this_cpu()->irq_count++;
	/* Acknowledged first: a level-triggered line that its handler has calmed is then quiet, another edge is not lost. */
	pv_ops.irq_done(irq);
	if (!handlers[irq][0])
		spurious++;
	for (int i = 0; i < SHARERS && handlers[irq][i]; i++)
		handlers[irq][i](regs);
}
