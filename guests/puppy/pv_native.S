/* The native operations: the bare instructions, as functions until the sites are patched and as templates for it. */
#include "include/layout.h"

#ifdef __x86_64__
#define PTR .quad
#define ARG0 %rdi
#define CR3_FROM movq %rdi, %cr3
#define STORE_PTE movq %rsi, (%rdi)	/* entry, new value */
#define INVALIDATE_ARG0 invlpg (%rdi)
#define INVALIDATE_VA invlpg (%rdx)
#define PUSHF pushfq
#define POPF popfq
#define ACC %rax
#else
#define PTR .long
#define CR3_FROM movl %eax, %cr3
#define STORE_PTE movl %edx, (%eax)
#define INVALIDATE_ARG0 invlpg (%eax)
#define INVALIDATE_VA invlpg (%ecx)
#define PUSHF pushfl
#define POPF popfl
#define ACC %eax
#endif

/* A function and, from its first byte to its RET, the template. */
#define OPERATION(name, ...) .globl native_##name; native_##name: __VA_ARGS__; native_##name##_end: ret

	.text
OPERATION(save_flags, PUSHF; pop ACC)
OPERATION(restore_flags, push ACC; POPF)
OPERATION(irq_disable, cli)
OPERATION(irq_enable, sti)
OPERATION(write_cr3, CR3_FROM)
OPERATION(set_pte, STORE_PTE)
OPERATION(change_pte, STORE_PTE; INVALIDATE_VA)
OPERATION(flush_tlb_one, INVALIDATE_ARG0)
#ifndef __x86_64__
	.globl native_iret
native_iret:
	iret
native_iret_end:
#endif

	.section .rodata
	.balign	8
	.globl	native_templates
native_templates:
	PTR	native_save_flags, native_save_flags_end
	PTR	native_restore_flags, native_restore_flags_end
	PTR	native_irq_disable, native_irq_disable_end
	PTR	native_irq_enable, native_irq_enable_end
#ifdef __x86_64__
	PTR	0, 0	/* a jump to native_iret: too long for a site */
#else
	PTR	native_iret, native_iret_end
#endif
	PTR	native_write_cr3, native_write_cr3_end
	PTR	native_set_pte, native_set_pte_end
	PTR	native_change_pte, native_change_pte_end
	PTR	native_flush_tlb_one, native_flush_tlb_one_end
	PTR	0, 0	/* SWAPGS on entry stays as it is written */
