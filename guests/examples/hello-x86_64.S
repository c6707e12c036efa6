/*
 * The smallest guest that does something under lguest64: it says hello on the console's emergency port, sleeps for a
 * millisecond of the virtual clock, says goodbye, and powers off with status 7. All of it comes from docs/abi-x86_64.md,
 * docs/devices.md and lguest64_abi.h.
 *
 * It stays in the linear view, where every guest-physical address maps to itself: no page tables, and the device is reached
 * where PCI says it is.
 */
#include "lguest64_abi.h"

#define SUBARCH         0x23c           /* boot_params.hdr.hardware_subarch */
#define PCI_ADDRESS     0xcf8
#define PCI_DATA        0xcfc
#define CONSOLE_BAR     0x80000810      /* bus 0, device 1, register 0x10 */
#define EMERGENCY       0x2008          /* device configuration + 8 */
#define IRQ_ENABLE      0x200

/* Number in %eax, arguments in %rdi %rsi %rdx; %rcx and %r11 are lost. */
        .macro  HYPERCALL number
        movl    $\number, %eax
        movl    $1, shared + LGS_HYPERCALL_FLAG
        syscall
        .endm

        .text
        .globl  _start
_start:
        cmpl    $1, SUBARCH(%rsi)       /* 1: there is a hypervisor to call */
        jne     native
        movl    $stack_top, %esp

        /* Nothing is called before this; afterwards SYSCALL is a hypercall only if the flag says so. */
        movl    $shared, %edi
        HYPERCALL LHCALL_LGUEST_INIT

        movl    $PCI_ADDRESS, %edx
        movl    $CONSOLE_BAR, %eax
        outl    %eax, %dx               /* IN and OUT fault, and the launcher carries them out */
        movl    $PCI_DATA, %edx
        inl     %dx, %eax
        andl    $~0xf, %eax
        movl    %eax, %ebp

        movl    $hello, %esi
        call    print

        movl    $LGUEST_FIRST_EXTERNAL_VECTOR + LGUEST_IRQ_TIMER, %edi
        movl    $tick, %esi
        xorl    %edx, %edx              /* an interrupt gate */
        HYPERCALL LHCALL_LOAD_IDT_ENTRY
        movl    $1000000, %edi          /* ns */
        HYPERCALL LHCALL_SET_CLOCKEVENT
        movl    $IRQ_ENABLE, shared + LGS_IRQ_ENABLED
1:      HYPERCALL LHCALL_HALT           /* comes back when an interrupt has been handled */
        cmpl    $0, ticks
        je      1b

        movl    $goodbye, %esi
        call    print
        movl    $reason, %edi
        movl    $LGUEST_SHUTDOWN_POWEROFF, %esi
        movl    $7, %edx                /* exit status */
        HYPERCALL LHCALL_SHUTDOWN

/* The string at %rsi to the console whose registers are at %rbp. */
print:
        lodsb
        testb   %al, %al
        je      1f
        movb    %al, EMERGENCY(%rbp)    /* MOV, as the launcher knows no other */
        jmp     print
1:      ret

/*
 * Virtual interrupt 0. The hardware's frame is on the stack: rip, cs, rflags, rsp, ss. Hypercall IRET wants rax, r11 and rcx
 * below it, and gives them back.
 */
tick:
        pushq   %rcx
        pushq   %r11
        pushq   %rax
        incl    ticks
        HYPERCALL LHCALL_IRET

native:                                 /* no module: the power-off port of docs/native-machine.md */
        movl    $0x604, %edx
        movl    $0x2000 + 8, %eax
        outw    %ax, %dx
        hlt

        .section .rodata
hello:  .asciz  "hello from the guest's kernel, at ring 3\r\n"
goodbye: .asciz "a millisecond later\r\n"
reason: .asciz  "said all there is to say"

        .bss
        .balign 4096
shared: .skip   LGS_SIZE                /* the page that guest and host share */
        .skip   4096
stack_top:
ticks:  .skip   4
