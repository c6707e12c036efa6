/* Instructions where two pages, two pieces of text or two worlds meet. */

/*
 * An instruction whose first bytes are the attacker's and whose immediate operand is somebody else's: MOVABS at the end
 * of a page reads the eight bytes behind it into a register, without one load. Behind it lie the kernel's page, or the
 * host's first.
 */
#define BELOW_HOST      0xfffffefffffff000
ATTACK  edge_immediate
        movw    $0xb848, VIRT(PAGES_PA + 0xffe)  /* MOVABS $imm64, %rax */
        movl    $PAGES_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        SET_ENTRY PT_USER_PA, $0x100
        movl    $KERNEL_PAGE_PA, %edx
        OWN_ENTRY %rdx, KERNEL_FLAGS
        SET_ENTRY PT_USER_PA, $0x101
        call    map_below_host
        GO_USER 1f
1:      movl    $(WINDOW + 0xffe), %ebx
        call    2f
        movq    $(BELOW_HOST + 0xffe), %rbx
        call    2f
        EXIT
2:      xorl    %eax, %eax
        TRY     jmp *%rbx
        REPORT  R_READ, %rbx, %rax
        ret

/* The page right below the host's slot: PAGES_PA. */
map_below_host:
        MAP_LAST_PAGE (LGUEST_HOST_PML4_SLOT - 1)
        ret

/* Loads and stores across that edge, and jumps over it. */
        .macro CROSS
        movq    $(BELOW_HOST + 0xffc), %rbx
        MUST_FAIL 1, movq (%rbx), %rax
        MUST_FAIL 2, movq %rax, (%rbx)
        MUST_FAIL 3, lock incq (%rbx)
        movq    %rbx, %rsi
        movl    $USER_DATA, %edi
        movl    $8, %ecx
        MUST_FAIL 4, rep movsb
        movl    $USER_DATA, %esi
        movq    %rbx, %rdi
        movl    $8, %ecx
        MUST_FAIL 5, rep movsb
        movq    PARAMS + AP_TEXT, %rbx
        TRY     jmp *%rbx
        movq    PARAMS + AP_PDA, %rbx
        TRY     jmp *%rbx
        movq    PARAMS + AP_SECRET_VA, %rbx
        TRY     jmp *%rbx
        .endm
ATTACK  edge_access
        call    map_below_host
        CROSS
        END
ATTACK  user_edge_access
        call    map_below_host
        GO_USER 1f
1:      CROSS
        EXIT

/*
 * Text that is not what it was. The process has run a page; its kernel puts another one there. Who remembers decoded
 * instructions by their address runs the old one. Then a process that writes its own text while it runs it, by another
 * address, and across two pages.
 */
ATTACK  stale_text
        movl    $0x000001b8, VIRT(PAGES_PA)             /* MOV $1,%eax; RET */
        movw    $0xc300, VIRT(PAGES_PA + 4)
        movl    $0x000002b8, VIRT(PAGES_PA + 0x1000)    /* MOV $2,%eax; RET */
        movw    $0xc300, VIRT(PAGES_PA + 0x1004)
        movl    $PAGES_PA, %edx
        OWN_ENTRY %rdx, 0x65
        SET_ENTRY PT_USER_PA, $0x100
        movl    $(PAGES_PA + 0x2000), %edx
        OWN_ENTRY %rdx, USER_FLAGS
        SET_ENTRY PT_USER_PA, $0x102
        movl    $(PAGES_PA + 0x3000), %edx
        OWN_ENTRY %rdx, USER_FLAGS
        SET_ENTRY PT_USER_PA, $0x103
        movl    $(PAGES_PA + 0x2000), %edx
        OWN_ENTRY %rdx, 0x65
        SET_ENTRY PT_USER_PA, $0x104
        movl    $(PAGES_PA + 0x3000), %edx
        OWN_ENTRY %rdx, 0x65
        SET_ENTRY PT_USER_PA, $0x105
        leaq    1f(%rip), %rax
        movq    %rax, service(%rip)
        GO_USER 2f
1:      movl    $(PAGES_PA + 0x1000), %edx
        OWN_ENTRY %rdx, 0x65
        SET_ENTRY PT_USER_PA, $0x100
        HCALL   LHCALL_FLUSH_TLB_ADDR, $WINDOW
        ret
2:      movl    $WINDOW, %ebx
        TRY     call *%rbx
        movl    $5, %eax
        syscall
        xorl    %eax, %eax
        TRY     call *%rbx
        cmpl    $2, %eax
        je      3f
        REPORT  R_THROUGH, $1, %rax
3:      MUST_FAIL 2, movb $0, (%rbx)
        /* MOV $n,%eax; RET across two pages, written at one address and run at another. */
        movl    $1, %r13d
4:      movb    $0xb8, WINDOW + 0x2ffe
        movl    %r13d, WINDOW + 0x2fff
        movb    $0xc3, WINDOW + 0x3003
        movl    $(WINDOW + 0x4ffe), %ebx
        TRY     call *%rbx
        cmpl    %r13d, %eax
        je      5f
        REPORT  R_THROUGH, $3, %rax
5:      incl    %r13d
        cmpl    $20, %r13d
        jb      4b
        EXIT

/*
 * Single steps across the switch. With TF set each instruction ends in a debug exception; one that enters the host must
 * not be stepped there (the host's text at ring 0 has no handler for it), and MOV SS holds the exception back for just
 * one instruction (CVE-2018-8897).
 */
        .macro STEP op:vararg
        TRYING
        pushfq
        orl     $0x100, (%rsp)
        xorl    %eax, %eax
        popfq
        \op
        DONE
        TRYING
        movl    %ss, %ecx
        pushfq
        orl     $0x100, (%rsp)
        xorl    %eax, %eax
        popfq
        movl    %ecx, %ss
        \op
        DONE
        .endm
        .macro STEPS
        movl    $-1, %eax
        STEP    syscall
        STEP    int3
        STEP    int $0x80
        STEP    ud2
        STEP    hlt
        STEP    .byte 0xf1
        STEP    int $LGUEST_HYPERCALL_VECTOR
        STEP    swapgs
        STEP    iretq
        .endm
ATTACK  single_step
        leaq    1f(%rip), %rax
        movq    %rax, service(%rip)
        xorl    %eax, %eax
        STEPS
        STEP    call 2f
        STEP    jmp 3f
3:      GO_USER 4f
1:      movq    $-38, %rax
        ret
2:      HCALL   LHCALL_FLUSH_ASYNC
        ret
4:      STEPS
        EXIT

/*
 * Round and round through the doors: system calls, INT 0x80, traps, a hypercall in each. The harness lets an NMI or an
 * interrupt strike at every instruction of the host that this executes; the process checks its registers, and a kernel
 * that comes back with a wrong stack does not live long.
 */
ATTACK  doors
        call    irq_on
        leaq    1f(%rip), %rax
        movq    %rax, service(%rip)
        GO_USER 2f
1:      pushq   %rdi
        pushq   %rsi
        pushq   %rdx
        pushq   %r10
        HCALL   LHCALL_TS, $0
        popq    %r10
        popq    %rdx
        popq    %rsi
        popq    %rdi
        movl    $10, %eax
        ret
2:      movl    $0x0b0b0b0b, %ebx
        movq    $0x1111111122222222, %rdx
        movq    $0x0808080808080808, %r8
        movl    $0x09090909, %r9d
        movl    $0x10101010, %r10d
        movl    $0x13131313, %r13d
        movl    $0x05050505, %ebp
        movl    $0x06060606, %esi
        movl    $0x07070707, %edi
3:      movl    $5, %eax
        syscall
        cmpl    $10, %eax
        jne     6f
        movl    $7, %eax
        int     $0x80
        cmpl    $7, %eax
        jne     6f
        TRY     ud2
        cmpl    $6, %r12d
        jne     6f
        movq    $0x1111111122222222, %rax
        cmpq    %rax, %rdx
        jne     6f
        movq    $0x0808080808080808, %rax
        cmpq    %rax, %r8
        jne     6f
        leal    (%r9, %r10), %eax
        addl    %r13d, %eax
        addl    %ebp, %eax
        addl    %ebx, %eax
        addl    %esi, %eax
        addl    %edi, %eax
        cmpl    $(0x09090909 + 0x10101010 + 0x13131313 + 0x05050505 + 0x0b0b0b0b + 0x06060606 + 0x07070707), %eax
        jne     6f
        cmpq    $USER_STACK_TOP, %rsp
        jne     6f
        incq    USER_DATA
        jmp     3b
6:      EXIT    99
