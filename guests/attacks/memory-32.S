/*
 * The host's memory on i386. There are limits on segments here, which x86_64 has lost: what is above one is out of
 * reach whatever the page tables say. In designs without them a kernel at ring 1 is a supervisor to paging, and only
 * what is read-only is safe.
 */

/* Writes to the Switcher's text. */
ATTACK  write_switcher
        call    write_text
        END
        .macro WRITE_TEXT
        movl    PARAMS + AP_TEXT, %ebx
        movl    PARAMS + AP_TEXT_BYTES, %esi
1:      TRY     movb $0xcc, 0x40(%ebx)
        addl    $0x400, %ebx
        subl    $0x400, %esi
        ja      1b
        movl    PARAMS + AP_DIRECT, %ebx
        addl    PARAMS + AP_TEXT_PA, %ebx
        TRY     movb $0xcc, 0x40(%ebx)
        .endm
write_text:
        WRITE_TEXT
        ret
ATTACK  user_write_switcher
        GO_USER 2f
        USER_CODE
2:      WRITE_TEXT
        EXIT

/* Reads the pages that both worlds have mapped. */
ATTACK  read_fixed_area
        call    read_fixed
        END
read_fixed:
        FOR_FIXED
        PEEK
        NEXT_FIXED
        ret
ATTACK  user_read_fixed_area
        GO_USER 1f
        USER_CODE
1:      FOR_FIXED
        PEEK
        NEXT_FIXED
        EXIT
ATTACK  write_fixed_area
        call    write_fixed
        END
write_fixed:
        FOR_FIXED
        addl    $8, %ebx
        POKE
        NEXT_FIXED
        ret
ATTACK  user_write_fixed_area
        GO_USER 1f
        USER_CODE
1:      FOR_FIXED
        addl    $8, %ebx
        POKE
        NEXT_FIXED
        EXIT

/*
 * By a segment of thread-local storage. glibc's have a base above and negative offsets below, so their limit must be
 * all of 4 GiB, and lguest lets them be: with base 0 such a segment reaches the Switcher, past every fence. Loaded by
 * the kernel at ring 1.
 */
ATTACK  thread_local
        movl    $0x0000ffff, VIRT(PAGES_PA)
        movl    $0x00cff200, VIRT(PAGES_PA + 4)
        HCALL   LHCALL_LOAD_TLS, $PAGES_PA
        movl    $0x33, %eax
        TRY     movl %eax, %fs
        FOR_FIXED
        PEEK    %fs
        movl    PARAMS + AP_FIXED(, %esi, 8), %ebx
        addl    $8, %ebx
        POKE    %fs
        NEXT_FIXED
        movl    PARAMS + AP_SECRET_VA, %ebx
        PEEK    %fs
        movl    PARAMS + AP_TEXT, %ebx
        TRY     movl %eax, %fs:(%ebx)
        END

/* The direct map, where it is in the guest's tables. */
ATTACK  read_direct_map
        movl    PARAMS + AP_SECRET_VA, %ebx
        PEEK
        END
ATTACK  user_read_direct_map
        GO_USER 1f
        USER_CODE
1:      movl    PARAMS + AP_SECRET_VA, %ebx
        PEEK
        EXIT
ATTACK  write_direct_map
        movl    PARAMS + AP_SECRET_VA, %ebx
        addl    $8, %ebx
        POKE
        END
ATTACK  user_write_direct_map
        GO_USER 1f
        USER_CODE
1:      movl    PARAMS + AP_SECRET_VA, %ebx
        addl    $8, %ebx
        POKE
        EXIT

/* A process against its kernel. */
ATTACK  user_read_kernel
        call    use_own_page
        GO_USER 1f
        USER_CODE
1:      movl    $VIRT(KERNEL_PAGE_PA), %ebx
        PEEK
        movl    $KERNEL_PAGE_PA, %ebx
        PEEK
        EXIT
        KERNEL_CODE
use_own_page:
        movl    VIRT(KERNEL_PAGE_PA), %eax
        movl    %eax, VIRT(KERNEL_PAGE_PA)
        ret
ATTACK  user_write_kernel
        call    use_own_page
        GO_USER 1f
        USER_CODE
1:      movl    $VIRT(KERNEL_PAGE_PA + KERNEL_CANARY), %ebx
        POKE
        EXIT
ATTACK  user_hypercall
        GO_USER 1f
        USER_CODE
        .macro FORGED
        movl    $LHCALL_SHUTDOWN, %eax
        movl    $PHYS(message), %ebx
        movl    $LGUEST_SHUTDOWN_POWEROFF, %ecx
        movl    $STATUS_FORGED, %edx
        .endm
1:      TRYING
        FORGED
        int     $LGUEST_TRAP_ENTRY
        DONE
        TRYING
        FORGED
        call    *USER(call_page)
        DONE
        TRYING
        FORGED
        lcall   $LGUEST_KERNEL_CS, $hypercall
        DONE
        EXIT

/* A translation that has been taken back: cleared, without its user bit, without its table. */
ATTACK  stale_tlb
        movl    $(PAGES_PA + 0x67), VIRT(TABLES_PA)
        movl    $(TABLES_PA + 0x67), VIRT(PGD_PA) + (0x09000000 >> 22) * 4
        HCALL   LHCALL_SET_PGD, $PGD_PA, $(0x09000000 >> 22)
        movl    $1f, service
        GO_USER 4f
1:      pushal
        movl    PARAMS + AP_VARIANT, %eax
        cmpl    $1, %eax
        ja      2f
        movl    $0, %edi
        jb      3f
        movl    $(PAGES_PA + 0x63), %edi
3:      movl    %edi, VIRT(TABLES_PA)
        HCALL   LHCALL_SET_PTE, $PGD_PA, $0x09000000, %edi
        jmp     5f
2:      movl    $0, VIRT(PGD_PA) + (0x09000000 >> 22) * 4
        HCALL   LHCALL_SET_PGD, $PGD_PA, $(0x09000000 >> 22)
5:      movl    VIRT(KERNEL_PAGE_PA), %eax
        movl    %eax, VIRT(PAGES_PA)
        movl    VIRT(KERNEL_PAGE_PA + 4), %eax
        movl    %eax, VIRT(PAGES_PA + 4)
        popal
        ret
        USER_CODE
4:      movl    $0x09000000, %ebx
        movl    (%ebx), %eax
        movl    $MARK, 8(%ebx)
        movl    $5, %eax
        int     $0x80
        PEEK
        EXIT
