/* What pv_native.c's table takes from the other files about bare hardware. */
#pragma once
#include "percpu.h"

/* native_tables.c */
void native_load_tables(struct percpu *pc);
void native_set_kernel_stack(ulong top);
void native_load_tls(struct task *t);
void native_set_gate(int vector, void (*handler)(void), int dpl, bool trap);

/* native_clock.c */
void native_clock_start(void);
void native_clock_next(u64 ns);
u64 native_clock_ns(void);
u64 native_wall_seconds(void);

/* pv_native.c */
void native_irq_enable_line(int irq);
