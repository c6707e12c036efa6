/* Bare hardware with several processors; pv_native.c's half is in native_smp.c. */
#pragma once
#include "smp.h"

#define NATIVE_IPI_LINE 30 /* the highest but one, which is the local APIC's spurious interrupt */

int native_find_cpus(void);
void native_start_cpu(struct cpu_area *area, ulong stack);
void native_send_ipi(u32 mask);
void native_ipi_done(void);
void native_secondary_init(void); /* on each processor, with its tables loaded */
