/* What the processor shows us: saved registers, ports, control and model-specific registers. */
#pragma once
#include "layout.h"
#include "types.h"

/* The registers of whoever was interrupted, as entry_32.S and entry_64.S lay them on the kernel stack: Linux's order. */
struct pt_regs {
#ifdef __x86_64__
	ulong r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
#else
	ulong bx, cx, dx, si, di, bp, ax, ds, es, fs, gs;
#endif
	ulong orig_ax; /* system call: its number; trap: first the error code, then -1 */
	ulong ip, cs, flags, sp, ss;
};

#define FLAG_TF 0x100ul
#define FLAG_IF 0x200ul
#define FLAG_DF 0x400ul
/* What a user may set in its own flags: CF PF AF ZF SF TF DF OF AC ID. */
#define FLAG_USER 0x240dd5ul

static inline void outb(u16 port, u8 v) { __asm__ volatile("outb %0,%1" ::"a"(v), "Nd"(port)); }
static inline void outw(u16 port, u16 v) { __asm__ volatile("outw %0,%1" ::"a"(v), "Nd"(port)); }
static inline void outl(u16 port, u32 v) { __asm__ volatile("outl %0,%1" ::"a"(v), "Nd"(port)); }
static inline u8 inb(u16 port)
{
	u8 v;
	__asm__ volatile("inb %1,%0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline u32 inl(u16 port)
{
	u32 v;
	__asm__ volatile("inl %1,%0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline void cpuid(u32 leaf, u32 *a, u32 *b, u32 *c, u32 *d)
{
	__asm__ volatile("cpuid" : "=a"(*a), "=b"(*b), "=c"(*c), "=d"(*d) : "a"(leaf), "c"(0));
}
static inline void wrmsr(u32 msr, u64 v) { __asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory"); }
static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;
	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (u64)hi << 32 | lo;
}
static inline u64 rdtsc(void)
{
	u32 lo, hi;
	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (u64)hi << 32 | lo;
}
static inline ulong read_cr0(void) { ulong v; __asm__ volatile("mov %%cr0,%0" : "=r"(v)); return v; }
static inline void write_cr0(ulong v) { __asm__ volatile("mov %0,%%cr0" ::"r"(v) : "memory"); }
static inline ulong read_cr4(void) { ulong v; __asm__ volatile("mov %%cr4,%0" : "=r"(v)); return v; }
static inline void write_cr4(ulong v) { __asm__ volatile("mov %0,%%cr4" ::"r"(v) : "memory"); }
static inline void cpu_relax(void) { __asm__ volatile("pause" ::: "memory"); }

#define CR0_EM 0x4ul     /* no floating point: any use traps, and no state needs saving */
#define CR0_WP 0x10000ul /* read-only pages bind the kernel too: copy-on-write relies on it */
#define CR4_PSE 0x10ul
#define CR4_PGE 0x80ul
