/*
 * What is the same to the letter in attack.h and attack-32.h, which have the words that these are made of. PUSH without a
 * suffix is the mode's own.
 */

/* The end of an attack that has done what it could. */
        .macro END status=$0
        HCALL   LHCALL_SHUTDOWN, $PHYS(message), $LGUEST_SHUTDOWN_POWEROFF, \status
        .endm

        .macro GO_USER entry
        movl    $USER(\entry), %ebx
        jmp     to_user
        .endm

        .macro TRY instruction:vararg
        TRYING
        \instruction
        DONE
        .endm

/* 16 bytes for each exception: a zero where the processor pushes no error code (SDM vol. 3, 6.13), and the vector. */
        .macro EXCEPTION_STUBS target
        .balign 16
        .set    n, 0
        .rept   32
        .balign 16
        .if !(n == 8 || (n >= 10 && n <= 14) || n == 17 || n == 21)
        push    $0
        .endif
        push    $n
        jmp     \target
        .set    n, n + 1
        .endr
        .endm
