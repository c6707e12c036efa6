/* Generated from src/paravirt_ops/lguest.ts by npm run guests: do not edit. docs/abi-i386.md explains it. */
#pragma once

#define LHCALL_FLUSH_ASYNC                       0x0
#define LHCALL_LGUEST_INIT                       0x1
#define LHCALL_SHUTDOWN                          0x2
#define LHCALL_NEW_PGTABLE                       0x4
#define LHCALL_FLUSH_TLB                         0x5
#define LHCALL_LOAD_IDT_ENTRY                    0x6
#define LHCALL_SET_STACK                         0x7
#define LHCALL_TS                                0x8
#define LHCALL_SET_CLOCKEVENT                    0x9
#define LHCALL_HALT                              0xa
#define LHCALL_SET_PMD                           0xd
#define LHCALL_SET_PTE                           0xe
#define LHCALL_SET_PGD                           0xf
#define LHCALL_LOAD_TLS                          0x10
#define LHCALL_LOAD_GDT_ENTRY                    0x12
#define LHCALL_SEND_INTERRUPTS                   0x13
#define LHCALL_IRET                              0x20
#define LHCALL_IRQ_FLAGS                         0x28
#define LHCALL_IRQ_DISABLE                       0x29
#define LHCALL_IRQ_ENABLE                        0x2a
#define LGUEST_TRAP_ENTRY                        0x1f
#define LGUEST_SHUTDOWN_POWEROFF                 0x1
#define LGUEST_SHUTDOWN_RESTART                  0x2
#define LGUEST_GUEST_PL                          0x1
#define LGUEST_GDT_ENTRIES                       0x20
#define LGUEST_GDT_TLS_MIN                       0x6
#define LGUEST_GDT_TLS_ENTRIES                   0x3
#define LGUEST_GDT_KERNEL_CS                     0xc
#define LGUEST_GDT_KERNEL_DS                     0xd
#define LGUEST_GDT_USER_CS                       0xe
#define LGUEST_GDT_USER_DS                       0xf
#define LGUEST_KERNEL_CS                         0x61
#define LGUEST_KERNEL_DS                         0x69
#define LGUEST_USER_CS                           0x73
#define LGUEST_USER_DS                           0x7b
#define LGUEST_FIRST_EXTERNAL_VECTOR             0x20
#define LGUEST_IRQS                              0x20
#define LGUEST_IRQ_TIMER                         0x0
#define LGUEST_SYSCALL_VECTOR                    0x80
#define LHCALL_RING_SIZE                         0x40
#define LHCALL_FREE                              0xff
#define LHCALL_PENDING                           0x0
#define LGUEST_SWITCHER_ADDR                     0xffc00000
#define LGUEST_DESIGN_HYPERCALL_SHIFT            0x0
#define LGUEST_DESIGN_FLAG_SHIFT                 0x4
#define LGUEST_DESIGN_FIELD_MASK                 0xf
#define LGUEST_DESIGN_NATIVE_SELECTORS           0x100
#define LGUEST_DESIGN_RING_1                     0x200
#define LGUEST_DESIGN_MACHINE_FRAMES             0x400
#define LGUEST_DESIGN_SLOT_SHIFT                 0x10
#define LGUEST_DESIGN_SLOT_MASK                  0x1ff
#define LGUEST_HYPERCALL_INTERRUPT               0x1
#define LGUEST_HYPERCALL_CALL_PAGE               0x2
#define LGUEST_FLAG_SHARED_WORD                  0x0
#define LGUEST_FLAG_HYPERCALL                    0x1
#define LGUEST_FLAG_ROM                          0x3
#define LGUEST_CALL_PAGE                         0xfec00000
#define LGUEST_CALL_STRIDE                       0x40
#define LGUEST_CALL_HYPERCALL                    0x0
#define LGUEST_CALL_SAVE_FLAGS                   0x1
#define LGUEST_CALL_RESTORE_FLAGS                0x2
#define LGUEST_CALL_IRQ_DISABLE                  0x3
#define LGUEST_CALL_IRQ_ENABLE                   0x4
#define LGUEST_CALL_IRET                         0x5
#define LGUEST_ROM_DATA                          0xfec01000

/* an asynchronous hypercall */
#define HCALL_ARG0                               0x0 /* u32: number, as in %eax */
#define HCALL_ARG1                               0x4 /* u32: as in %ebx */
#define HCALL_ARG2                               0x8 /* u32: as in %ecx */
#define HCALL_ARG3                               0xc /* u32: as in %edx */
#define HCALL_ARG4                               0x10 /* u32: as in %esi */
#define HCALL_SIZE                               0x14

/* what guest and host share */
#define LGUEST_DATA_IRQ_ENABLED                  0x0 /* u32: 0x200 (as in EFLAGS): virtual interrupts may be delivered; 0: not */
#define LGUEST_DATA_BLOCKED_INTERRUPTS           0x4 /* u32: bitmap of virtual interrupts 0..31 that the guest has masked */
#define LGUEST_DATA_CR2                          0x8 /* u32: address of the last page fault delivered */
#define LGUEST_DATA_TIME_SEC                     0xc /* u32: wall clock at LGUEST_INIT and at the last interrupt delivered, seconds since 1970 */
#define LGUEST_DATA_TIME_NSEC                    0x10 /* u32: nanoseconds of it */
#define LGUEST_DATA_IRQ_PENDING                  0x14 /* u32: host sets 0x200 when an interrupt waits for irqEnabled */
#define LGUEST_DATA_HCALL_STATUS                 0x18 /* u8[64]: 0xff free or done, 0 pending */
#define LGUEST_DATA_HCALLS                       0x58 /* u32[320]: 64 x struct hcall_args */
#define LGUEST_DATA_RESERVE_MEM                  0x558 /* u32: bytes at the top of the address space that are the Switcher's; host writes it at LGUEST_INIT */
#define LGUEST_DATA_TSC_KHZ                      0x55c /* u32: rate of RDTSC, kHz; host writes it at LGUEST_INIT */
#define LGUEST_DATA_NOIRQ_IRET                   0x560 /* u32: address of the one IRET before which no interrupt is pushed; read at LGUEST_INIT */
#define LGUEST_DATA_KERNEL_ADDRESS               0x564 /* u32: where the guest's kernel space begins; read at LGUEST_INIT */
#define LGUEST_DATA_SYSCALL_VEC                  0x568 /* u32: vector of its system calls, 0x80 or 0x40; read at LGUEST_INIT */
#define LGUEST_DATA_SIZE                         0x56c

/* the virtual CPU that the call page's code keeps */
#define LGUEST_ROM_IRQ_ENABLED                   0x0 /* u32: bit 9 as in EFLAGS: virtual interrupts may be delivered */
#define LGUEST_ROM_IRQ_PENDING                   0x4 /* u32: host sets 0x200 when an interrupt waits for irqEnabled */
#define LGUEST_ROM_SIZE                          0x1000

/* where the guest goes on */
#define LGUEST_IRET_EAX                          0x0 /* u32: %eax */
#define LGUEST_IRET_EBX                          0x4 /* u32: %ebx */
#define LGUEST_IRET_EIP                          0x8 /* u32: %eip */
#define LGUEST_IRET_CS                           0xc /* u32: %cs */
#define LGUEST_IRET_EFLAGS                       0x10 /* u32: %eflags; IF is the guest's own */
#define LGUEST_IRET_ESP                          0x14 /* u32: %esp */
#define LGUEST_IRET_SS                           0x18 /* u32: %ss */
#define LGUEST_IRET_SIZE                         0x1c
