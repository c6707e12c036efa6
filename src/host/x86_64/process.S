/*
 * A host process: a program at ring 3 on the host's own page tables, as any daemon on the machine would be. It makes system
 * calls through the very entry that guests use, so the NULL side of the VCPU check is executed beside the other one.
 */
#include "offsets.h"

        .text
        .globl _start
_start:
        xorl    %ebx, %ebx
1:      movl    $SYS_GETPID, %eax
        syscall
        addl    %eax, %ebx        /* some work on the process's own stack and registers */
        pushq   %rbx
        movl    $64, %ecx
2:      addq    %rcx, (%rsp)
        loop    2b
        popq    %rbx
        movl    $SYS_NANOSLEEP, %eax
        movl    $HEARTBEAT_NS, %edi
        syscall
        jmp     1b
