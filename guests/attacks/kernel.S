/*
 * The kernel under the attacks (attack.h). It adapts to the design that boot_params names as every guest must: by the
 * door for hypercalls, by selectors, by where the interrupt flag is, by what a page-table entry holds.
 */
#define BP_SUBARCH_DATA 0x240
#define CALL_PAGE       (0xffff000000000000 + (LGUEST_HOST_PML4_SLOT << 39) + LGUEST_CALL_PAGE_OFFSET)
#define FUNCTION(n)     (CALL_PAGE + (n) * LGUEST_CALL_STRIDE)
#define ROM_DATA        (CALL_PAGE + 0x1000)

/* %rbp: where to go on, in the linear view; it is reached at its high address. %rsi: boot_params. */
boot:
        movl    $(USER_DATA_PA + 0x1000), %esp
        movq    BP_SUBARCH_DATA(%rsi), %rbx
        movl    %ebx, %eax
        andl    $LGUEST_DESIGN_FIELD_MASK, %eax
        movl    %eax, door(%rip)
        movl    %ebx, %eax
        shrl    $LGUEST_DESIGN_FLAG_SHIFT, %eax
        andl    $LGUEST_DESIGN_FIELD_MASK, %eax
        movl    %eax, flag(%rip)
        movl    $GUEST_USER_CS, user_cs(%rip)
        testl   $LGUEST_DESIGN_NATIVE_SELECTORS, %ebx
        jz      1f
        movl    $NATIVE_USER_CS, user_cs(%rip)
1:      testl   $LGUEST_DESIGN_MACHINE_FRAMES, %ebx
        jz      2f
        movq    %rbx, %rax
        shrq    $32, %rax
        shlq    $12, %rax
        movq    %rax, frame_offset(%rip)

        /* The page tables. */
2:      movq    frame_offset(%rip), %r8
        leaq    KERNEL_FLAGS(%r8), %rax
        xorl    %ecx, %ecx
3:      movq    %rax, PT_HIGH_PA(, %rcx, 8)
        movq    %rax, PT_LOW_PA(, %rcx, 8)
        addq    $4096, %rax
        incl    %ecx
        cmpl    $512, %ecx
        jb      3b
        /*
         * Read-only for the process: at its own address, and at ours, where we are while we change over to these tables. So
         * is our first stack.
         */
        leaq    IMAGE_PA + 0x65(%r8), %rax
        xorl    %ecx, %ecx
4:      movq    %rax, PT_USER_PA(, %rcx, 8)
        movq    %rax, PT_LOW_PA + 8 * (IMAGE_PA >> 12)(, %rcx, 8)
        addq    $4096, %rax
        incl    %ecx
        cmpl    $((image_end - image_start + 4095) / 4096), %ecx
        jb      4b
        .macro  BOOT_ENTRY table, index, pa, flags
        leaq    (\pa) + \flags(%r8), %rax
        movq    %rax, \table + 8 * (\index)
        .endm
        BOOT_ENTRY PT_LOW_PA, (USER_DATA_PA >> 12), USER_DATA_PA, USER_FLAGS
        BOOT_ENTRY PT_USER_PA, 0x1f0, REPORTS_PA, USER_FLAGS
        BOOT_ENTRY PT_USER_PA, 0x1f1, PARAMS_PA, 0x65
        BOOT_ENTRY PT_USER_PA, 0x1f2, USER_DATA_PA, USER_FLAGS
        BOOT_ENTRY PT_USER_PA, 0x1f3, USER_STACK_PA, USER_FLAGS
        BOOT_ENTRY PML4_PA, 511, PDPT_HIGH_PA, KERNEL_FLAGS
        BOOT_ENTRY PDPT_HIGH_PA, 510, PD_HIGH_PA, KERNEL_FLAGS
        BOOT_ENTRY PD_HIGH_PA, 0, PT_HIGH_PA, KERNEL_FLAGS
        BOOT_ENTRY PML4_PA, 0, PDPT_LOW_PA, USER_FLAGS
        BOOT_ENTRY PDPT_LOW_PA, 0, PD_LOW_PA, USER_FLAGS
        BOOT_ENTRY PD_LOW_PA, 0, PT_LOW_PA, USER_FLAGS
        BOOT_ENTRY PD_LOW_PA, 2, PT_USER_PA, USER_FLAGS
        movl    $SHARED_PA, %edi
        movl    $LHCALL_LGUEST_INIT, %eax
        xorl    %edx, %edx
        call    early_hypercall
        movl    $PML4_PA, %edi
        movl    $LHCALL_NEW_PGTABLE, %eax
        movl    $1, %edx
        call    early_hypercall
        movq    $high, %rax
        jmp     *%rax

/* By the door, with SYSCALL's flag in %edx, as long as this is the linear view. */
early_hypercall:
        cmpl    $LGUEST_HYPERCALL_INTERRUPT, door(%rip)
        je      1f
        ja      2f
        movl    %edx, SHARED_PA + LGS_HYPERCALL_FLAG
        syscall
        ret
1:      int     $LGUEST_HYPERCALL_VECTOR
        ret
2:      jmp     *call_page(%rip)        /* with our caller's return address, as if we had called */

high:
        movq    $VIRT(STACK_PA + 0x1000), %rsp
        HCALL   LHCALL_SET_BASE, $LGUEST_BASE_GS_KERNEL, $VIRT(SHARED_PA)
        HCALL   LHCALL_SET_STACK, $VIRT(EVENT_STACK_PA + 0x1000)
        HCALL   LHCALL_SET_SYSCALL, $system_call
        xorl    %r12d, %r12d
2:      btl     %r12d, not_ours(%rip)
        jc      3f
        movl    %r12d, %ecx
        shll    $4, %ecx
        leaq    stubs(%rcx), %r13
        xorl    %ebx, %ebx
        btl     %r12d, for_all(%rip)
        jnc     4f
        movl    $3, %ebx
4:      HCALL   LHCALL_LOAD_IDT_ENTRY, %r12, %r13, %rbx
3:      incl    %r12d
        cmpl    $32, %r12d
        jb      2b
        HCALL   LHCALL_LOAD_IDT_ENTRY, $LGUEST_FIRST_EXTERNAL_VECTOR, $tick
        HCALL   LHCALL_LOAD_IDT_ENTRY, $(LGUEST_FIRST_EXTERNAL_VECTOR + LGUEST_IRQ_IPI), $ipi
        HCALL   LHCALL_LOAD_IDT_ENTRY, $128, $int80, $3
        movq    $KERNEL_OFFSET, %rax
        addq    %rax, %rbp
        jmp     *%rbp
        .balign 4
/* The host's: NMI, double fault, machine check. */
not_ours:
        .long   1 << 2 | 1 << 8 | 1 << 18

/* Breakpoint and overflow. */
for_all:
        .long   1 << 3 | 1 << 4

/* Registers as of any hypercall. Whose shared page has the flag is told by the stack. */
hypercall:
        cmpl    $LGUEST_HYPERCALL_INTERRUPT, door(%rip)
        je      2f
        ja      3f
        testl   $0x10000, %esp
        jnz     1f
        movl    $1, VIRT(SHARED_PA) + LGS_HYPERCALL_FLAG
        syscall
        ret
1:      movl    $1, VIRT(SHARED_PA) + 0x1000 + LGS_HYPERCALL_FLAG
        syscall
        ret
2:      int     $LGUEST_HYPERCALL_VECTOR
        ret
3:      jmp     *call_page(%rip)

/* Hypercall IRET: its frame is at %rsp, or (a call) above the return address. */
go_back:
        movl    $LHCALL_IRET, %eax
        cmpl    $LGUEST_HYPERCALL_CALL_PAGE, door(%rip)
        je      4f
        cmpl    $LGUEST_HYPERCALL_INTERRUPT, door(%rip)
        je      3f
        testl   $0x10000, %esp
        jnz     2f
        movl    $1, VIRT(SHARED_PA) + LGS_HYPERCALL_FLAG
        syscall
        ud2
2:      movl    $1, VIRT(SHARED_PA) + 0x1000 + LGS_HYPERCALL_FLAG
        syscall
        ud2
3:      int     $LGUEST_HYPERCALL_VECTOR
        ud2
4:      call    *call_page(%rip)
        ud2

/* Virtual interrupts on, off. */
irq_on: cmpl    $LGUEST_FLAG_HYPERCALL, flag(%rip)
        je      2f
        cmpl    $LGUEST_FLAG_PVI, flag(%rip)
        je      3f
        ja      4f
        testl   $0x10000, %esp
        jnz     1f
        movl    $0x200, VIRT(SHARED_PA) + LGS_IRQ_ENABLED
        jmp     5f
1:      movl    $0x200, VIRT(SHARED_PA) + 0x1000 + LGS_IRQ_ENABLED
5:      HCALL   LHCALL_SEND_INTERRUPTS
        ret
2:      HCALL   LHCALL_IRQ_ENABLE
        ret
3:      sti
        ret
4:      jmp     *rom_irq_enable(%rip)

irq_off:
        cmpl    $LGUEST_FLAG_HYPERCALL, flag(%rip)
        je      2f
        cmpl    $LGUEST_FLAG_PVI, flag(%rip)
        je      3f
        ja      4f
        testl   $0x10000, %esp
        jnz     1f
        movl    $0, VIRT(SHARED_PA) + LGS_IRQ_ENABLED
        ret
1:      movl    $0, VIRT(SHARED_PA) + 0x1000 + LGS_IRQ_ENABLED
        ret
2:      HCALL   LHCALL_IRQ_DISABLE
        ret
3:      cli
        ret
4:      jmp     *rom_irq_disable(%rip)

/* Goes to the process at %rbx, with interrupts on. */
to_user:
        pushq   $0
        pushq   $USER_STACK_TOP
        pushq   $0x202
        movl    user_cs(%rip), %eax
        pushq   %rax
        pushq   %rbx
        pushq   $0
        pushq   $0
        pushq   $0
        jmp     go_back

/* Entry %rsi of the table at guest-physical %rdi becomes %rdx, by a store. */
set_entry:
        movq    $KERNEL_OFFSET, %rax
        addq    %rdi, %rax
        movq    %rdx, (%rax, %rsi, 8)
        ret

/* Starts virtual CPU 1 at %rbx, on a stack of its own. */
second_vcpu:
        movl    $1, %edi
        movl    $(SHARED_PA + 0x1000), %esi
        movq    $second_entry, %rdx
        movq    $VIRT(STACK_PA + 0x11000), %r10
        movq    %rbx, second_at(%rip)
        movl    $LHCALL_VCPU_UP, %eax
        jmp     hypercall
second_entry:
        HCALL   LHCALL_SET_BASE, $LGUEST_BASE_GS_KERNEL, $VIRT(SHARED_PA + 0x1000)
        HCALL   LHCALL_SET_STACK, $VIRT(EVENT_STACK_PA + 0x11000)
        jmp     *second_at(%rip)

/* ----------------------------------------------------------------------------------------------------------- events */
        .balign 16
stubs:  EXCEPTION_STUBS exception

/* Goes on at %r15 with the stack in %r14, kernel or process; with neither that is the guest's end. */
        .balign 16
exception:
        popq    %r12
        addq    $8, %rsp
        testq   %r15, %r15
        jz      2f
        movl    8(%rsp), %eax
        cmpl    user_cs(%rip), %eax
        je      1f
        movq    %r14, %rsp
        pushq   $2                      /* DF, AC, TF */
        popfq
        jmp     *%r15
1:      movq    %r15, (%rsp)
        movq    $0x202, 16(%rsp)
        movq    %r14, 24(%rsp)
        pushq   %rcx
        pushq   %r11
        pushq   %rax
        jmp     go_back
2:      leaq    200(%r12), %rdx
        END     %rdx

/* 60: exit. Anything else is a function of the attack's, `service`, with the process's registers but %rcx and %r11. */
        .balign 16
system_call:
        cmpq    $60, %rax
        je      3f
        movq    service(%rip), %rcx
        testq   %rcx, %rcx
        jz      1f
        call    *%rcx
        jmp     2f
1:      movq    $-38, %rax              /* ENOSYS */
2:      leaq    LGR_RIP - LGI_RIP(%rsp), %rsp
        movq    %rax, LGI_RAX(%rsp)
        jmp     go_back
3:      movq    %rdi, %rdx
        END     %rdx

tick:   incq    ticks(%rip)
        jmp     1f
ipi:    testl   $0x10000, %esp
        jnz     2f
        incq    ipis(%rip)
        jmp     1f
2:      incq    ipis + 8(%rip)
        pushq   %rax
        movq    on_ipi(%rip), %rax
        testq   %rax, %rax
        jz      3f
        pushq   %rcx
        pushq   %r11
        pushq   %rdi
        pushq   %rsi
        pushq   %rdx
        pushq   %r10
        call    *%rax
        popq    %r10
        popq    %rdx
        popq    %rsi
        popq    %rdi
        popq    %r11
        popq    %rcx
3:      popq    %rax
        jmp     1f
int80:  incq    int80s(%rip)
1:      pushq   %rcx
        pushq   %r11
        pushq   %rax
        jmp     go_back

        .balign 8
door:   .long   0
flag:   .long   0
user_cs:
        .long   0, 0
/* Host-physical address of guest-physical 0 where entries hold machine frames, else 0. */
frame_offset:
        .quad   0
service:
        .quad   0
on_ipi: .quad   0
second_at:
        .quad   0
ticks:  .quad   0
ipis:   .quad   0, 0
int80s: .quad   0
call_page:
        .quad   FUNCTION(LGUEST_CALL_HYPERCALL)
rom_irq_enable:
        .quad   FUNCTION(LGUEST_CALL_IRQ_ENABLE)
rom_irq_disable:
        .quad   FUNCTION(LGUEST_CALL_IRQ_DISABLE)
message:
        .asciz  "done"
        .balign 16
