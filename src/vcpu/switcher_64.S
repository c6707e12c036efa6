/*
 * S:100 At last. Read it slowly; it is some forty instructions, and it does to a whole computer what a function call
 * does to a function.
 *
 * The Switcher: where worlds change. On i386 it lived at 0xFFC00000, behind the segment limits. x86_64 has no limits, so
 * this is Rusty's answer to the question how a guest is kept away from it: its text is mapped read-only, what it
 * remembers of the host lies in a page that is read-only while the guest runs, and the one page that must be written (the
 * guest's registers) is a page for each virtual CPU. All of them are for ring 0 only; the guest runs at ring 3.
 *
 * void switch_to_guest(vcpu *%rdi): returns when something has happened in the guest, with the state page saying what.
 * Interrupts are off all the way; the guest's IRETQ frame turns them on.
 *
 * Put away what we need to come back, point RSP0 at the Guest's page, move the stack there; then the one instruction after
 * which the Host is gone, MOV to CR3. The next instruction is fetched from a page that both worlds map at the same address:
 * had they not, it would come from nowhere. What is left is popping registers, and an IRETQ that lands in ring 3 with
 * interrupts on.
 */
        .balign 16
        .globl switch_to_guest
switch_to_guest:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        movq    VCPU_STATE(%rdi), %rsi

        /* What we need to come back, into the page that is about to become read-only. */
        movq    %rsp, VCPU_HOST_RSP(%rdi)
        movq    %cr3, %rax
        movq    %rax, VCPU_HOST_CR3(%rdi)

        /* Whatever interrupts the guest pushes its frame on the end of the state page. */
        movq    %gs:PDA_TSS, %rcx
        movq    VCPU_STACK_TOP(%rdi), %rax
        movq    %rax, TSS_RSP0(%rcx)

        /* The guest's FS base at once; its GS base by the SWAPGS below. */
        movl    $MSR_FS_BASE, %ecx
        movl    STATE_FS_BASE(%rsi), %eax
        movl    STATE_FS_BASE + 4(%rsi), %edx
        wrmsr
        movl    $MSR_KERNEL_GS_BASE, %ecx
        movl    STATE_GS_BASE(%rsi), %eax
        movl    STATE_GS_BASE + 4(%rsi), %edx
        wrmsr

        /* From here on the stack is the state page, which both worlds map. */
        movq    STATE_CR3(%rsi), %rax
        leaq    STATE_REGS(%rsi), %rsp
        movq    %rax, %cr3

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
        .globl lguest64_system_call
lguest64_system_call:
        movq    VCPU_STACK_TOP(%rsp), %rsp
        pushq   $KERNEL_DS        /* not where the guest came from: the host knows that by itself */
        pushq   %gs:PDA_USER_RSP
        pushq   %r11
        pushq   $KERNEL_CS
        pushq   %rcx
        pushq   $0
        pushq   $SYSCALL_EVENT
        SAVE_REGS
        movq    %gs:PDA_VCPU, %rdi

/*
 * S:120 The module's trap function: %rdi is the VCPU descriptor and the guest's registers are saved. Go home.
 *
 * Ten instructions. The old CR3, the old stack, and a RET: it goes back to whoever called switch_to_guest, as if that
 * had been a function that took a while.
 */
        .balign 16
        .globl lguest64_trap
lguest64_trap:
        movq    VCPU_HOST_CR3(%rdi), %rax
        movq    %rax, %cr3
        movq    VCPU_HOST_RSP(%rdi), %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret

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
        call    switch_to_guest

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
3:      movq    %r12, %rdi
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
