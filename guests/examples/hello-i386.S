/*
 * The smallest guest that does something under lguest: it says hello on the console's emergency port, sleeps for a
 * millisecond of the virtual clock, says goodbye, and powers off with status 7. All of it comes from docs/abi-i386.md,
 * docs/devices.md and lguest_abi.h. Assembled with PAE defined, it is for a host that was started with --pae.
 *
 * The linear view ends with memory, and the console's registers lie beyond it: hence the page tables, of large pages that
 * map memory and the devices where they are.
 */
#include "lguest_abi.h"

#define SUBARCH         0x23c           /* boot_params.hdr.hardware_subarch */
#define PCI_ADDRESS     0xcf8
#define PCI_DATA        0xcfc
#define CONSOLE_BAR     0x80000810      /* bus 0, device 1, register 0x10 */
#define EMERGENCY       0x2008          /* device configuration + 8 */
#define DEVICES         0xf0000000
#define LARGE_PAGE      0x83            /* present, writable, large */
#define PRESENT         0x01
#define INTERRUPT_GATE  0x8e00          /* present, DPL 0, type 0xE */

/* Number in %eax, arguments in %ebx %ecx %edx %esi; %eax is 0 afterwards. */
        .macro  HYPERCALL number
        movl    $\number, %eax
        int     $0x1f
        .endm

        .text
        .globl  _start
_start:
        cmpl    $1, SUBARCH(%esi)       /* 1: there is a hypervisor to call */
        jne     native
        movl    $stack_top, %esp

        movl    $lguest_data, %ebx
        HYPERCALL LHCALL_LGUEST_INIT
        movl    $page_tables, %ebx
        HYPERCALL LHCALL_NEW_PGTABLE    /* an address in memory means the same as before */

        movl    $PCI_ADDRESS, %edx
        movl    $CONSOLE_BAR, %eax
        outl    %eax, %dx               /* IN and OUT fault, and the launcher carries them out */
        movl    $PCI_DATA, %edx
        inl     %dx, %eax
        andl    $~0xf, %eax
        movl    %eax, %ebp

        movl    $hello, %esi
        call    print

        movl    $LGUEST_FIRST_EXTERNAL_VECTOR + LGUEST_IRQ_TIMER, %ebx
        movl    $tick, %edx             /* a gate: selector and offset 0..15, offset 16..31 and kind */
        movzwl  %dx, %ecx
        orl     $LGUEST_KERNEL_CS << 16, %ecx
        movw    $INTERRUPT_GATE, %dx
        HYPERCALL LHCALL_LOAD_IDT_ENTRY
        movl    $1000000, %ebx          /* ns */
        HYPERCALL LHCALL_SET_CLOCKEVENT
1:      HYPERCALL LHCALL_HALT           /* comes back when an interrupt has been handled */
        cmpl    $0, ticks
        je      1b

        movl    $goodbye, %esi
        call    print
        movl    $reason, %ebx
        movl    $LGUEST_SHUTDOWN_POWEROFF, %ecx
        movl    $7, %edx                /* exit status */
        HYPERCALL LHCALL_SHUTDOWN

/* The string at %esi to the console whose registers are at %ebp. */
print:
        lodsb
        testb   %al, %al
        je      1f
        movb    %al, EMERGENCY(%ebp)    /* MOV, as the launcher knows no other */
        jmp     print
1:      ret

/* Virtual interrupt 0, with eip, cs, eflags on the stack. IRET at ring 1 leaves IF alone: irqEnabled is ours to restore. */
tick:
        incl    ticks
        pushl   8(%esp)
        popl    lguest_data + LGUEST_DATA_IRQ_ENABLED
noirq_iret:
        iret

native:                                 /* no module: the power-off port of docs/native-machine.md */
        movl    $0x604, %edx
        movl    $0x2000 + 8, %eax
        outw    %ax, %dx
        hlt

        .section .rodata
hello:  .asciz  "hello from the guest's kernel, at ring 1\r\n"
goodbye: .asciz "a millisecond later\r\n"
reason: .asciz  "said all there is to say"

        .data
        .balign 4096
#ifdef PAE
#define LARGE_BYTES     0x200000
page_tables:                            /* an entry for each GiB */
        .long   low + PRESENT, 0, 0, 0, 0, 0, high + PRESENT, 0
        .balign 4096
low:    .quad   LARGE_PAGE
        .balign 4096
high:   .skip   (DEVICES - 0xc0000000) / LARGE_BYTES * 8
        .quad   DEVICES + LARGE_PAGE
#else
page_tables:
        .long   LARGE_PAGE
        .skip   (DEVICES / 0x400000 - 1) * 4
        .long   DEVICES + LARGE_PAGE
#endif

lguest_data:
        .skip   LGUEST_DATA_HCALL_STATUS
        .skip   LHCALL_RING_SIZE, LHCALL_FREE
        .skip   LGUEST_DATA_NOIRQ_IRET - LGUEST_DATA_HCALL_STATUS - LHCALL_RING_SIZE
        .long   noirq_iret
        .long   0xc0000000              /* kernelAddress: a boundary that means nothing to us */
        .long   0x80                    /* syscallVec */

        .bss
        .balign 16
        .skip   4096
stack_top:
ticks:  .skip   4
