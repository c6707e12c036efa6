/* Generated from src/paravirt_ops/lguest64.ts by npm run guests: do not edit. docs/abi-x86_64.md explains it. */
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
#define LHCALL_SEND_INTERRUPTS                   0x13
#define LHCALL_IRET                              0x20
#define LHCALL_SET_SYSCALL                       0x21
#define LHCALL_SET_BASE                          0x22
#define LHCALL_SET_PUD                           0x23
#define LHCALL_FLUSH_TLB_ADDR                    0x24
#define LHCALL_VCPU_UP                           0x25
#define LHCALL_SEND_IPI                          0x26
#define LHCALL_YIELD                             0x27
#define LHCALL_IRQ_FLAGS                         0x28
#define LHCALL_IRQ_DISABLE                       0x29
#define LHCALL_IRQ_ENABLE                        0x2a
#define LHCALL_MMU_UPDATE                        0x2b
#define LGUEST_SHUTDOWN_POWEROFF                 0x1
#define LGUEST_SHUTDOWN_RESTART                  0x2
#define LGUEST_BASE_FS                           0x0
#define LGUEST_BASE_GS_KERNEL                    0x1
#define LGUEST_BASE_GS_USER                      0x2
#define GUEST_KERNEL_CS                          0x53
#define GUEST_KERNEL_DS                          0x5b
#define GUEST_USER_CS                            0x6b
#define GUEST_USER_DS                            0x63
#define GUEST_RING1_CS                           0x71
#define GUEST_RING1_DS                           0x79
#define LGUEST_DESIGN_HYPERCALL_SHIFT            0x0
#define LGUEST_DESIGN_FLAG_SHIFT                 0x4
#define LGUEST_DESIGN_FIELD_MASK                 0xf
#define LGUEST_DESIGN_NATIVE_SELECTORS           0x100
#define LGUEST_DESIGN_RING_1                     0x200
#define LGUEST_DESIGN_MACHINE_FRAMES             0x400
#define LGUEST_DESIGN_SLOT_SHIFT                 0x10
#define LGUEST_DESIGN_SLOT_MASK                  0x1ff
#define LGUEST_HYPERCALL_SYSCALL                 0x0
#define LGUEST_HYPERCALL_INTERRUPT               0x1
#define LGUEST_HYPERCALL_CALL_PAGE               0x2
#define LGUEST_FLAG_SHARED_WORD                  0x0
#define LGUEST_FLAG_HYPERCALL                    0x1
#define LGUEST_FLAG_PVI                          0x2
#define LGUEST_FLAG_ROM                          0x3
#define LGUEST_HYPERCALL_VECTOR                  0x1f
#define LGUEST_CALL_PAGE_OFFSET                  0x80000
#define LGUEST_CALL_STRIDE                       0x40
#define LGUEST_CALL_HYPERCALL                    0x0
#define LGUEST_CALL_SAVE_FLAGS                   0x1
#define LGUEST_CALL_RESTORE_FLAGS                0x2
#define LGUEST_CALL_IRQ_DISABLE                  0x3
#define LGUEST_CALL_IRQ_ENABLE                   0x4
#define LGUEST_FIRST_EXTERNAL_VECTOR             0x20
#define LGUEST_IRQS                              0x20
#define LGUEST_IRQ_TIMER                         0x0
#define LGUEST_IRQ_IPI                           0x1f
#define LHCALL_RING_SIZE                         0x40
#define LHCALL_FREE                              0xff
#define LHCALL_PENDING                           0x0
#define LGUEST_HOST_PML4_SLOT                    0x1fe

/* the page that a guest's virtual CPU shares with its host */
#define LGS_HYPERCALL_FLAG                       0x0 /* u32: guest sets 1 before SYSCALL to mean a hypercall; the host clears it */
#define LGS_IRQ_ENABLED                          0x4 /* u32: bit 9 as in EFLAGS: virtual interrupts may be delivered */
#define LGS_IRQ_PENDING                          0x8 /* u32: host sets 1 when an interrupt waits for irqEnabled */
#define LGS_VCPU_COUNT                           0xc /* u32: virtual CPUs that this guest may bring up, itself included; host writes it */
#define LGS_BLOCKED_INTERRUPTS                   0x10 /* u32: bitmap of virtual interrupts 0..31 that the guest has masked */
#define LGS_TSC_KHZ                              0x14 /* u32: rate of RDTSC, kHz; host writes it at LGUEST_INIT */
#define LGS_CR2                                  0x18 /* u64: address of the last page fault delivered */
#define LGS_TIME_SEC                             0x20 /* u64: wall clock at the last LGUEST_INIT or clock event, seconds since 1970 */
#define LGS_TIME_NSEC                            0x28 /* u64: nanoseconds of it */
#define LGS_NOIRQ_START                          0x30 /* u64: no interrupt is delivered while RIP is in [noirqStart, noirqEnd) */
#define LGS_NOIRQ_END                            0x38 /* u64: end of that range */
#define LGS_KERNEL_ADDRESS                       0x40 /* u64: where the guest's kernel space begins, for whoever looks at it; the host does not depend on it */
#define LGS_RESERVED_START                       0x48 /* u64: first address of the host's range; host writes it at LGUEST_INIT */
#define LGS_RESERVED_END                         0x50 /* u64: last address of the host's range */
#define LGS_VCPU_INDEX                           0x58 /* u32: index of this virtual CPU; host writes it */
#define LGS_ABI_VERSION                          0x5c /* u32: 1; host writes it at LGUEST_INIT */
#define LGS_HCALL_STATUS                         0x80 /* u8[64]: 0xff free or done, 0 pending */
#define LGS_HCALLS                               0x100 /* u64[384]: 64 x { number, arg0..arg4 } */
#define LGS_SIZE                                 0x1000

/* the virtual CPU that the call page's code keeps */
#define LGV_IRQ_ENABLED                          0x0 /* u32: bit 9 as in EFLAGS: virtual interrupts may be delivered */
#define LGV_IRQ_PENDING                          0x4 /* u32: host sets 1 when an interrupt waits for irqEnabled */
#define LGV_SIZE                                 0x1000

/* registers of the interrupted guest user */
#define LGR_R15                                  0x0 /* u64: %r15 */
#define LGR_R14                                  0x8 /* u64: %r14 */
#define LGR_R13                                  0x10 /* u64: %r13 */
#define LGR_R12                                  0x18 /* u64: %r12 */
#define LGR_RBP                                  0x20 /* u64: %rbp */
#define LGR_RBX                                  0x28 /* u64: %rbx */
#define LGR_R11                                  0x30 /* u64: %r11: the user's flags, as SYSCALL leaves them */
#define LGR_R10                                  0x38 /* u64: %r10 */
#define LGR_R9                                   0x40 /* u64: %r9 */
#define LGR_R8                                   0x48 /* u64: %r8 */
#define LGR_RAX                                  0x50 /* u64: %rax: for a system call its number */
#define LGR_RCX                                  0x58 /* u64: %rcx: the user's return address, as SYSCALL leaves it */
#define LGR_RDX                                  0x60 /* u64: %rdx */
#define LGR_RSI                                  0x68 /* u64: %rsi */
#define LGR_RDI                                  0x70 /* u64: %rdi */
#define LGR_ORIG_RAX                             0x78 /* u64: the system call's number again */
#define LGR_RIP                                  0x80 /* u64: the user's return address */
#define LGR_CS                                   0x88 /* u64: GUEST_USER_CS */
#define LGR_RFLAGS                               0x90 /* u64: the user's flags */
#define LGR_RSP                                  0x98 /* u64: the user's stack */
#define LGR_SS                                   0xa0 /* u64: GUEST_USER_DS */
#define LGR_SIZE                                 0xa8

/* frame of hypercall IRET */
#define LGI_RAX                                  0x0 /* u64: restored to %rax */
#define LGI_R11                                  0x8 /* u64: restored to %r11 */
#define LGI_RCX                                  0x10 /* u64: restored to %rcx */
#define LGI_RIP                                  0x18 /* u64: where to go on */
#define LGI_CS                                   0x20 /* u64: GUEST_KERNEL_CS or GUEST_USER_CS: decides which */
#define LGI_RFLAGS                               0x28 /* u64: IF goes to irqEnabled; IOPL, NT, VM, RF are ignored */
#define LGI_RSP                                  0x30 /* u64: stack */
#define LGI_SS                                   0x38 /* u64: ignored; the selector that belongs to cs is used */
#define LGI_SIZE                                 0x40
