/*
 * S:100 At last. Read it slowly; it is some forty instructions, and it does to a whole computer what a function call
 * does to a function.
 *
 * The Switcher: where worlds change. On i386 it lived at 0xFFC00000, behind the segment limits. x86_64 has no limits, so
 * this is Rusty's answer to the question how a guest is kept away from it: its text is mapped read-only, what it
 * remembers of the host lies in a page that is read-only while the guest runs, and the one page that must be written (the
 * guest's registers) is a page for each virtual CPU. All of them are for ring 0 only; the guest runs at ring 3.
 *
 * Not every design wants all of it, and some want more. So the Switcher is a macro with three arguments, and its
 * copies (at S:125) are what guests can be built with; a descriptor names the functions of its guest's. Lines between
 * `.if` and `.endif` are in some of the copies only: read the one in which all three are 0 first.
 *
 *   everything  the host stays mapped, so CR3 need not change to come home (S:122)
 *   switched    the guest has the bare machine's selectors, so the processor needs other tables meanwhile
 *   pvi         the guest's CLI and STI are the processor's affair
 *
 * void switch_to_guest(vcpu *%rdi): returns when something has happened in the guest, with the state page saying what.
 * Interrupts are off all the way; the guest's IRETQ frame turns them on.
 *
 * Put away what we need to come back, point RSP0 at the Guest's page, move the stack there; then the one instruction after
 * which the Host is gone, MOV to CR3. The next instruction is fetched from a page that both worlds map at the same address:
 * had they not, it would come from nowhere. What is left is popping registers, and an IRETQ that lands in ring 3 with
 * interrupts on.
 */
        .macro SWITCHER suffix, everything, switched, pvi
        .balign 16
        .globl switch_to_guest\suffix
switch_to_guest\suffix:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        movq    VCPU_STATE(%rdi), %rsi

        /* What we need to come back, into the page that is about to become read-only. */
        movq    %rsp, VCPU_HOST_RSP(%rdi)
        .if !\everything
        movq    %cr3, %rax
        movq    %rax, VCPU_HOST_CR3(%rdi)
        .endif

        /* Whatever interrupts the guest pushes its frame on the end of the state page. */
        movq    %gs:PDA_TSS, %rcx
        movq    VCPU_STACK_TOP(%rdi), %rax
        movq    %rax, TSS_RSP0(%rcx)

        /* The guest's FS base at once; its GS base by the SWAPGS below. */
        movl    $MSR_FS_BASE, %ecx
        movl    VCPU_FS_BASE(%rdi), %eax
        movl    VCPU_FS_BASE + 4(%rdi), %edx
        wrmsr
        movl    $MSR_KERNEL_GS_BASE, %ecx
        movl    VCPU_GS_BASE(%rdi), %eax
        movl    VCPU_GS_BASE + 4(%rdi), %edx
        wrmsr

        .if \pvi
        movq    %cr4, %rax
        orq     $CR4_PVI, %rax
        movq    %rax, %cr4
        .endif

        /*
         * S:105 "Or should it keep the same and we switch the host kernel's CS/DS?" This is what that takes. In the
         * guest's GDT the numbers of our CS and SS are the guest's, so we first change to those that mean ring 0 in
         * both: an NMI in between has to find the way back. Then the IDT, whose gates name them, and then the GDT.
         */
        .if \switched
        pushq   $SWITCHER_CS
        leaq    1f(%rip), %rax
        pushq   %rax
        lretq
1:      movl    $SWITCHER_DS, %eax
        movl    %eax, %ss
        lidt    VCPU_IDTR(%rdi)
        lgdt    VCPU_GDTR(%rdi)
        .endif

        /* From here on the stack is the state page, which both worlds map. */
        movq    VCPU_CR3(%rdi), %rax
        .if \everything
        movq    %cr3, %rdx
        cmpq    %rax, %rdx
        jne     2f
        cmpl    $0, STATE_FLUSH(%rsi)
        je      3f
2:      movl    $0, STATE_FLUSH(%rsi) /* who asks from now on asks for the next time */
        movq    %rax, %cr3
3:      STATE_STACK
        .else
        STATE_STACK
        movq    %rax, %cr3
        .endif

        RESTORE_REGS
        addq    $16, %rsp
        swapgs
        iretq

/*
 * S:110 The way home from a SYSCALL. We arrive with one register, and it is the right one. The module's system_call
 * function: %rsp holds the VCPU descriptor, all other registers are the guest's. We are still in the guest's address
 * space. We build by hand the frame that an interrupt would have pushed.
 */
        .balign 16
        .globl lguest64_system_call\suffix
lguest64_system_call\suffix:
        FRAME_OF_SYSTEM_CALL
        pushq   %r11
        pushq   $KERNEL_CS
        pushq   %rcx
        pushq   $0
        pushq   $SYSCALL_EVENT
        SAVE_REGS
        LOAD_VCPU
        .if \everything
        TAKE_GS
        jmp     5f
        .endif

/*
 * S:120 The module's trap function: %rdi is the VCPU descriptor and the guest's registers are saved. Go home.
 *
 * Ten instructions. The old CR3, the old stack, and a RET: it goes back to whoever called switch_to_guest, as if that
 * had been a function that took a while. (Between the new stack pointer and the CR3 that makes it point at something
 * nobody pushes: interrupts are off, and an NMI has a stack of its own.)
 */
        .balign 16
        .globl lguest64_trap\suffix
lguest64_trap\suffix:
        TAKE_GS
        .if \everything
        cmpl    $32, FRAME_VECTOR(%rsp)
        jae     6f
5:      movq    VCPU_HOST_RSP(%rdi), %rsp
        .else
        movq    VCPU_HOST_CR3(%rdi), %rax
        movq    VCPU_HOST_RSP(%rdi), %rsp
        movq    %rax, %cr3
        .endif
        COME_HOME \switched, \pvi
        ret

/*
 * S:122 "Since the host kernel is always mapped in, even when the guest is running, we can let the host handle the
 * interrupts with no changes what-so-ever." And so it does: the handler is called right here, on the state page, as from a
 * host process. If nothing has come of it that the task has to see to, the Guest goes on where it was.
 *
 * Else we go home; but the interrupt has been handled, so we do not return to where it would be delivered (S:140).
 */
        .if \everything
6:      movq    %rdi, %rbx
        movq    VCPU_FRAME(%rbx), %rdi
        call    gate_hostInterrupt
        cmpl    $0, %gs:PDA_NEED_RESCHED
        jne     7f
        call    gate_vcpuResume
        testl   %eax, %eax
        jz      7f
        RESTORE_REGS
        addq    $16, %rsp
        swapgs
        iretq
7:      movq    VCPU_HOST_RSP(%rbx), %rsp
        COME_HOME \switched, \pvi
        addq    $8, %rsp
        jmp     vcpu_event
        .endif
        .endm

/* On the host's stack again: its tables, its CR4, and the registers of whoever called switch_to_guest. */
        .macro COME_HOME switched, pvi
        .if \switched
        lgdt    %gs:PDA_GDTR
        lidt    %gs:PDA_IDTR
        .endif
        .if \pvi
        movq    %cr4, %rax
        andq    $~CR4_PVI, %rax
        movq    %rax, %cr4
        .endif
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        .endm

/* S:125 And these are all that there are. The first is Rusty's answer as he gave it, and the proposal is the second. */
        SWITCHER , 0, 0, 0
        SWITCHER _everything, 1, 0, 0
        SWITCHER _switched, 0, 1, 0
        SWITCHER _everything_switched, 1, 1, 0
        SWITCHER _pvi, 0, 0, 1
        SWITCHER _everything_pvi, 1, 0, 1
        SWITCHER _switched_pvi, 0, 1, 1
        SWITCHER _everything_switched_pvi, 1, 1, 1

/*
 * S:130 And here is who called. This loop ties the parts together: the two gates are H:110 and H:120, and between them
 * lies the Guest's whole life.
 *
 * The kernel side of a virtual CPU's task, forever: let the module prepare (it may say that there is nothing to run),
 * enter the guest, let the module see what happened. %r12 holds the VCPU descriptor throughout.
 */
        .balign 16
        .globl vcpu_task
vcpu_task:
        movq    %r12, %rdi
        call    gate_vcpuPrepare
        testl   %eax, %eax
        jz      4f
        movq    %r12, %rdi
        call    *VCPU_ENTER(%r12)

        /*
         * A hardware interrupt is the host's affair. The processor acknowledged it when the guest was left, so it will not come
         * again: jump to the handler in the host's own IDT as if it had just happened here.
         */
        movq    VCPU_STATE(%r12), %rbx
        movq    STATE_VECTOR(%rbx), %rax
        cmpq    $32, %rax
        jb      3f
        cmpq    $256, %rax
        jae     3f
        call    deliver_to_host
3:
vcpu_event:
        movq    %r12, %rdi
        call    gate_vcpuEvent
        cmpl    $0, %gs:PDA_NEED_RESCHED
        je      vcpu_task
4:      call    schedule
        jmp     vcpu_task

/*
 * S:140 The lost letter. The interrupt that threw us out of the Guest was meant for the Host, and the processor
 * believes that it has been delivered. So we deliver it, by hand.
 *
 * %rax: a vector. Its gate's address lies in three pieces (SDM vol. 3, figure 6-8).
 */
        .balign 16
deliver_to_host:
        shlq    $4, %rax
        addq    %gs:PDA_IDT, %rax
        movzwl  (%rax), %ecx
        movzwl  6(%rax), %edx
        shll    $16, %edx
        orl     %edx, %ecx
        movl    8(%rax), %edx
        shlq    $32, %rdx
        orq     %rdx, %rcx
        movq    %rsp, %rax
        pushq   $KERNEL_DS
        pushq   %rax              /* IRETQ takes the stack back to our return address */
        pushfq
        pushq   $KERNEL_CS
        leaq    5f(%rip), %rax
        pushq   %rax
        jmp     *%rcx
5:      ret
