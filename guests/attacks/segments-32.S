/*
 * Descriptors: what i386 has and x86_64 has not. The guest asks for them one by one, and what it gets has been made
 * harmless; each of these asks for one that would not be.
 */

/* With a descriptor in entry 20, and its RPL 1: loads it, and looks and writes above the fence through it. */
        .macro BY_SEGMENT low, high
        HCALL   LHCALL_LOAD_GDT_ENTRY, $20, $\low, $\high
        movl    $(20 * 8 + 1), %eax
        TRY     movl %eax, %fs
        cmpl    $-1, %ecx
        jne     13f
        FOR_FIXED
        PEEK    %fs
        movl    PARAMS + AP_FIXED(, %esi, 8), %ebx
        addl    $8, %ebx
        POKE    %fs
        NEXT_FIXED
13:
        .endm

/*
 * Limits as large as they can be, bases close to the top, and segments that expand down, which begin where they seem to
 * end.
 */
ATTACK  gdt_limits
        BY_SEGMENT 0x0000ffff, 0x00cf9200
        BY_SEGMENT 0x0000ffff, 0x00cf9600       /* expand-down, limit 4 GiB */
        BY_SEGMENT 0x00000000, 0x00c09600       /* expand-down from 4 KiB */
        BY_SEGMENT 0x0000ffff, 0x004f9200       /* bytes, not pages */
        HCALL   LHCALL_LOAD_GDT_ENTRY, $20, $0x0000ffff, $0xffcf92c0    /* base 0xffc00000 */
        movl    $(20 * 8 + 1), %eax
        TRY     movl %eax, %fs
        movl    $0, %ebx
        TRY     movl $MARK, %fs:0x40
        HCALL   LHCALL_LOAD_GDT_ENTRY, $20, $0x0000ffff, $0xffcf92bf    /* and just below */
        movl    $(20 * 8 + 1), %eax
        TRY     movl %eax, %fs
        TRY     movl $MARK, %fs:0x10040
        END

/* DPL 0: code that would run there, conforming and not, by jumps, calls and returns. */
ATTACK  gdt_ring_0
        xorl    %esi, %esi
1:      movl    gdt_codes(, %esi, 4), %edi
        pushl   %esi
        HCALL   LHCALL_LOAD_GDT_ENTRY, $20, $0x0000ffff, %edi
        popl    %esi
        xorl    %ebx, %ebx
2:      leal    20 * 8(%ebx), %eax
        movl    $gdt_target, USER_DATA
        movl    %eax, USER_DATA + 4
        TRY     lcall *USER_DATA
        TRY     ljmp *USER_DATA
        TRYING
        pushl   %eax
        pushl   $gdt_target
        lret
        DONE
        TRYING
        pushl   $2
        pushl   %eax
        pushl   $gdt_target
        iret
        DONE
        leal    20 * 8(%ebx), %eax
        TRY     movl %eax, %ss
        leal    20 * 8(%ebx), %eax
        TRY     movl %eax, %ds
        pushl   %ss
        popl    %ds
        incl    %ebx
        cmpl    $4, %ebx
        jb      2b
        incl    %esi
        cmpl    $4, %esi
        jb      1b
        END
gdt_target:
        movl    %cs, %eax
        testl   $3, %eax
        jz      gdt_payload
        ud2
        .balign 4
gdt_codes:
        .long   0x00cf9a00, 0x00cf9e00, 0x00cf9200, 0x00cfda00
        PAYLOAD gdt_payload

/*
 * System descriptors: a call gate to the host's code, a task gate, a TSS, an LDT; and the host's own entries
 * overwritten.
 */
ATTACK  gdt_call_gate
        TOUCH   gate_payload
        movl    $gate_payload, %edi
        andl    $0xffff, %edi
        orl     $0x00500000, %edi               /* the Switcher's code */
        movl    $gate_payload, %eax
        andl    $0xffff0000, %eax
        orl     $0x0000ec00, %eax               /* present, DPL 3, a call gate */
        HCALL   LHCALL_LOAD_GDT_ENTRY, $20, %edi, %eax
        TRY     lcall $(20 * 8 + 1), $0
        HCALL   LHCALL_LOAD_GDT_ENTRY, $20, $0x00800000, $0x0000e500    /* a task gate */
        TRY     lcall $(20 * 8 + 1), $0
        HCALL   LHCALL_LOAD_GDT_ENTRY, $20, $0x00000067, $0xc0008930    /* a TSS at PAGES_PA */
        TRY     lcall $(20 * 8 + 1), $0
        TRY     ljmp $(20 * 8 + 1), $0
        movl    $10, %edi
1:      pushl   %edi
        HCALL   LHCALL_LOAD_GDT_ENTRY, %edi, $0x0000ffff, $0x00cffa00
        popl    %edi
        incl    %edi
        cmpl    $12, %edi
        jb      1b
        HCALL   LHCALL_LOAD_GDT_ENTRY, $16, $0x0000ffff, $0x00cffa00
        HCALL   LHCALL_LOAD_GDT_ENTRY, $31, $0x0000ffff, $0x00cffa00
        TRY     ud2
        END
        PAYLOAD gate_payload

/* Every selector in every register, and as the target of every far transfer. */
        .macro FAR_TRANSFERS stack
        xorl    %esi, %esi
1:      TRY     movl %esi, %ds
        TRY     movl %esi, %es
        TRY     movl %esi, %fs
        TRY     movl %esi, %ss
        movl    %ss, %eax
        movl    %eax, %ds
        movl    $(far_target + bias), USER_DATA
        movl    %esi, USER_DATA + 4
        TRY     lcall *USER_DATA
        TRY     ljmp *USER_DATA
        TRYING
        pushl   %esi
        pushl   $(far_target + bias)
        lret
        DONE
        TRYING
        pushl   $\stack
        pushl   $2
        pushl   %esi
        pushl   $(far_target + bias)
        iret
        DONE
        incl    %esi
        cmpl    $0x110, %esi
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
        USER_CODE
2:      FAR_TRANSFERS USER_STACK_TOP
        EXIT

/* IRET to every selector with flags that are ring 0's; where it goes on, it looks who it is. */
ATTACK  iret_selectors
        movl    PARAMS + AP_VARIANT, %ebx
        TRYING
        pushl   $LGUEST_KERNEL_DS
        pushl   $VIRT(STACK_PA + 0x800)
        pushl   $0x3202
        pushl   %ebx
        pushl   $iret_target
        iret
        DONE
        /* And by the hypercall, in designs that have it. */
        cmpl    $LGUEST_FLAG_HYPERCALL, flag
        jne     1f
        pushl   $LGUEST_KERNEL_DS
        pushl   $VIRT(STACK_PA + 0x800)
        pushl   $0x3202
        pushl   PARAMS + AP_VARIANT
        pushl   $iret_target
        pushl   $0
        pushl   $0
        movl    $iret_end, %edi
        movl    %esp, %ebx
        movl    $LHCALL_IRET, %eax
        call    hypercall
1:      END
iret_target:
        movl    %cs, %eax
        testl   $3, %eax
        jz      iret_payload
        pushfl
        popl    %eax
        REPORT  R_FLAGS, $0, %eax
        REPORTED
        ud2
iret_end:
        END
        PAYLOAD iret_payload

/* Flags of ring 0 by POPF and by IRET to the process: IOPL, IF off, NT, VM, which would be virtual-8086 mode. */
ATTACK  iret_flags
        movl    PARAMS + AP_VARIANT, %eax
        movl    flag_words(, %eax, 4), %esi
        TRYING
        pushl   %esi
        popfl
        pushfl
        popl    %eax
        REPORT  R_FLAGS, $0, %eax
        REPORTED
        DONE
        pushl   $2
        popfl
        movl    $LGUEST_USER_DS, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    $USER(2f), %edi
        movl    $USER_STACK_TOP, %ebp
        pushl   $LGUEST_USER_DS
        pushl   $USER_STACK_TOP
        pushl   %esi
        pushl   $LGUEST_USER_CS
        pushl   $USER(1f)
        iret
        USER_CODE
1:      pushfl
        popl    %eax
        REPORT  R_FLAGS, $1, %eax
        REPORTED
2:      TRYING
        pushl   %esi
        popfl
        movl    $0x80, %edx
        inb     %dx, %al
        REPORT  R_THROUGH, $1, %eax
        REPORTED
        DONE
        MUST_FAIL 2, cli
        MUST_FAIL 3, hlt
        EXIT
        KERNEL_CODE
        .balign 4
flag_words:
        .long   0x3202, 0x2, 0x4202, 0x20202, 0x10202, 0x180202, 0x40202, 0x23202, 0x3fbeff

/* What is the host's alone. */
        .macro PRIVILEGED
        movl    $USER_DATA, %ebx
        xorl    %eax, %eax
        MUST_FAIL 1, lgdt (%ebx)
        MUST_FAIL 2, lidt (%ebx)
        MUST_FAIL 3, lldt %ax
        movl    $0x80, %eax
        MUST_FAIL 4, ltr %ax
        MUST_FAIL 5, movl %cr0, %eax
        MUST_FAIL 6, movl %cr3, %eax
        MUST_FAIL 7, movl %ebx, %cr0
        MUST_FAIL 8, movl %ebx, %cr3
        MUST_FAIL 9, movl %ebx, %cr4
        MUST_FAIL 10, movl %ebx, %dr0
        movl    $0x401, %ebx
        MUST_FAIL 11, movl %ebx, %dr7
        movl    $0x176, %ecx
        MUST_FAIL 12, rdmsr
        MUST_FAIL 13, wrmsr
        MUST_FAIL 14, clts
        MUST_FAIL 15, invd
        MUST_FAIL 16, wbinvd
        MUST_FAIL 17, invlpg (%ebx)
        MUST_FAIL 18, lmsw %ax
        MUST_FAIL 19, cli
        MUST_FAIL 20, sti
        MUST_FAIL 21, hlt
        MUST_FAIL 22, sysenter
        MUST_FAIL 23, sysexit
        MUST_FAIL 24, syscall
        MUST_FAIL 25, sysret
        .endm
ATTACK  privileged_instructions
        PRIVILEGED
        END
ATTACK  user_privileged_instructions
        GO_USER 1f
        USER_CODE
1:      PRIVILEGED
        EXIT
