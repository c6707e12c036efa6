/*
 * S:031 Where is the VCPU descriptor? The proposal had one answer, thought aloud about a second, and was asked for a
 * third. Each is a handful of macros that the doors are made with; the Host is assembled once for each and takes the image
 * that it was told to. You can skip two of them: the first is the one that runs if nobody asks for another.
 *
 *  SAVE_REGS_UNLESS_GUEST label      an exception or interrupt from user mode: GS becomes the PDA's, the registers go on the
 *                                    stack; where a guest runs: to `label`, with nobody knowing what is saved but
 *  SAVE_GUEST_REGS                   there: saves what is not saved yet, and loads %rdi with the descriptor
 *  KERNEL_STACK_UNLESS_GUEST label   SYSCALL: GS, and a stack of the host's; the caller's %rsp is put away
 *  JUMP_TO_GUESTS_SYSTEM_CALL        there: to the module's function
 *  FRAME_OF_SYSTEM_CALL              at its beginning: %rsp on the end of the state page, and the first two words pushed
 *  LOAD_VCPU                         later: loads %rdi with the descriptor
 *  TAKE_GS                           the first moment at which nobody minds GS being the PDA's
 *  STATE_STACK                       on the way in: %rsp on the saved registers; %rsi is the state page as the host sees it
 *  FIND_HOST_CR3                     loads %rax with the host's root, in any world
 */

#if defined(FIND_VCPU_PDA) || defined(FIND_VCPU_NOWHERE)
/*
 * S:033 The proposal: "another field in the per cpu PDA structure". SWAPGS has fetched the PDA anyway, so the question
 * is one comparison with memory, and costs no register.
 */
        .macro SAVE_REGS_UNLESS_GUEST label
        swapgs
#if !defined(FIND_VCPU_NOWHERE)   /* a host that has never heard of guests, to be compared with */
        cmpq    $0, %gs:PDA_VCPU
        jne     \label
#endif
        SAVE_REGS
        .endm

        .macro SAVE_GUEST_REGS
        SAVE_REGS
        LOAD_VCPU
        .endm

        .macro KERNEL_STACK_UNLESS_GUEST label
        swapgs
        movq    %rsp, %gs:PDA_USER_RSP
#if !defined(FIND_VCPU_NOWHERE)
        cmpq    $0, %gs:PDA_VCPU
        jne     \label
#endif
        movq    %gs:PDA_KERNEL_STACK, %rsp
        .endm

        .macro JUMP_TO_GUESTS_SYSTEM_CALL
        movq    %gs:PDA_VCPU, %rsp
        jmp     *VCPU_SYSTEM_CALL(%rsp)
        .endm

        .macro LOAD_VCPU
        movq    %gs:PDA_VCPU, %rdi
        .endm

#elif defined(FIND_VCPU_TASK)
/*
 * S:035 "We can also just add the field to the task structure and not the PDA since the task structure is referenced
 * off this structure, but the overhead in code execution might be too much." Here is that overhead: one load. The
 * context switch has nothing to copy any more; but the task of a Guest has to be mapped while it runs.
 */
        .macro SAVE_REGS_UNLESS_GUEST label
        swapgs
        SAVE_REGS                 /* a register is needed before the question can be asked */
        movq    %gs:PDA_CURRENT, %rdi
        cmpq    $0, TASK_VCPU(%rdi)
        jne     \label
        .endm

        .macro SAVE_GUEST_REGS
        movq    TASK_VCPU(%rdi), %rdi
        .endm

        .macro KERNEL_STACK_UNLESS_GUEST label
        swapgs
        movq    %rsp, %gs:PDA_USER_RSP
        movq    %gs:PDA_CURRENT, %rsp
        cmpq    $0, TASK_VCPU(%rsp)
        jne     \label
        movq    %gs:PDA_KERNEL_STACK, %rsp
        .endm

        .macro JUMP_TO_GUESTS_SYSTEM_CALL
        movq    TASK_VCPU(%rsp), %rsp
        jmp     *VCPU_SYSTEM_CALL(%rsp)
        .endm

        .macro LOAD_VCPU
        movq    %gs:PDA_CURRENT, %rdi
        movq    TASK_VCPU(%rdi), %rdi
        .endm

#else
/*
 * S:037 "These would be better just mapped to a known address?" Then no register is needed to find it, and no GS: the
 * comparison is with a page that is all zeros in the Host's tables, and in a Guest's its own virtual CPU's descriptor.
 *
 * What it buys is not speed. While a Guest runs there is no PDA in its tables, nor anything else to write to but the
 * state page and the stacks of the IST; a Guest at ring 1, whom paging takes for a supervisor, finds nothing there. So
 * SYSCALL puts %rsp into the state page, and GS changes only when the Host is near.
 */
        .macro SAVE_REGS_UNLESS_GUEST label
        cmpq    $0, known_vcpu + VCPU_TRAP(%rip)
        jne     \label
        swapgs
        SAVE_REGS
        .endm

        .macro SAVE_GUEST_REGS
        SAVE_REGS
        LOAD_VCPU
        .endm

        .macro KERNEL_STACK_UNLESS_GUEST label
        cmpq    $0, known_vcpu + VCPU_SYSTEM_CALL(%rip)
        jne     \label
        swapgs
        movq    %rsp, %gs:PDA_USER_RSP
        movq    %gs:PDA_KERNEL_STACK, %rsp
        .endm

        .macro JUMP_TO_GUESTS_SYSTEM_CALL
        movq    %rsp, known_state + STATE_USER_RSP(%rip)
        jmp     *known_vcpu + VCPU_SYSTEM_CALL(%rip)
        .endm

        .macro FRAME_OF_SYSTEM_CALL
        leaq    known_state + STATE_SIZE(%rip), %rsp
        pushq   $KERNEL_DS
        pushq   known_state + STATE_USER_RSP(%rip)
        .endm

        .macro LOAD_VCPU
        leaq    known_vcpu(%rip), %rdi
        .endm

        .macro TAKE_GS
        swapgs
        .endm

        .macro STATE_STACK
        leaq    known_state + STATE_REGS(%rip), %rsp
        .endm

        .macro FIND_HOST_CR3
        movq    known_vcpu + VCPU_HOST_CR3(%rip), %rax
        testq   %rax, %rax        /* a guest's tables have it there */
        jnz     9f
        movq    %gs:PDA_HOST_CR3, %rax
9:
        .endm
#endif

#if !defined(FIND_VCPU_KNOWN_ADDRESS)
        .macro FRAME_OF_SYSTEM_CALL
        movq    VCPU_STACK_TOP(%rsp), %rsp
        pushq   $KERNEL_DS        /* not where the guest came from: the host knows that by itself */
        pushq   %gs:PDA_USER_RSP
        .endm

        .macro TAKE_GS            /* the doors have done it */
        .endm

        .macro STATE_STACK
        leaq    STATE_REGS(%rsi), %rsp
        .endm

        .macro FIND_HOST_CR3
        movq    %gs:PDA_HOST_CR3, %rax
        .endm
#endif
