/* Interrupts: line n arrives on vector 32 + n, from the 8259s natively, from the host under a hypervisor. */
#include "printk.h"
#include "proc.h"

/* Devices may share a line: each handler finds out whether it was its own. */
#define SHARERS 8
static struct handler {
	void (*fn)(void *data);
	void *data;               /* NULL: the handler wants the interrupted registers */
} handlers[EXTERNAL_VECTORS][SHARERS];
static ulong spurious;

void irq_register_shared(int irq, void (*fn)(void *), void *data)
{
	for (int i = 0; i < SHARERS; i++)
		if (!handlers[irq][i].fn) {
			handlers[irq][i].data = data;
			WRITE_ONCE(handlers[irq][i].fn, fn);
			trap_open_irq(irq);
			pv_ops.irq_enable_line(irq);
			return;
		}
	panic("more than %d devices on interrupt %d", SHARERS, irq);
}

void irq_register(int irq, void (*handler)(struct pt_regs *))
{
	irq_register_shared(irq, (void (*)(void *))(void (*)(void))handler, NULL);
}

void do_irq(struct pt_regs *regs, int irq)
{
	this_cpu()->irq_count++;
	this_cpu()->irqs[irq]++;
	/* Acknowledged first: a level-triggered line that its handler has calmed is then quiet, another edge is not lost. */
	pv_ops.irq_done(irq);
	if (!handlers[irq][0].fn)
		spurious++;
	for (struct handler *h = handlers[irq]; h < handlers[irq] + SHARERS && h->fn; h++)
		h->fn(h->data ? h->data : regs);
}
