/* What a kernel may ask of its host, asked wrongly or too often. */

/*
 * Any hypercall with any arguments: the variant says which. Every argument is one that somebody might forget to check:
 * addresses beyond memory, unaligned ones, ones that wrap around, that are not canonical, that are the host's.
 */
#define CLASSES         16
ATTACK  hypercall_arguments
        call    bad_argument            /* %eax: which of the numbers, %edx: the class */
        leaq    numbers(%rip), %rcx
        movzbl  (%rcx, %rax), %r13d
        movq    (%rbx, %rdx, 8), %rdi
        leal    5(%rdx), %ecx
        andl    $(CLASSES - 1), %ecx
        movq    (%rbx, %rcx, 8), %rsi
        addl    $3, %ecx
        andl    $(CLASSES - 1), %ecx
        movq    (%rbx, %rcx, 8), %rdx
        movq    %rdi, %r10
        movq    %rdi, %r8
        /* Once as a call, and once more from the ring; then whatever has been changed is used. */
        movq    %rdi, VIRT(SHARED_PA) + LGS_HCALLS + 8
        movq    %rsi, VIRT(SHARED_PA) + LGS_HCALLS + 16
        movq    %rdx, VIRT(SHARED_PA) + LGS_HCALLS + 24
        movq    %r13, VIRT(SHARED_PA) + LGS_HCALLS
        TRYING
        movl    %r13d, %eax
        call    hypercall
        DONE
        movb    $0, VIRT(SHARED_PA) + LGS_HCALL_STATUS
        TRY     call flush_async
        TRY     ud2
        GO_USER 1f
1:      movl    $-1, %eax
        syscall
        EXIT
flush_async:
        HCALL   LHCALL_FLUSH_ASYNC
        ret
numbers:
        .byte   LHCALL_FLUSH_ASYNC, LHCALL_LGUEST_INIT, LHCALL_SHUTDOWN, LHCALL_NEW_PGTABLE, LHCALL_FLUSH_TLB
        .byte   LHCALL_LOAD_IDT_ENTRY, LHCALL_SET_STACK, LHCALL_TS, LHCALL_SET_CLOCKEVENT, LHCALL_HALT, LHCALL_SET_PMD
        .byte   LHCALL_SET_PTE, LHCALL_SET_PGD, LHCALL_SEND_INTERRUPTS, LHCALL_IRET, LHCALL_SET_SYSCALL, LHCALL_SET_BASE
        .byte   LHCALL_SET_PUD, LHCALL_FLUSH_TLB_ADDR, LHCALL_VCPU_UP, LHCALL_SEND_IPI, LHCALL_YIELD, LHCALL_IRQ_FLAGS
        .byte   LHCALL_IRQ_DISABLE, LHCALL_IRQ_ENABLE, LHCALL_MMU_UPDATE, 3, 63, 255
        .balign 8
classes:
        .skip   7 * 8
        .quad   -1, 0x8000000000000000, 0x7fffffffffff, 0x800000000000
        .quad   0xfffffffffffff001, 0x4001, 0x100000000, 1, 0x20000000000000

/* %rbx: the classes, with the addresses that are known only now. The variant by CLASSES: quotient %eax, remainder %edx. */
bad_argument:
        leaq    classes(%rip), %rbx
        movq    PARAMS + AP_DIRECT, %rax
        movq    %rax, (%rbx)
        movq    PARAMS + AP_SECRET_VA, %rax
        movq    %rax, 8(%rbx)
        movq    PARAMS + AP_SECRET_PA, %rax
        subq    PARAMS + AP_BASE, %rax
        movq    %rax, 16(%rbx)
        movq    PARAMS + AP_BYTES, %rax
        movq    %rax, 24(%rbx)
        decq    %rax
        movq    %rax, 32(%rbx)
        movq    PARAMS + AP_PDA, %rax
        movq    %rax, 40(%rbx)
        movq    PARAMS + AP_STATE, %rax
        addq    $0xff8, %rax
        movq    %rax, 48(%rbx)
        movq    PARAMS + AP_VARIANT, %rax
        xorl    %edx, %edx
        movl    $CLASSES, %ecx
        divl    %ecx
        ret

/*
 * A second virtual CPU that begins where none can: its page, its first instruction and its stack are addresses of the
 * same kinds. What the host writes there, at once and at its first event, it must not write into itself.
 */
ATTACK  vcpu_up_arguments
        call    bad_argument            /* %eax: which of the three arguments, %edx: the class */
        movq    (%rbx, %rdx, 8), %rbx
        movl    $(SHARED_PA + 0x1000), %esi
        leaq    1f(%rip), %rdx
        movq    $VIRT(STACK_PA + 0x11000), %r10
        cmpl    $1, %eax
        jb      2f
        je      3f
        movq    %rbx, %r10
        jmp     4f
2:      movq    %rbx, %rsi
        jmp     4f
3:      movq    %rbx, %rdx
4:      movl    $1, %edi
        movl    $LHCALL_VCPU_UP, %eax
        call    hypercall
        movl    $20000, %ecx
5:      loop    5b
        END
1:      pushq   $1
        ud2
        jmp     1b

/* Hypercalls without end: does anybody else get the processor? */
ATTACK  hypercall_storm
1:      HCALL   LHCALL_FLUSH_ASYNC
        HCALL   LHCALL_YIELD
        HCALL   LHCALL_FLUSH_TLB, $1
        HCALL   LHCALL_NEW_PGTABLE, $PML4_PA
        jmp     1b

/* The asynchronous ring, full all the time: the host must not stay in it. */
ATTACK  ring_storm
1:      xorl    %ebx, %ebx
2:      imull   $48, %ebx, %ecx
        movq    $LHCALL_TS, VIRT(SHARED_PA) + LGS_HCALLS(%rcx)
        movq    $1, VIRT(SHARED_PA) + LGS_HCALLS + 8(%rcx)
        movb    $0, VIRT(SHARED_PA) + LGS_HCALL_STATUS(%rbx)
        incl    %ebx
        cmpl    $64, %ebx
        jb      2b
        HCALL   LHCALL_FLUSH_ASYNC
        jmp     1b

/* And refilled by the other virtual CPU while the host is at it, with calls that must not stand there. */
ATTACK  ring_race
        movq    $3f, %rbx
        call    second_vcpu
        movl    $400, %r13d
1:      TRY     call flush_async
        decl    %r13d
        jnz     1b
        END
3:      xorl    %ebx, %ebx
4:      imull   $48, %ebx, %ecx
        movq    $LHCALL_SET_STACK, VIRT(SHARED_PA) + LGS_HCALLS(%rcx)
        movq    PARAMS + AP_STATE, %rax
        movq    %rax, VIRT(SHARED_PA) + LGS_HCALLS + 8(%rcx)
        movb    $0, VIRT(SHARED_PA) + LGS_HCALL_STATUS(%rbx)
        movq    $LHCALL_FLUSH_ASYNC, VIRT(SHARED_PA) + LGS_HCALLS(%rcx)
        incl    %ebx
        andl    $63, %ebx
        jmp     4b

/* Both virtual CPUs interrupt each other as fast as they can. */
ATTACK  ipi_storm
        movq    $1f, %rbx
        call    second_vcpu
1:      call    irq_on
2:      HCALL   LHCALL_SEND_IPI, $3
        HCALL   LHCALL_YIELD
        jmp     2b

/* A clock event as soon as the last one has been taken. */
ATTACK  clock_storm
        call    irq_on
1:      HCALL   LHCALL_SET_CLOCKEVENT, $1
        jmp     1b

/* Asleep with interrupts off: nothing could ever wake it, and nobody may wait for it. */
ATTACK  halt_deaf
        call    irq_off
        HCALL   LHCALL_HALT
        END

/* One sleeps so, while the other one spins with interrupts off as well. */
ATTACK  halt_deaf_two
        movq    $1f, %rbx
        call    second_vcpu
        call    irq_off
2:      jmp     2b
1:      call    irq_off
        HCALL   LHCALL_HALT
        jmp     1b

/* Interrupts off, and round and round. On the bare machine that would be the end of everything. */
ATTACK  spin_deaf
        call    irq_off
1:      jmp     1b
