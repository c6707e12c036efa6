/* Descriptor tables, selectors, segment bases and the instructions that are the host's alone. */

/* Every instruction that loads, stores or changes what the host owns. %r13 says who we are. */
        .macro PRIVILEGED
        leaq    10f(%rip), %rbx
        xorl    %eax, %eax
        MUST_FAIL 1, lgdt (%rbx)
        MUST_FAIL 2, lidt (%rbx)
        MUST_FAIL 3, lldt %ax
        movl    $0x40, %eax
        MUST_FAIL 4, ltr %ax
        MUST_FAIL 5, movq %cr0, %rax
        MUST_FAIL 6, movq %cr3, %rax
        MUST_FAIL 7, movq %cr4, %rax
        MUST_FAIL 8, movq %rbx, %cr0
        MUST_FAIL 9, movq %rbx, %cr3
        MUST_FAIL 10, movq %rbx, %cr4
        MUST_FAIL 11, movq %rbx, %cr2
        MUST_FAIL 12, movq %rbx, %cr8
        MUST_FAIL 13, movq %rbx, %dr0
        movl    $0x401, %ebx
        MUST_FAIL 14, movq %rbx, %dr7
        MUST_FAIL 15, movq %dr6, %rax
        movl    $0xc0000082, %ecx       /* LSTAR */
        MUST_FAIL 16, rdmsr
        movl    $0xc0000082, %ecx
        leaq    descriptors_payload(%rip), %rax
        movq    %rax, %rdx
        shrq    $32, %rdx
        MUST_FAIL 17, wrmsr
        movl    $0xc0000080, %ecx
        MUST_FAIL 18, wrmsr
        MUST_FAIL 19, clts
        MUST_FAIL 20, invd
        MUST_FAIL 21, wbinvd
        MUST_FAIL 22, invlpg (%rbx)
        MUST_FAIL 23, lmsw %ax
        MUST_FAIL 24, swapgs
        MUST_FAIL 25, hlt
        leaq    8f(%rip), %rcx
        movl    $2, %r11d
        MUST_FAIL 26, sysretq
        MUST_FAIL 27, sysexitl
        MUST_FAIL 28, sysenter
        leaq    descriptors_payload(%rip), %rbx
        MUST_FAIL 29, wrgsbase %rbx
        .endm
ATTACK  privileged_instructions
        PRIVILEGED
        END
10:     .word   0xfff
        .quad   USER_DATA
        PAYLOAD descriptors_payload

ATTACK  user_privileged_instructions
        GO_USER 1f
1:      PRIVILEGED
        movl    $0x70, %edx
        MUST_FAIL 30, inb %dx, %al
        MUST_FAIL 31, outb %al, %dx
        EXIT
10:     .word   0xfff
        .quad   USER_DATA

/*
 * Every selector that there is, in every register and as the target of every far transfer: one of ring 0's code, a call
 * gate that somebody has left, the TSS as a task, an LDT. Where a transfer ends there is an invalid opcode; at ring 0
 * that would be the host's end.
 */
        .macro FAR_TRANSFERS stack
        xorl    %ebx, %ebx
1:      TRY     movl %ebx, %ds
        TRY     movl %ebx, %es
        TRY     movl %ebx, %fs
        TRY     movl %ebx, %gs
        TRY     movl %ebx, %ss
        movl    $USER(far_target), USER_DATA
        movl    %ebx, USER_DATA + 4
        TRY     lcall *USER_DATA
        TRY     ljmp *USER_DATA
        TRYING
        pushq   %rbx
        pushq   $USER(far_target)
        lretq
        DONE
        TRYING
        pushq   $3
        pushq   $\stack
        pushq   $0x202
        pushq   %rbx
        pushq   $USER(far_target)
        iretq
        DONE
        incl    %ebx
        cmpl    $0x90, %ebx
        jb      1b
        .endm
ATTACK  far_transfers
        FAR_TRANSFERS VIRT(STACK_PA + 0x1000)
        END
        .balign 16
far_target:
        ud2
ATTACK  user_far_transfers
        GO_USER 2f
2:      FAR_TRANSFERS USER_STACK_TOP
        EXIT

/*
 * A processor's LDTR is not empty after reset: its base is linear address 0, which is memory of whoever runs. A call
 * gate there, to the host's code segment, would make whoever calls it ring 0.
 */
ATTACK  ldt_gate
        leaq    ldt_payload(%rip), %rax
        movw    %ax, VIRT(0)
        movw    $0x10, VIRT(2)
        movw    $0xec00, VIRT(4)        /* present, DPL 3, a 64-bit call gate */
        shrq    $16, %rax
        movw    %ax, VIRT(6)
        shrq    $16, %rax
        movq    %rax, VIRT(8)
        movl    $0, USER_DATA
        movl    $7, USER_DATA + 4       /* entry 0 of the LDT, RPL 3 */
        TRY     lcall *USER_DATA
        TRY     ljmp *USER_DATA
        END
        PAYLOAD ldt_payload

/* A handler for a vector of the host's: NMI, double fault, machine check, timer, IPI. */
ATTACK  idt_host_vector
        movq    PARAMS + AP_VARIANT, %rax
        leaq    1f(%rip), %rcx
        movq    (%rcx, %rax, 8), %rbx
        HCALL   LHCALL_LOAD_IDT_ENTRY, %rbx, $idt_payload, $3
        REPORT  R_THROUGH, %rbx, $0
        movl    $5000, %ecx
2:      loop    2b
        END
        .balign 8
1:      .quad   2, 8, 18, 64, 0x7f, 0x81, 0xef, 0xfd, 0xff, 256, 0x100000020, -1
        PAYLOAD idt_payload

/*
 * INT with every number, as kernel and as process: does the host believe that it was the hardware? Its gates say who
 * may. %eax is 0, the hypercall that does nothing, in case that there is one behind the gate.
 */
        .macro  SOFTWARE_INTERRUPTS first
        movl    $\first, %ebx
1:      movb    $0xcd, USER_DATA        /* INT n; RET */
        movb    %bl, USER_DATA + 1
        movb    $0xc3, USER_DATA + 2
        movl    $USER_DATA, %ecx
        xorl    %eax, %eax
        xorl    %edi, %edi
        TRY     call *%rcx
        cmpl    $13, %r12d
        je      2f
        cmpl    $3, %ebx
        je      2f
        cmpl    $4, %ebx
        je      2f
        cmpl    $128, %ebx
        je      2f
        movslq  %r12d, %rax
        REPORT  R_THROUGH, %rbx, %rax
2:      incl    %ebx
        cmpl    $256, %ebx
        jb      1b
        .endm
/* Those below 64 are the kernel's own, but for three. */
ATTACK  software_interrupts
        MUST_FAIL 2, int $2
        MUST_FAIL 8, int $8
        MUST_FAIL 18, int $18
        SOFTWARE_INTERRUPTS 64
        END
ATTACK  user_software_interrupts
        GO_USER 3f
3:      SOFTWARE_INTERRUPTS 0
        EXIT

/*
 * GS. The entry code exchanges it on every event and trusts what it then finds there. So: SWAPGS before the event, GS
 * loaded by selector, and bases that look like the PDA. NMIs come all the time.
 */
ATTACK  swapgs_games
        movl    $60, %r13d
1:      MUST_FAIL 1, swapgs
        xorl    %eax, %eax
        TRY     movl %eax, %gs
        TRY     ud2
        movl    %ss, %eax
        TRY     movl %eax, %gs
        HCALL   LHCALL_FLUSH_ASYNC
        TRY     movq %gs:0, %rax
        movq    $3, %rax
        TRY     movl %eax, %gs
        HCALL   LHCALL_SET_BASE, $LGUEST_BASE_GS_KERNEL, $VIRT(SHARED_PA)
        HCALL   LHCALL_SET_BASE, $LGUEST_BASE_GS_USER, $-8
        movq    $0xfffffefffffffffc, %rbx
        HCALL   LHCALL_SET_BASE, $LGUEST_BASE_GS_KERNEL, %rbx
        MUST_FAIL 2, movq %gs:0, %rax
        MUST_FAIL 3, movq %gs:8, %rax
        TRY     ud2
        decl    %r13d
        jnz     1b
        GO_USER 2f
2:      movl    $60, %r13d
3:      MUST_FAIL 4, swapgs
        xorl    %eax, %eax
        TRY     movl %eax, %gs
        movl    $-1, %eax
        syscall
        movl    %ss, %eax
        TRY     movl %eax, %gs
        TRY     ud2
        decl    %r13d
        jnz     3b
        EXIT

/* A base in the host's range, one in each run: an NMI would take it for the PDA's. */
ATTACK  base_in_host
        movl    $3, %ecx
        call    split
        movl    %edx, %r8d
        leaq    1f(%rip), %rcx
        movq    (%rcx, %rax, 8), %rbx
        cmpl    $1, %eax
        jne     2f
        movq    PARAMS + AP_PDA, %rbx
2:      HCALL   LHCALL_SET_BASE, %r8, %rbx
        REPORT  R_THROUGH, %rbx, %r8
        movl    $3000, %ecx
3:      loop    3b
        TRY     ud2
        END
        .balign 8
1:      .quad   0xffffff0000000000, 0, 0xffffff7fffffffff, 0xffffff0000000001, 0x800000000000, 0x8000000000000000
