/*
 * Addresses, selectors and offsets that C and assembly must agree on. Offsets into C structures are checked by
 * _Static_assert in percpu.c, so that this file cannot quietly go wrong.
 */
#pragma once

#ifdef __x86_64__
#define KERNEL_OFFSET 0xffffffff80000000 /* the image: virtual minus physical */
#define DIRECT_MAP 0xffff880000000000    /* all of RAM, unless the host wants these addresses */
#define IOREMAP_BASE 0xffffc90000000000  /* device registers */
#define IOREMAP_END 0xffffc90000200000   /* one page table of them */
#define KERNEL_SPACE 0xffff800000000000  /* from here on addresses are the kernel's */
#define TASK_SIZE 0x00007ffffffff000     /* one page short of the canonical edge: SYSRET must never see the edge */
#define MMAP_BASE 0x00007f0000000000
#define WORD 8
/* struct pt_regs */
#define PT_R11 0x30
#define PT_RAX 0x50
#define PT_RCX 0x58
#define PT_RSI 0x68
#define PT_RDI 0x70
#define PT_ORIG_AX 0x78
#define PT_IP 0x80
#define PT_CS 0x88
#define PT_FLAGS 0x90
#define PT_SP 0x98
#define PT_SS 0xa0
#define PT_SIZE 0xa8
/* Native selectors (Linux's order, which SYSRET dictates: user data lies 8 below user code). */
#define KERNEL_CS 0x10
#define KERNEL_DS 0x18
#define USER_DS 0x2b
#define USER_CS 0x33
#define TSS_SELECTOR 0x40
/* %gs points at the page shared with the hypervisor; struct percpu is the page after it. */
#define PERCPU_BASE 0x1000
#define PERCPU_SEG gs
#else
#define KERNEL_OFFSET 0xC0000000
#define DIRECT_MAP 0xC0000000
#define LOWMEM_MAX 0x37800000   /* direct map ends at 0xF7800000: 888 MiB; memory above is for user pages only */
#define KMAP_BASE 0xF7C00000    /* windows onto that memory */
#define IOREMAP_BASE 0xF8000000
#define IOREMAP_END 0xF8400000
#define KERNEL_SPACE 0xC0000000
#define TASK_SIZE 0xC0000000
#define MMAP_BASE 0x40000000
#define WORD 4
#define PT_GS 0x28
#define PT_ORIG_AX 0x2c
#define PT_IP 0x30
#define PT_CS 0x34
#define PT_FLAGS 0x38
#define PT_SIZE 0x44
/* Linux's GDT: lguest's host knows these indices (arch/x86/include/asm/segment.h, 4.x). */
#define GDT_ENTRIES 32
#define GDT_TLS_MIN 6
#define GDT_KERNEL_CS 12
#define GDT_KERNEL_DS 13
#define GDT_USER_CS 14
#define GDT_USER_DS 15
#define GDT_TSS 16
#define GDT_PERCPU 27
#define GDT_DOUBLEFAULT_TSS 31
#define KERNEL_CS (GDT_KERNEL_CS * 8)
#define KERNEL_DS (GDT_KERNEL_DS * 8)
#define USER_CS (GDT_USER_CS * 8 + 3)
#define USER_DS (GDT_USER_DS * 8 + 3)
#define PERCPU_SELECTOR (GDT_PERCPU * 8)
#define PERCPU_BASE 0
#define PERCPU_SEG fs
#endif

/* struct percpu */
#define PC_SELF (PERCPU_BASE + 0)
#define PC_CURRENT (PERCPU_BASE + WORD)
#define PC_KERNEL_SP (PERCPU_BASE + 2 * WORD)
#define PC_USER_SP (PERCPU_BASE + 3 * WORD)

/* struct pv_ops: one word for each patchable operation, in this order. */
#define PV_SAVE_FLAGS 0
#define PV_RESTORE_FLAGS 1
#define PV_IRQ_DISABLE 2
#define PV_IRQ_ENABLE 3
#define PV_IRET 4
#define PV_WRITE_CR3 5
#define PV_SET_PTE 6
#define PV_CHANGE_PTE 7
#define PV_FLUSH_TLB_ONE 8
#define PV_ENTRY_SWAPGS 9 /* x86_64: no operation, but code that only the native kernel needs */
#define PV_PATCHABLE 10
#define PV_SITE_SIZE 12 /* bytes of every recorded site */

/* boot_params, Linux's zero page (Documentation/x86/zero-page) */
#define BP_E820_ENTRIES 0x1e8
#define BP_RAMDISK_IMAGE 0x218
#define BP_RAMDISK_SIZE 0x21c
#define BP_CMD_LINE_PTR 0x228
#define BP_SUBARCH 0x23c
#define BP_SUBARCH_DATA 0x240
#define BP_E820_TABLE 0x2d0
#define SUBARCH_NATIVE 0
#define SUBARCH_LGUEST 1

#define FIRST_EXTERNAL_VECTOR 32
#define EXTERNAL_VECTORS 32
#define SYSCALL_VECTOR 0x80
/* Natively, another processor starts at this physical page (below 1 MiB, as it starts in real mode). */
#define TRAMPOLINE 0x6000
#define STACK_PAGES 2
#define KERNEL_STACK (STACK_PAGES * 4096)
