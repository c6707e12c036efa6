/*
 * Gates, the stacks that events are pushed on, single steps, and the doors themselves: what happens where a guest is left
 * and entered.
 */

/*
 * A gate for a vector of the host's, with every type that a gate can have. A handler that is accepted is tried at once.
 */
ATTACK  idt_host_vector
        TOUCH   idt_payload
        movl    PARAMS + AP_VARIANT, %esi
        movl    host_vectors(, %esi, 4), %edi
        SET_GATE %edi, $idt_payload, 0xef00
        SET_GATE %edi, $idt_payload, 0xee00
        SET_GATE %edi, $idt_payload, 0xe500
        SET_GATE %edi, $idt_payload, 0xec00
        movl    $20000, %ecx
1:      loop    1b
        END
        .balign 4
host_vectors:
        .long   2, 8, 15, 18, 31, 0x20, 0x21, 0x27, 0xff, 0x100, -1
        PAYLOAD idt_payload

/* INT with every number, as a process. */
ATTACK  user_software_interrupts
        GO_USER 1f
        USER_CODE
1:      xorl    %ebx, %ebx
2:      movb    $0xcd, USER_DATA
        movb    %bl, USER_DATA + 1
        movb    $0xc3, USER_DATA + 2
        movl    $-1, %eax
        movl    $USER_DATA, %edx
        TRY     call *%edx
        cmpl    $13, %ecx
        je      3f
        cmpl    $3, %ebx
        je      3f
        cmpl    $4, %ebx
        je      3f
        cmpl    $0x80, %ebx
        je      3f
        REPORT  R_THROUGH, %ebx, %ecx
        REPORTED
3:      incl    %ebx
        cmpl    $256, %ebx
        jb      2b
        EXIT

/* The stack for events in the host, and the kernel's own %esp there when something happens. */
ATTACK  set_stack_host
        call    host_place
        HCALL   LHCALL_SET_STACK, $LGUEST_KERNEL_DS, %ebx, $1
        GO_USER 1f
        USER_CODE
1:      TRY     ud2
        TRY     int3
        movl    $-1, %eax
        TRY     int $0x80
        EXIT
        KERNEL_CODE
/* %ebx: the address that the variant says. */
host_place:
        movl    PARAMS + AP_VARIANT, %eax
        andl    $7, %eax
        movl    PARAMS + AP_TEXT, %ebx
        addl    $0x800, %ebx
        testl   %eax, %eax
        jz      1f
        movl    PARAMS + AP_STATE, %ebx
        addl    $0x800, %ebx
        cmpl    $2, %eax
        jb      1f
        movl    PARAMS + AP_STATE, %ebx
        je      1f
        movl    PARAMS + AP_SECRET_VA, %ebx
        addl    $0x800, %ebx
        cmpl    $4, %eax
        jb      1f
        movl    $0xffc00000, %ebx
        je      1f
        movl    $0, %ebx
        cmpl    $6, %eax
        jb      1f
        movl    $-4, %ebx
        je      1f
        movl    $0x50000000, %ebx
1:      ret
ATTACK  rsp_host
        call    host_place
        movl    PARAMS + AP_VARIANT, %esi
        shrl    $3, %esi
        TRYING
        movl    %ebx, %esp
        cmpl    $1, %esi
        jb      1f
        je      2f
        cmpl    $3, %esi
        jb      3f
        je      4f
        iret
1:      int3
        jmp     9f
2:      ud2
3:      movl    $LHCALL_FLUSH_ASYNC, %eax
        int     $LGUEST_TRAP_ENTRY
        jmp     9f
4:      pushl   $MARK
        DONE
        END

/* Single steps across the switch. */
        .macro STEP op:vararg
        TRYING
        pushfl
        orl     $0x100, (%esp)
        xorl    %eax, %eax
        popfl
        \op
        DONE
        TRYING
        movl    %ss, %edx
        pushfl
        orl     $0x100, (%esp)
        xorl    %eax, %eax
        popfl
        movl    %edx, %ss
        \op
        DONE
        .endm
        .macro STEPS
        STEP    int $0x80
        STEP    int3
        STEP    ud2
        STEP    hlt
        STEP    .byte 0xf1
        STEP    int $LGUEST_TRAP_ENTRY
        STEP    iret
        .endm
ATTACK  single_step
        STEPS
        GO_USER 1f
        USER_CODE
1:      STEPS
        EXIT

/* Round and round through the doors; the harness strikes at every instruction of the Switcher's that this executes. */
ATTACK  doors
        movl    $1f, service
        GO_USER 2f
1:      pushl   %ebx
        pushl   %ecx
        pushl   %edx
        pushl   %esi
        HCALL   LHCALL_TS, $0
        popl    %esi
        popl    %edx
        popl    %ecx
        popl    %ebx
        movl    $10, %eax
        ret
        USER_CODE
2:      movl    $0x0b0b0b0b, %ebx
        movl    $0x0d0d0d0d, %edx
        movl    $0x50505050, %esi
3:      movl    $5, %eax
        int     $0x80
        cmpl    $10, %eax
        jne     4f
        TRY     ud2
        cmpl    $6, %ecx
        jne     4f
        leal    (%ebx, %edx), %eax
        addl    %esi, %eax
        cmpl    $(0x0b0b0b0b + 0x0d0d0d0d + 0x50505050), %eax
        jne     4f
        cmpl    $USER_STACK_TOP, %esp
        jne     4f
        incl    USER_DATA
        jmp     3b
4:      EXIT    99
