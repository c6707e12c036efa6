/*
 * The Switcher: where worlds change, at 0xFFC00000 in the host's page tables and in every guest's. The host's own code
 * and data are not mapped while a guest runs; this text and two pages for each processor are all that both worlds see.
 *
 *      0xFFC00000   this text: read-only for the guest
 *      pages + 0    the registers of the guest that runs here, at the end of the page: writable in both worlds
 *      pages + 4096 what we remember of the host, and the GDT, IDT and TSS that the processor uses while the guest
 *                   runs: the host fills them in; once the guest's page tables are loaded nobody can write them
 *
 * The guest's kernel is at ring 1, which paging takes for a supervisor: to it these pages are not invisible. In lguest's
 * own design its segments end below 0xFFC00000, so it cannot name them; and what it must not change it could not write
 * anyway. That is enough by itself (host: switcher has no such segments), because of what is written where:
 *
 *   - the text and the second page are read-only: with CR0.WP set that binds rings 1 and 2 and the processor's own writes;
 *   - the first page the guest can fill as it likes, and it is not read for anything else than its registers. On the way
 *     home each of the eighteen words has been pushed since, by the processor or by us, at ring 0, before it is read. On
 *     the way in the guest has not run since the host wrote them;
 *   - where that page is we learn from %esp, and %esp comes from the TSS, in the second page.
 *
 * This file is assembled twice. The sibling (HOST_STAYS_MAPPED) is for designs in which the guest's tables hold the whole
 * host: there is nothing to be done on the way home, and on the way in CR3 is loaded only if it is another guest's or
 * another process's, or if the TLB remembers too much. All else has to change hands all the same.
 */
#include "offsets.h"

        .text

/* ---------------------------------------------------------------------------------------------------------- the way in */
/*
 * S:160 More to exchange: IDT, GDT, TSS, then the page tables. In this order, and the comments say why in no other.
 * %eax: this processor's two pages. %ebx: the root of the guest's shadow page tables. %ebp: the virtual CPU. We came by a
 * far call behind a PUSHF, interrupts are off, and no register is dear to the caller but %ebp and the segments.
 */
        .globl switch_to_guest
switch_to_guest:
        pushl   %es
        pushl   %ds
        pushl   %gs
        pushl   %fs
        pushl   %ebp
        movl    %esp, PAGES_HOST_ESP(%eax)
#ifdef HOST_STAYS_MAPPED
        movl    %cr3, %edx
        xorl    %ebx, %edx
        orl     VCPU_STALE(%ebp), %edx
        jz      1f
        movl    %ebx, %cr3
1:
#else
        movl    %cr3, %edx
        movl    %edx, PAGES_HOST_CR3(%eax)
#endif

        /*
         * The IDT first: the host's NMI handler could not run on the guest's descriptors or on another stack than the host's;
         * ours below can on either's.
         */
        lidt    PAGES_GUEST_IDT_DESC(%eax)
        lgdt    PAGES_GUEST_GDT_DESC(%eax)

        /* LTR marks the TSS busy, in a GDT that we will soon be unable to write: so it is done now. */
        movl    $TSS_SELECTOR, %edx
        ltr     %dx

        /* And it wants the mark gone when it loads a TSS: clear the host's, for the way back. */
        movl    PAGES_HOST_GDT_BASE(%eax), %edx
        andb    $TSS_NOT_BUSY, TSS_SELECTOR + 5(%edx)

        /*
         * From here on the stack is the page of registers. The host's tables have an empty page at this address, the guest's
         * have the guest's registers: they appear under our feet with the MOV to CR3. An NMI in between finds a stack in any case.
         */
        leal    PAGES_REGS(%eax), %esp

#ifndef HOST_STAYS_MAPPED
        /* The host is gone. */
        movl    %ebx, %cr3
#endif

        popl    %eax
        popl    %ebx
        popl    %ecx
        popl    %edx
        popl    %esi
        popl    %edi
        popl    %ebp
        /*
         * These four may fault, and so may the IRET: the guest may have taken a descriptor away that it uses. The fault
         * then comes in ring 0, is pushed right here, and goes home with the trap number that the host left in the frame,
         * which is none that a processor has. The IRET's own frame comes to lie on it: the trap number is then our %cs.
         */
        popl    %gs
        popl    %fs
        popl    %ds
        popl    %es
        addl    $8, %esp          /* trap number and error code */
        iret

/* -------------------------------------------------------------------------------------------------------- the way home */
/*
 * S:170 And back, each thing in the reverse order, with the Host's handlers to be trusted again only behind the last
 * one.
 *
 * The stub has pushed the trap number. When this macro is done, %eax points at the two pages, %ebx is the trap number,
 * the host's stack holds what the far call pushed, and all else is as it was when we left.
 */
        .macro SWITCH_TO_HOST
        pushl   %es
        pushl   %ds
        pushl   %fs
        pushl   %gs
        pushl   %ebp
        pushl   %edi
        pushl   %esi
        pushl   %edx
        pushl   %ecx
        pushl   %ebx
        pushl   %eax

        /* Code and stack segments are ours, by gate and TSS; the data segment is still whatever the guest had. */
        movl    $LGUEST_DS, %eax
        movl    %eax, %ds

        /* Which processor are we on? The stack knows: it lies in the first of this processor's two pages. */
        movl    %esp, %eax
        andl    $PAGE_MASK, %eax
        movl    PAGES_REGS + REGS_TRAP_NUMBER(%eax), %ebx

#ifndef HOST_STAYS_MAPPED
        movl    PAGES_HOST_CR3(%eax), %edx
        movl    %edx, %cr3
        /* The registers have gone with the guest's tables; %esp is in the host's empty page. The second page can be written again. */
#endif
        andb    $TSS_NOT_BUSY, PAGES_GUEST_GDT + TSS_SELECTOR + 5(%eax)
        lgdt    PAGES_HOST_GDT_DESC(%eax)
        movl    PAGES_HOST_ESP(%eax), %esp
        movl    $TSS_SELECTOR, %edx
        ltr     %dx
        popl    %ebp
        popl    %fs
        popl    %gs
        popl    %ds
        popl    %es
        /* The IDT last: only now is everything there that the host's handlers expect. */
        lidt    PAGES_HOST_IDT_DESC(%eax)
        .endm

/* A trap of the guest's: the module will look at the registers. The far call's three words are an IRET frame. */
        .balign 16
return_to_host:
        SWITCH_TO_HOST
        iret

/*
 * S:180 The same lost letter as in S:140, and a shorter way to deliver it. A hardware interrupt. The processor
 * acknowledged it when the guest was left, so it will not come again: jump to the handler in the host's own IDT, which
 * finds the far call's three words where an interrupt would have put its frame.
 */
        .balign 16
deliver_to_host:
        SWITCH_TO_HOST
        movl    PAGES_HOST_IDT_BASE(%eax), %edx
        leal    (%edx,%ebx,8), %eax
        movzwl  (%eax), %edx      /* a gate holds its address in two halves (SDM vol. 3, figure 6-2) */
        movl    4(%eax), %eax
        xorw    %ax, %ax
        orl     %eax, %edx
        jmp     *%edx

/*
 * An NMI asks nobody. One that hit the guest is the host's. One that hit the Switcher itself came while half of the world
 * was the other one's; there is nothing that could be done about it here, so it is dropped.
 */
        .balign 16
handle_nmi:
        testb   $3, 12(%esp)      /* trap number, error code, %eip, %cs */
        jnz     deliver_to_host
        addl    $8, %esp
        iret

/* ----------------------------------------------------------------------------------------- vectors 0 to 255, by default */
/* What the IDT has for every vector that does not go straight to the guest; 16 bytes each. */
        .macro STUB target
        .balign 16
        .if !(n == 8 || (n >= 10 && n <= 14) || n == 17 || n == 21)
        pushl   $0
        .endif
        pushl   $n
        jmp     \target
        .set n, n + 1
        .endm

        .balign 16
        .globl default_handlers
default_handlers:
        .set n, 0
        .rept 256
        .if n == 2
        STUB    handle_nmi
        .elseif n < 32
        STUB    return_to_host
        /* System calls of the guest's processes are no hardware interrupts. */
        .elseif n == SYSCALL_VECTOR || n == SYSCALL_VECTOR_PLAN9
        STUB    return_to_host
        .else
        STUB    deliver_to_host
        .endif
        .endr
