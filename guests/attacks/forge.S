/*
 * What a kernel at ring 1 would do with a host that is mapped: not look, but take over. Each of these goes for one
 * structure that the processor or the entry code believes, and ends in code of the attacker's at ring 0. Where the
 * structure is not mapped, or is read-only, or belongs to ring 0 alone, the first store is a page fault, and that is
 * all.
 */

/*
 * The PDA's pointer to the VCPU descriptor. Entry code jumps through it at ring 0: point it at a descriptor of our own,
 * and trap.
 */
ATTACK  forge_pda
        movq    $VIRT(PAGES_PA), %rdi
        TOUCH   pda_payload
        leaq    pda_payload(%rip), %rax
        call    fake_descriptor
        movq    PARAMS + AP_PDA, %rbx
        addq    PARAMS + AP_VCPU_OFFSET, %rbx
        TRY     movq %rdi, (%rbx)
        cmpl    $-1, %r12d
        jne     1f
        REPORT  R_WROTE, %rbx, %rdi
        ud2
1:      END
/* A descriptor at %rdi whose functions are %rax. */
fake_descriptor:
        movq    PARAMS + AP_TRAP_OFFSET, %rcx
        movq    %rax, (%rdi, %rcx)
        movq    PARAMS + AP_CALL_OFFSET, %rcx
        movq    %rax, (%rdi, %rcx)
        movq    PARAMS + AP_STACK_OFFSET, %rcx
        leaq    0xff0(%rdi), %rdx
        movq    %rdx, (%rdi, %rcx)
        ret
        PAYLOAD pda_payload

/* The descriptor itself, where the host has it and where the direct map shows it. */
ATTACK  forge_descriptor
        movq    PARAMS + AP_DESCRIPTOR, %rbx
        call    1f
        movq    PARAMS + AP_DIRECT, %rbx
        addq    PARAMS + AP_DESCRIPTOR_PA, %rbx
        call    1f
        END
1:      addq    PARAMS + AP_TRAP_OFFSET, %rbx
        TOUCH   descriptor_payload
        leaq    descriptor_payload(%rip), %rax
        movq    %rax, %rdi
        TRY     movq %rdi, (%rbx)
        cmpl    $-1, %r12d
        jne     2f
        REPORT  R_WROTE, %rbx, %rdi
        ud2
2:      ret
        PAYLOAD descriptor_payload

/*
 * The TSS: the stack that the processor takes for the next event. In the middle of a frame of the host's, say, where
 * the processor writes with ring 0's rights what the attacker has in the registers.
 */
ATTACK  forge_tss
        movq    PARAMS + AP_TSS, %rbx
        movq    PARAMS + AP_SECRET_VA, %rdi
        addq    $0x800, %rdi
        TRY     movq %rdi, 4(%rbx)
        cmpl    $-1, %r12d
        jne     1f
        REPORT  R_WROTE, %rbx, %rdi
        TRY     ud2
1:      END

/* A gate for INT 0x40 of our own, to the host's code segment, which everybody may use. */
ATTACK  forge_idt
        movq    PARAMS + AP_IDT, %rbx
        call    1f
        movq    PARAMS + AP_DIRECT, %rbx
        addq    PARAMS + AP_IDT_PA, %rbx
        call    1f
        END
1:      addq    $(0x40 * 16), %rbx
        TOUCH   forge_payload
        leaq    forge_payload(%rip), %rax
        movzwl  %ax, %ecx
        orl     $0x100000, %ecx         /* the host's code segment */
        movl    %eax, %edx
        andl    $0xffff0000, %edx
        orl     $0xee00, %edx           /* present, DPL 3, an interrupt gate */
        shlq    $32, %rdx
        orq     %rcx, %rdx
        shrq    $32, %rax
        movq    %rax, %rdi
        TRY     movq %rdi, 8(%rbx)
        TRY     movq %rdx, (%rbx)
        cmpl    $-1, %r12d
        jne     2f
        REPORT  R_WROTE, %rbx, %rdx
        TRY     int $0x40
2:      ret
        PAYLOAD forge_payload

/* A call gate in the GDT, in the place of two descriptors that are not needed now. */
ATTACK  forge_gdt
        movq    PARAMS + AP_GDT, %rbx
        call    1f
        movq    PARAMS + AP_DIRECT, %rbx
        addq    PARAMS + AP_GDT_PA, %rbx
        call    1f
        END
1:      leaq    forge_payload(%rip), %rax
        movzwl  %ax, %ecx
        orl     $0x100000, %ecx
        movl    %eax, %edx
        andl    $0xffff0000, %edx
        orl     $0xec00, %edx           /* present, DPL 3, a 64-bit call gate */
        shlq    $32, %rdx
        orq     %rcx, %rdx
        shrq    $32, %rax
        movq    %rax, %rdi
        TRY     movq %rdi, 0x28(%rbx)
        TRY     movq %rdx, 0x20(%rbx)
        cmpl    $-1, %r12d
        jne     2f
        REPORT  R_WROTE, %rbx, %rdx
        movl    $0, USER_DATA
        movl    $0x23, USER_DATA + 4
        TRY     lcall *USER_DATA
2:      ret

/*
 * Its own state page, from the first byte to the last. That one is meant to be written, by the processor and for the
 * guest: so what can be had by writing nonsense there must be nothing.
 */
ATTACK  forge_state
        movl    $40, %r13d
1:      movq    PARAMS + AP_STATE, %rdi
        leaq    0x1000(%rdi), %rbx
        leaq    forge_payload(%rip), %rcx
2:      TRY     movq %rcx, (%rdi)
        cmpl    $-1, %r12d
        jne     3f
        addq    $8, %rdi
        cmpq    %rbx, %rdi
        jb      2b
        TRY     ud2
        HCALL   LHCALL_FLUSH_ASYNC
        decl    %r13d
        jnz     1b
3:      END
