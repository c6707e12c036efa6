/*
 * The doors of the x86_64 host. Whatever happens on a processor (a system call, an exception, an interrupt) comes
 * through one of the stubs below, and each asks the same question before anything else: does a guest run here? The
 * answer is one comparison with a field of the PDA. NULL: carry on as a host without any hypervisor would. Else: jump
 * through the descriptor that the field points at, and let the module of that guest see to it.
 *
 * This text is mapped at the same address in the host's page tables and in every guest's, for ring 0 only.
 */

#include "findVcpu_64.S"

/* ------------------------------------------------------------------------------------------------- vectors 0 to 255 */
/*
 * S:020 256 doors, one for each vector, which differ in a number. That number is the only thing that the processor does
 * not tell us by itself.
 *
 * Interrupt gates lead here, so interrupts are off. The processor has pushed ss, rsp, rflags, cs, rip and for some
 * exceptions an error code (SDM vol. 3, 6.13); the others get a zero, so that all frames look alike.
 */
        .balign 16
        .globl vectors
vectors:
        .set n, 0
        .rept 256
        .balign 16
        .if !(n == 8 || n == 10 || n == 11 || n == 12 || n == 13 || n == 14 || n == 17 || n == 21)
        pushq   $0
        .endif
        .if n < 128
        pushq   $n
        .else
        pushq   $n - 256          /* a sign-extended byte keeps every stub under 16 bytes; put right below */
        .endif
        jmp     common_vector
        .set n, n + 1
        .endr

        .balign 16
/*
 * S:030 Here is the whole change that the proposal makes to a Host: after SWAPGS has fetched the PDA, one comparison. On
 * a Host without Guests the answer is always the same and costs next to nothing; only while a virtual CPU runs on this
 * very processor does its module come into it.
 */
common_vector:
        andq    $0xff, (%rsp)     /* the vector, without its sign */
        testb   $3, 24(%rsp)      /* the interrupted code's ring */
        jz      vector_from_kernel
        SAVE_REGS_UNLESS_GUEST vector_from_guest

/* Nothing different from what the host does today. */
        movq    %rsp, %rdi
        cmpl    $32, FRAME_VECTOR(%rsp)
        jb      1f
        call    gate_hostInterrupt
        jmp     return_to_user
1:      call    gate_hostTrap

        .globl return_to_user
return_to_user:
        cmpl    $0, %gs:PDA_NEED_RESCHED
        je      2f
        call    schedule
        jmp     return_to_user
2:      RESTORE_REGS
        addq    $16, %rsp         /* vector and error code */
        swapgs
        iretq

/* RSP0 is the end of the guest's state page, so what is pushed here lands in its saved registers. */
vector_from_guest:
        SAVE_GUEST_REGS
        jmp     *VCPU_TRAP(%rdi)

/*
 * The host itself was interrupted: in its idle loop, or because the switcher hands on an interrupt that came while a
 * guest ran. GS is the PDA's already. An exception here is a defect of the host.
 */
vector_from_kernel:
        SAVE_REGS
        movq    %rsp, %rdi
        cmpl    $32, FRAME_VECTOR(%rsp)
        jb      3f
        call    gate_hostInterrupt
        RESTORE_REGS
        addq    $16, %rsp
        iretq
3:      call    gate_fatalTrap
        hlt

/* ------------------------------------------------------------------------------------------------------- SYSCALL */
/*
 * S:040 The other door, and the narrower one: no stack, and not one register free. It takes two words of the PDA to get
 * a foot in.
 *
 * SYSCALL leaves the return address in %rcx, the flags in %r11 and everything else as it was (SDM vol. 2), %rsp
 * included: until there is a stack, the PDA holds the caller's. SFMASK has turned interrupts off.
 *
 * For a Guest we do not even use the Host's stack: the pointer goes straight into %rsp, since it is the only register
 * that we can afford to lose.
 */
        .balign 16
        .globl system_call
system_call:
        KERNEL_STACK_UNLESS_GUEST system_call_from_guest
        pushq   $USER_DS
        pushq   %gs:PDA_USER_RSP
        pushq   %r11
        pushq   $USER_CS
        pushq   %rcx
        pushq   $0
        pushq   $SYSCALL_EVENT
        SAVE_REGS
        movq    %rsp, %rdi
        call    gate_hostSystemCall
        jmp     return_to_user

system_call_from_guest:
        JUMP_TO_GUESTS_SYSTEM_CALL

/* ----------------------------------------------------------------------------------------------------------- NMI */
/*
 * S:050 The uninvited guest. Interrupts are off in all of this text, but an NMI is called non-maskable for a reason: it
 * can come between any two instructions that you see in this part, and each of them must be a place where it may.
 *
 * An NMI asks nobody: it may come between SWAPGS and the IRETQ behind it, or on a guest's page tables with the PDA in
 * the wrong GS. So it runs on an IST stack of its own, trusts nothing, finds GS by its sign (the PDA lies in the upper
 * half; a guest's GS base in the upper half is possible too, so the PDA's own address is what is compared), and puts
 * everything back.
 */
        .balign 16
        .globl nmi
nmi:
        pushq   $0
        pushq   $2
        SAVE_REGS
        xorl    %ebx, %ebx
        movl    $MSR_GS_BASE, %ecx
        rdmsr
        cmpl    $FIXED_HI, %edx   /* no guest can have a base in the fixed area: SET_BASE refuses it */
        je      1f
        swapgs
        movl    $1, %ebx
1:      movq    %cr3, %r12
        FIND_HOST_CR3
        movq    %rax, %cr3
        movq    %rsp, %rdi
        call    gate_hostNmi
        movq    %r12, %cr3
        testl   %ebx, %ebx
        jz      2f
        swapgs
2:      RESTORE_REGS
        addq    $16, %rsp
        iretq
