/*
 * A host process: a program at ring 3 on the host's own page tables, as any daemon on the machine would be. Its system
 * calls come in through the host's own IDT, which no guest ever runs on: on i386 nobody has to ask whose call it is.
 */
#include "offsets.h"

        .text
        .globl _start
_start:
        xorl    %ebx, %ebx
1:      movl    $SYS_GETPID, %eax
        int     $SYSCALL_VECTOR
        addl    %eax, %ebx        /* some work on the process's own stack and registers */
        pushl   %ebx
        movl    $64, %ecx
2:      addl    %ecx, (%esp)
        loop    2b
        popl    %esi
        movl    $SYS_NANOSLEEP, %eax
        movl    $HEARTBEAT_NS, %ebx
        int     $SYSCALL_VECTOR
        movl    %esi, %ebx
        jmp     1b
