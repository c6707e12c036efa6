/*
 * A process against its own kernel. Nobody but the guest is hurt; but a hypervisor that lets it happen has taken away
 * from its guests what the hardware gave them.
 */

/*
 * The kernel has read and written the page in question: what is in its shadows is in the process's reach, if those are
 * the same.
 */
use_own_page:
        movq    VIRT(KERNEL_PAGE_PA), %rax
        movq    %rax, VIRT(KERNEL_PAGE_PA)
        ret

/* Reads the kernel's memory. Kernel and process both run at ring 3 here: what is between them? */
ATTACK  user_read_kernel
        call    use_own_page
        GO_USER 1f
1:      movq    $VIRT(KERNEL_PAGE_PA), %rbx
        PEEK    %rbx
        movl    $KERNEL_PAGE_PA, %ebx   /* where the kernel changed over to its tables */
        PEEK    %rbx
        EXIT

ATTACK  user_write_kernel
        call    use_own_page
        GO_USER 1f
1:      movq    $VIRT(KERNEL_PAGE_PA + KERNEL_CANARY), %rbx
        POKE    %rbx
        movl    $(KERNEL_PAGE_PA + KERNEL_CANARY), %ebx
        POKE    %rbx
        EXIT

/*
 * Makes hypercalls as a process: the flag forged, the vector, the call page, a jump into the kernel's own code that
 * makes one. Each asks for the guest's end with a status that tells. In the second variant the kernel is careless: its
 * process can write the page with the flag.
 */
ATTACK  user_hypercall
        cmpq    $0, PARAMS + AP_VARIANT
        je      1f
        movl    $SHARED_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        call    map_window
1:      GO_USER 2f
        .macro  FORGED
        movl    $LHCALL_SHUTDOWN, %eax
        movl    $PHYS(message), %edi
        movl    $LGUEST_SHUTDOWN_POWEROFF, %esi
        movl    $STATUS_FORGED, %edx
        .endm
2:      FORGED
        TRY     movl $1, VIRT(SHARED_PA) + LGS_HYPERCALL_FLAG
        FORGED
        TRY     movl $1, WINDOW + LGS_HYPERCALL_FLAG
        FORGED
        TRY     syscall
        FORGED
        TRY     int $LGUEST_HYPERCALL_VECTOR
        FORGED
        movq    $CALL_PAGE, %rbx
        TRY     call *%rbx
        FORGED
        movq    $hypercall, %rbx
        TRY     call *%rbx
        FORGED
        movl    $(PHYS(hypercall)), %ebx
        TRY     call *%rbx
        movl    $USER(hypercall), %ebx
        FORGED
        TRY     call *%rbx
        EXIT

/*
 * Turns its kernel's virtual interrupts off where the host's ROM keeps the flag: by a store to the ROM's page, and by its
 * functions. The code there runs at ring 3 like the process; is there anything to keep it from it?
 */
ATTACK  user_rom_flag
        call    irq_on
        GO_USER 1f
1:      movq    $ROM_DATA, %rbx
        MUST_FAIL 1, movl LGV_IRQ_ENABLED(%rbx), %eax
        MUST_FAIL 2, movl $0, LGV_IRQ_ENABLED(%rbx)
        movq    $FUNCTION(LGUEST_CALL_SAVE_FLAGS), %rbx
        MUST_FAIL 3, call *%rbx
        movq    $FUNCTION(LGUEST_CALL_IRQ_DISABLE), %rbx
        MUST_FAIL 4, call *%rbx
        xorl    %eax, %eax
        movq    $FUNCTION(LGUEST_CALL_RESTORE_FLAGS), %rbx
        MUST_FAIL 5, call *%rbx
        EXIT

/*
 * A translation that is no more. The process reads a page; its kernel takes the page away from it, tells the host, and
 * keeps a secret there. Variants: the entry cleared, its user bit cleared, the table above it cleared.
 */
ATTACK  stale_tlb
        movl    $PAGES_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        SET_ENTRY TABLES_PA, $0
        movl    $TABLES_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        SET_ENTRY PD_LOW_PA, $4
        HCALL   LHCALL_SET_PMD, $PD_LOW_PA, $4
        leaq    1f(%rip), %rax
        movq    %rax, service(%rip)
        GO_USER 4f
1:      movq    PARAMS + AP_VARIANT, %rax
        cmpl    $1, %eax
        ja      2f
        movl    $0, %edx
        jb      3f
        movl    $PAGES_PA, %edx
        OWN_ENTRY %rdx, KERNEL_FLAGS
3:      SET_ENTRY TABLES_PA, $0
        HCALL   LHCALL_FLUSH_TLB_ADDR, $0x800000
        jmp     5f
2:      xorl    %edx, %edx
        SET_ENTRY PD_LOW_PA, $4
        HCALL   LHCALL_FLUSH_TLB, $0
5:      movq    VIRT(KERNEL_PAGE_PA), %rax
        movq    %rax, VIRT(PAGES_PA)
        xorl    %eax, %eax
        ret
4:      movl    $0x800000, %ebx
        movq    (%rbx), %rax
        movq    $MARK, 8(%rbx)
        movl    $5, %eax
        syscall
        PEEK    %rbx
        addq    $8, %rbx
        POKE    %rbx
        EXIT

/*
 * The same with the process on one virtual CPU and the kernel on the other, which tells the first by an IPI and waits
 * for it.
 */
ATTACK  stale_tlb_two
        leaq    4f(%rip), %rax
        movq    %rax, on_ipi(%rip)
        call    map_page
        movq    $3f, %rbx
        call    second_vcpu
        movl    $40, %r13d
1:      movl    $200, %ecx
2:      loop    2b
        xorl    %edx, %edx
        SET_ENTRY PT_USER_PA, $0x100
        HCALL   LHCALL_FLUSH_TLB_ADDR, $WINDOW
        movq    acks(%rip), %rbx
        HCALL   LHCALL_SEND_IPI, $2
6:      HCALL   LHCALL_YIELD
        cmpq    %rbx, acks(%rip)
        je      6b
        movq    VIRT(KERNEL_PAGE_PA), %rax
        movq    %rax, VIRT(PAGES_PA)
        movl    $200, %ecx
5:      loop    5b
        movq    $0, VIRT(PAGES_PA)
        call    map_page
        decl    %r13d
        jnz     1b
        END
map_page:
        movl    $PAGES_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        SET_ENTRY PT_USER_PA, $0x100
        ret
3:      GO_USER 7f
4:      HCALL   LHCALL_FLUSH_TLB_ADDR, $WINDOW
        lock incq acks(%rip)
        ret
7:      TRY     movq WINDOW, %rax
        cmpl    $-1, %r12d
        jne     7b
        testq   %rax, %rax
        jz      7b
        movl    $WINDOW, %ebx
        REPORT  R_READ, %rbx, %rax
        jmp     7b
        .balign 8
acks:   .quad   0
