/*
 * Little ring-1 guests for the tests of the lguest module, one entry for each. They are linked at 3 GiB + 1 MiB and loaded at
 * 1 MiB; until NEW_PGTABLE they run 3 GiB below where they are linked. Results go to `results` (guest-physical 0x3000),
 * where the test reads them.
 */
#include "offsets.h"

#define PHYS(x) ((x) - 0xc0000000)
/* Pages of guest-physical memory that the guests use. */
#define DATA_PA         0x2000
#define RESULTS_PA      0x3000
#define PGD_PA          0x4000
#define TABLE_PA        0x5000  /* the first 4 MiB, at 0xC0000000 */
#define USER_TABLE_PA   0x6000  /* at 0x08000000 */
#define USER_STACK_PA   0x7000
#define PGD2_PA         0x8000
#define SCRATCH_PA      0x9000
#define PD0_PA          0xd000  /* PAE: the middle tables for 0 and for 3 GiB */
#define PD3_PA          0xe000
/* boot_params, of which the test uses one word to say that page tables have three levels. */
#define PAE             0x1000
#define STACK_TOP       0xc000b000
#define lguest_data     (0xc0000000 + DATA_PA)
#define results         (0xc0000000 + RESULTS_PA)
#define USER            0x08000000
#define USER_STACK_TOP  0x08002000
#define USER_SCRATCH    0x08005000

        .macro HCALL number, a=$0, b=$0, c=$0
        movl    \a, %ebx
        movl    \b, %ecx
        movl    \c, %edx
        movl    $\number, %eax
        int     $LGUEST_TRAP_ENTRY
        .endm

/* A gate: address in its two halves, which no relocation can express, so at run time. */
        .macro SET_GATE vector, handler, flags
        movl    $\handler, %ecx
        movl    %ecx, %edx
        andl    $0xffff, %ecx
        andl    $0xffff0000, %edx
        orl     $\flags, %edx
        movl    $\vector, %ebx
        movl    $LHCALL_LOAD_IDT_ENTRY, %eax
        int     $LGUEST_TRAP_ENTRY
        .endm
#define INTERRUPT_GATE  0x8e00
#define TRAP_GATE       0x8f00
#define DPL3            0x6000

        .macro POWER_OFF status
        HCALL   LHCALL_SHUTDOWN, $PHYS(message), $LGUEST_SHUTDOWN_POWEROFF, $\status
        .endm

        .text
/* lguest_data, page tables, stack: what every guest below begins with. Entered at the physical address. */
        .macro BOOT
        movl    $PHYS(1f), %ebp
        jmp     boot
1:      movl    $2f, %eax
        jmp     *%eax
2:      movl    $STACK_TOP, %esp
        .endm

boot:
        movl    $64, %ecx
        movl    $(DATA_PA + LGUEST_DATA_HCALL_STATUS), %edi
        movb    $0xff, %al
        rep stosb
        movl    $noirq_iret, DATA_PA + LGUEST_DATA_NOIRQ_IRET
        movl    $0xc0000000, DATA_PA + LGUEST_DATA_KERNEL_ADDRESS
        movl    $0x80, DATA_PA + LGUEST_DATA_SYSCALL_VEC
        HCALL   LHCALL_LGUEST_INIT, $DATA_PA
        cmpl    $0, PAE
        jne     2f
        /* 4 MiB at 0 (where we are) and at 3 GiB. */
        movl    $TABLE_PA, %edi
        movl    $0x3, %eax
        movl    $1024, %ecx
1:      stosl
        addl    $4096, %eax
        loop    1b
        movl    $(TABLE_PA + 3), PGD_PA
        movl    $(TABLE_PA + 3), PGD_PA + 0x300 * 4
        /* One page of text and one of stack for ring 3. */
        movl    $(USER_TABLE_PA + 7), PGD_PA + (USER >> 22) * 4
        movl    $(PHYS(user_text) + 5), USER_TABLE_PA
        movl    $(USER_STACK_PA + 7), USER_TABLE_PA + 4
        jmp     4f
        /* The same with three levels: 2 MiB. */
2:      movl    $TABLE_PA, %edi
        movl    $0x3, %eax
        movl    $512, %ecx
3:      movl    %eax, (%edi)
        addl    $8, %edi
        addl    $4096, %eax
        loop    3b
        movl    $(PD0_PA + 1), PGD_PA
        movl    $(PD3_PA + 1), PGD_PA + 3 * 8
        movl    $(TABLE_PA + 3), PD0_PA
        movl    $(TABLE_PA + 3), PD3_PA
        movl    $(USER_TABLE_PA + 7), PD0_PA + (USER >> 21) * 8
        movl    $(PHYS(user_text) + 5), USER_TABLE_PA
        movl    $(USER_STACK_PA + 7), USER_TABLE_PA + 8
4:      HCALL   LHCALL_NEW_PGTABLE, $PGD_PA
        HCALL   LHCALL_LOAD_GDT_ENTRY, $14, $0x0000ffff, $0x00cffa00
        HCALL   LHCALL_LOAD_GDT_ENTRY, $15, $0x0000ffff, $0x00cff200
        HCALL   LHCALL_SET_STACK, $LGUEST_KERNEL_DS, $STACK_TOP, $1
        jmp     *%ebp

        .macro TO_USER entry
        movl    $LGUEST_USER_DS, %eax
        movl    %eax, %ds
        movl    %eax, %es
        pushl   $LGUEST_USER_DS
        pushl   $USER_STACK_TOP
        pushl   $0x202
        pushl   $LGUEST_USER_CS
        pushl   $(USER + \entry - user_text)
        iret
        .endm

        .globl  power_off
power_off:
        BOOT
        POWER_OFF 42

/* A direct trap and an interrupt gate from ring 3; a page fault of ring 3 with its cr2 and error code. */
        .globl  user_mode
user_mode:
        BOOT
        SET_GATE 0x80, system_call, TRAP_GATE | DPL3
        SET_GATE 14, page_fault, INTERRUPT_GATE
        SET_GATE 3, breakpoint, INTERRUPT_GATE | DPL3
        movl    $0x200, lguest_data + LGUEST_DATA_IRQ_ENABLED
        TO_USER user_program
system_call:
        cmpl    $7, %eax
        je      1f
        incl    results
        movl    4(%esp), %ecx           /* cs */
        movl    %ecx, results + 4
        movl    lguest_data + LGUEST_DATA_IRQ_ENABLED, %ecx
        movl    %ecx, results + 8       /* a trap gate leaves it alone */
        movl    $1234, %eax
        iret
1:      POWER_OFF 7
page_fault:
        popl    results + 12            /* error code */
        movl    lguest_data + LGUEST_DATA_CR2, %eax
        movl    %eax, results + 16
        movl    lguest_data + LGUEST_DATA_IRQ_ENABLED, %eax
        movl    %eax, results + 20      /* an interrupt gate clears it */
        movl    8(%esp), %eax
        movl    %eax, results + 24      /* flags as they were: IF */
        cmpl    $0, 0xc0000000 + PAE
        je      1f
        movl    $(SCRATCH_PA + 7), (0xc0000000 + USER_TABLE_PA) + 5 * 8
        jmp     return
1:      movl    $(SCRATCH_PA + 7), (0xc0000000 + USER_TABLE_PA) + 5 * 4
        jmp     return
breakpoint:
        incl    results + 28
        movl    4(%esp), %eax
        movl    %eax, results + 32
return: pushl   8(%esp)
        popl    %ss:lguest_data + LGUEST_DATA_IRQ_ENABLED
        jmp     noirq_iret
/* The hypercall returns to the IRET: whatever interrupt it fetches finds the guest there. */
send_and_return:
        movl    $LHCALL_SEND_INTERRUPTS, %eax
        int     $LGUEST_TRAP_ENTRY
        .globl  noirq_iret
noirq_iret:
        iret

/* A clock event wakes a halted guest; another comes while it spins. */
        .globl  clock
clock:
        BOOT
        SET_GATE 32, tick, INTERRUPT_GATE
        movl    $0, lguest_data + LGUEST_DATA_BLOCKED_INTERRUPTS
        HCALL   LHCALL_SET_CLOCKEVENT, $5000000
        HCALL   LHCALL_HALT
        cmpl    $1, results
        jne     bad
        HCALL   LHCALL_SET_CLOCKEVENT, $1000000
        movl    $0x200, lguest_data + LGUEST_DATA_IRQ_ENABLED
1:      cmpl    $1, results
        je      1b
        /* With interrupts off it only becomes pending; SEND_INTERRUPTS fetches it. */
        movl    $0, lguest_data + LGUEST_DATA_IRQ_ENABLED
        HCALL   LHCALL_SET_CLOCKEVENT, $1000000
2:      testl   $0x200, lguest_data + LGUEST_DATA_IRQ_PENDING
        jz      2b
        cmpl    $2, results
        jne     bad
        movl    $0x200, lguest_data + LGUEST_DATA_IRQ_ENABLED
        HCALL   LHCALL_SEND_INTERRUPTS
        cmpl    $3, results
        jne     bad
        cmpl    $0, lguest_data + LGUEST_DATA_IRQ_PENDING
        jne     bad
        POWER_OFF 3
tick:   incl    results
        jmp     return
bad:    POWER_OFF 99

/* A blocked interrupt waits without being pending; one from the launcher wakes a halted guest past it. */
        .globl  blocked
blocked:
        BOOT
        SET_GATE 32, tick, INTERRUPT_GATE
        SET_GATE 37, device_interrupt, INTERRUPT_GATE
        movl    $0x200, lguest_data + LGUEST_DATA_IRQ_ENABLED
        movl    $1, lguest_data + LGUEST_DATA_BLOCKED_INTERRUPTS
        HCALL   LHCALL_SET_CLOCKEVENT, $1000
        HCALL   LHCALL_HALT
        cmpl    $1, results + 4
        jne     bad
        cmpl    $0, results
        jne     bad
        cmpl    $0, lguest_data + LGUEST_DATA_IRQ_PENDING
        jne     bad
        movl    $0, lguest_data + LGUEST_DATA_BLOCKED_INTERRUPTS
        HCALL   LHCALL_SEND_INTERRUPTS
        cmpl    $1, results
        jne     bad
        POWER_OFF 4
device_interrupt:
        incl    results + 4
        jmp     return

/* CR0.TS: the first use of the FPU is the guest's trap 7. */
        .globl  task_switched
task_switched:
        BOOT
        SET_GATE 7, not_available, INTERRUPT_GATE
        HCALL   LHCALL_TS, $1
        .byte   0xd9, 0xd0              /* fnop */
        POWER_OFF 11
not_available:
        incl    results
        addl    $2, (%esp)
        jmp     return

/* The asynchronous ring: three calls that are made in order before an ordinary one. */
        .globl  ring
ring:
        BOOT
        movl    $lguest_data + LGUEST_DATA_HCALLS, %edi
        movl    $LHCALL_LOAD_GDT_ENTRY, (%edi)
        movl    $20, 4(%edi)
        movl    $0x1000ffff, 8(%edi)
        movl    $0x00cf9200, 12(%edi)
        movl    $LHCALL_TS, 20(%edi)
        movl    $0, 24(%edi)
        movl    $LHCALL_LOAD_GDT_ENTRY, 40(%edi)
        movl    $21, 44(%edi)
        movl    $0x0000ffff, 48(%edi)
        movl    $0x00cf9200, 52(%edi)
        movl    $0, lguest_data + LGUEST_DATA_HCALL_STATUS      /* four bytes at once: the fourth is an empty call */
        movl    $LHCALL_FLUSH_ASYNC, 60(%edi)
        HCALL   LHCALL_FLUSH_ASYNC
        movl    lguest_data + LGUEST_DATA_HCALL_STATUS, %eax
        movl    %eax, results
        movl    $(21 * 8 + 1), %eax
        movl    %eax, %fs               /* faults if the ring was not run */
        lsl     %ax, %eax
        movl    %eax, results + 4
        POWER_OFF 5

/* What ring 1 must not get at: each attempt has to end in a fault that the guest sees. */
        .macro  TRY n, insn:vararg
        movl    $\n, %ebp
        movl    $9f, %edi
        \insn
        movl    $\n, results + 8        /* it went through */
        jmp     bad
9:
        .endm
        .globl  forbidden
forbidden:
        BOOT
        SET_GATE 13, skip, INTERRUPT_GATE
        SET_GATE 14, skip, INTERRUPT_GATE
        SET_GATE 11, skip, TRAP_GATE
        SET_GATE 6, skip_plain, TRAP_GATE
        TRY     1, cli
        TRY     2, hlt
        TRY     3, movl %cr0, %eax
        TRY     4, movl %eax, %cr3
        TRY     5, lidt results
        TRY     6, wrmsr
        TRY     7, movl 0xffc00000, %eax
        TRY     8, movl %eax, 0xffc02000
        TRY     9, movl %eax, 0xffc03000
        TRY     10, movb $0, 0xffbfffff
        TRY     11, ljmp $LGUEST_CS_SELECTOR, $0xffc00000
        TRY     12, int $0x20
        TRY     13, int $14
        TRY     14, sysenter
        TRY     15, ltr %ax
        movl    $LGUEST_DS_SELECTOR, %eax
        TRY     16, movl %eax, %ds
        TRY     17, movl %eax, %dr7
        TRY     18, lldt %ax
        TRY     19, invlpg results
        POWER_OFF 0
skip:   addl    $4, %esp
skip_plain:
        incl    results
        movl    %edi, (%esp)
        jmp     return

/*
 * Thread-local storage wraps around and so reaches the Switcher's pages: a ring-1 kernel may look, and may write the page
 * where its own registers will be saved, but what the host depends on is read-only.
 */
        .globl  thread_local
thread_local:
        BOOT
        SET_GATE 13, skip, INTERRUPT_GATE
        SET_GATE 14, skip, INTERRUPT_GATE
        movl    $0x0000ffff, results + 64
        movl    $0x00cff200, results + 68
        HCALL   LHCALL_LOAD_TLS, $(RESULTS_PA + 64)
        movl    $0x33, %eax
        movl    %eax, %fs
        movl    %fs:0xffc00000, %eax
        movl    %eax, results + 12
        movl    $0, %fs:0xffc02000
        TRY     1, movl %eax, %fs:0xffc00000
        TRY     2, movl %eax, %fs:0xffc01000
        TRY     3, movl %eax, %fs:0xffc03000
        TRY     4, movl %eax, %fs:0xffc03900
        TRY     5, movl %fs:0xffc04000, %eax
        TRY     6, movl %fs:0xfffff000, %eax
        movl    lguest_data + LGUEST_DATA_CR2, %eax
        movl    %eax, results + 16
        POWER_OFF 0

/* IN and OUT, and a device's register, go to the launcher. */
        .globl  devices
devices:
        BOOT
        movl    $0xcf8, %edx
        movl    $0x80000000, %eax
        outl    %eax, %dx
        inl     $0x55, %eax
        movl    %eax, results
        movl    $0xf0000013, (0xc0000000 + TABLE_PA) + 0x3ff * 4
        movl    $0x77, 0xc03ff010
        movl    0xc03ff020, %ecx
        movl    %ecx, results + 4
        POWER_OFF 6

/* A descriptor vanishes under a loaded register. */
        .globl  pull_segment
pull_segment:
        BOOT
        HCALL   LHCALL_LOAD_GDT_ENTRY, $20, $0x0000ffff, $0x00cf9200
        movl    $(20 * 8 + 1), %eax
        movl    %eax, %fs
        HCALL   LHCALL_LOAD_GDT_ENTRY, $20
        POWER_OFF 0

/* A processor that pushes on an unmapped stack: no direct trap, but a reflected one. */
        .globl  no_stack
no_stack:
        BOOT
        SET_GATE 3, breakpoint, INTERRUPT_GATE | DPL3
        movl    $0x40000000, %esp
        int3

        .globl  bad_hypercall
bad_hypercall:
        BOOT
        HCALL   11

        .globl  early_hypercall
early_hypercall:
        HCALL   LHCALL_HALT

        .globl  no_handler
no_handler:
        BOOT
        ud2

        .globl  wild_read
wild_read:
        BOOT
        movl    0x50000000, %eax

        .globl  spin
spin:   jmp     spin

/* Any hypercall with any arguments: the test writes them to the results page. */
        .globl  any_hypercall
any_hypercall:
        BOOT
        movl    results, %eax
        movl    results + 4, %ebx
        movl    results + 8, %ecx
        movl    results + 12, %edx
        movl    results + 16, %esi
        int     $LGUEST_TRAP_ENTRY
        POWER_OFF 1

/* Two directories with different pages at the same user address; PTEs change by announcement. */
        .globl  address_spaces
address_spaces:
        BOOT
        movl    $0x11, 0xc0000000 + USER_STACK_PA
        movl    $0x22, 0xc0000000 + SCRATCH_PA
        movl    USER + 0x1000, %eax
        movl    %eax, results
        movl    $(TABLE_PA + 3), (0xc0000000 + PGD2_PA) + 0x300 * 4
        HCALL   LHCALL_NEW_PGTABLE, $PGD2_PA
        HCALL   LHCALL_NEW_PGTABLE, $PGD_PA
        movl    $(SCRATCH_PA + 7), 0xc0000000 + USER_TABLE_PA + 4
        HCALL   LHCALL_SET_PTE, $PGD_PA, $(USER + 0x1000), $(SCRATCH_PA + 7)
        movl    USER + 0x1000, %eax
        movl    %eax, results + 4
        movl    0xc0000000 + USER_TABLE_PA + 4, %eax
        movl    %eax, results + 8       /* A, but not D */
        movl    $0x33, USER + 0x1000
        movl    0xc0000000 + USER_TABLE_PA + 4, %eax
        movl    %eax, results + 12      /* and D */
        movl    0xc0000000 + SCRATCH_PA, %eax
        movl    %eax, results + 16
        POWER_OFF 8

/* The test writes a fragment of code at guest-physical 0x200000 - 4096; it runs at ring 1, or at ring 3. */
#define FRAGMENT_PA     0x1ff000
        .globl  fragment_kernel
fragment_kernel:
        BOOT
        SET_GATE 14, fragment_end, INTERRUPT_GATE
        movl    $0x200, lguest_data + LGUEST_DATA_IRQ_ENABLED
        jmp     0xc0000000 + FRAGMENT_PA
        .globl  fragment_user
fragment_user:
        BOOT
        SET_GATE 14, fragment_end, INTERRUPT_GATE
        SET_GATE 13, fragment_end, INTERRUPT_GATE
        SET_GATE 6, fragment_end, INTERRUPT_GATE
        SET_GATE 0x80, fragment_end, TRAP_GATE | DPL3
        movl    $(FRAGMENT_PA + 5), 0xc0000000 + USER_TABLE_PA
        TO_USER user_text
fragment_end:
        POWER_OFF 1

/* EFLAGS that a guest may not have: it asks for all but NT and TF, by POPF and in a frame that an interrupt takes over. */
        .globl  wild_flags
wild_flags:
        BOOT
        SET_GATE 32, wild_tick, TRAP_GATE
        pushl   $0x3fbeff
        popfl
        pushfl
        popl    results
        movl    $0, lguest_data + LGUEST_DATA_IRQ_ENABLED
        HCALL   LHCALL_SET_CLOCKEVENT, $1000
1:      testl   $0x200, lguest_data + LGUEST_DATA_IRQ_PENDING
        jz      1b
        movl    $0x200, lguest_data + LGUEST_DATA_IRQ_ENABLED
        pushl   $0x3ffeff
        pushl   $LGUEST_KERNEL_CS
        pushl   $2f
        movl    %esp, results + 4
        jmp     send_and_return
2:      POWER_OFF 9
wild_tick:
        movl    %esp, results + 16
        pushfl
        popl    results + 8
        movl    8(%esp), %eax
        movl    %eax, results + 12
        movl    $0x202, 8(%esp)
        iret

/* ---------------------------------------------------------------------------------------------------------- attacks */
/* The code segment, or the stack segment alone, vanishes: the Switcher's own IRET faults. */
        .globl  pull_code
pull_code:
        BOOT
        HCALL   LHCALL_LOAD_GDT_ENTRY, $12
        POWER_OFF 0
        .globl  pull_stack
pull_stack:
        BOOT
        movl    $LGUEST_USER_DS, %eax
        movl    %eax, %ds
        movl    %eax, %es
        HCALL   LHCALL_LOAD_GDT_ENTRY, $13
        POWER_OFF 0

/* The kernel's code segment as the test wants it (low, high word in `results`), then traps on every way. */
        .globl  odd_kernel_code
odd_kernel_code:
        BOOT
        SET_GATE 0x80, odd_end, TRAP_GATE | DPL3
        SET_GATE 3, odd_end, TRAP_GATE | DPL3
        SET_GATE 10, odd_end, TRAP_GATE
        SET_GATE 11, odd_end, TRAP_GATE
        SET_GATE 12, odd_end, TRAP_GATE
        SET_GATE 13, odd_end, INTERRUPT_GATE
        SET_GATE 6, odd_end, INTERRUPT_GATE
        movl    $0x200, lguest_data + LGUEST_DATA_IRQ_ENABLED
        movl    results, %ecx
        movl    results + 4, %edx
        HCALL   LHCALL_LOAD_GDT_ENTRY, $12, %ecx, %edx
        TO_USER odd_process
odd_end:
        POWER_OFF 5

/* IRET with NT set: back to a task that is none. %esi: 0 in the kernel, 1 in a process. */
        .globl  nested_task
nested_task:
        BOOT
        SET_GATE 10, skip, INTERRUPT_GATE
        movl    $1f, %edi
        pushl   $0x4002
        popfl
        iret
1:      pushl   $2
        popfl
        SET_GATE 10, odd_end, INTERRUPT_GATE
        TO_USER nested_process

/*
 * Round and round through the doors: a reflected system call, a direct breakpoint, an interrupt gate, hypercalls in the
 * handlers. The process checks its registers.
 */
        .globl  doors
doors:
        BOOT
        SET_GATE 0x80, doors_call, INTERRUPT_GATE | DPL3
        SET_GATE 3, doors_breakpoint, TRAP_GATE | DPL3
        SET_GATE 6, odd_end, INTERRUPT_GATE
        SET_GATE 32, tick, INTERRUPT_GATE
        movl    $0x200, lguest_data + LGUEST_DATA_IRQ_ENABLED
        TO_USER doors_process
doors_call:
        pushl   %eax
        pushl   %ebx
        pushl   %ecx
        pushl   %edx
        HCALL   LHCALL_TS, $0
        popl    %edx
        popl    %ecx
        popl    %ebx
        popl    %eax
        incl    %eax
        jmp     return
doors_breakpoint:
        incl    %eax
        iret

/* ------------------------------------------------------------------------------------------- other designs than lguest's */
/*
 * Without segment limits: all that a ring-1 kernel can do to the Switcher's pages. Reading is possible; the text and the
 * second page cannot be written; the registers' page can, and is filled with rubbish before each way into the host.
 */
#define SWITCHER_TEXT   0xffc00000
#define REGS_PAGE       0xffc02000
#define STATE_PAGE      0xffc03000
        .macro  RUBBISH
        pushal
        movl    $0xdeadbee1, %eax
        movl    $REGS_PAGE, %edi
        movl    $1024, %ecx
        cld
        rep stosl
        popal
        .endm
        .globl  over_pages
over_pages:
        BOOT
        SET_GATE 13, skip, INTERRUPT_GATE
        SET_GATE 14, skip, INTERRUPT_GATE
        SET_GATE 6, over_trap, INTERRUPT_GATE
        SET_GATE 3, over_trap, TRAP_GATE | DPL3
        SET_GATE 32, tick, INTERRUPT_GATE
        movl    $LGUEST_KERNEL_DS, %eax
        lsl     %ax, %eax
        movl    %eax, results + 12
        movl    SWITCHER_TEXT, %eax
        movl    %eax, results + 16
        movl    STATE_PAGE, %eax        /* the host's CR3 */
        movl    %eax, results + 20
        TRY     1, movl %eax, SWITCHER_TEXT
        TRY     2, movl %eax, SWITCHER_TEXT + 0x1000
        TRY     3, movl %eax, STATE_PAGE
        TRY     4, movl %eax, STATE_PAGE + 4
        TRY     5, movl %eax, STATE_PAGE + 0x40
        TRY     6, movl %eax, STATE_PAGE + 0x100
        TRY     7, movl %eax, STATE_PAGE + 0x900
        TRY     8, lock incl STATE_PAGE + 0x9fc
        TRY     9, movl %eax, STATE_PAGE + 0xffc
        TRY     10, movl 0xff000000, %eax
        TRY     11, movl 0xffc04000, %eax
        TRY     12, movl 0xfffffffc, %eax
        movl    results, %eax
        movl    %eax, results + 24
        movl    $0, results

        /* By a hypercall: every register comes back but %eax. */
        movl    $0x01010101, %edi
        movl    $0x02020202, %ebp
        RUBBISH
        HCALL   LHCALL_TS, $0, $0x03030303, $0x04040404
        testl   %eax, %eax
        jnz     bad
        cmpl    $0x03030303, %ecx
        jne     bad
        cmpl    $0x04040404, %edx
        jne     bad
        cmpl    $0x01010101, %edi
        jne     bad
        cmpl    $0x02020202, %ebp
        jne     bad
        /* By a trap that is reflected, by one that goes straight. */
        RUBBISH
        ud2
        RUBBISH
        int3
        cmpl    $0x01010101, %edi
        jne     bad
        cmpl    $2, results + 28
        jne     bad
        /* By interrupts of the host's, which come when they like, and a virtual one. */
        movl    $0, lguest_data + LGUEST_DATA_BLOCKED_INTERRUPTS
        movl    $0x200, lguest_data + LGUEST_DATA_IRQ_ENABLED
        HCALL   LHCALL_SET_CLOCKEVENT, $12000000
        movl    $0x04040404, %edx
1:      RUBBISH
        cmpl    $0x04040404, %edx
        jne     bad
        cmpl    $1, results
        jne     1b
        POWER_OFF 21
over_trap:
        RUBBISH
        incl    results + 28
        /* UD2 has two bytes to be passed over, INT3 none. */
        cmpl    $2, results + 28
        je      1f
        addl    $2, (%esp)
1:      RUBBISH
        jmp     return

/* The test names an address of the host's (results + 32) and a word for it (results + 36): read it, then write it. */
        .globl  touch_host
touch_host:
        BOOT
        SET_GATE 13, touch_fault, INTERRUPT_GATE
        SET_GATE 14, touch_fault, INTERRUPT_GATE
        movl    results + 32, %esi
        movl    results + 36, %ecx
        movl    $1f, %edi
        movl    (%esi), %eax
        movl    %eax, results
1:      movl    $2f, %edi
        movl    %ecx, (%esi)
2:      POWER_OFF 22
touch_fault:
        addl    $4, %esp
        incl    results + 4
        movl    %edi, (%esp)
        jmp     return

/*
 * Ring 0 in two stores, where the second page can be written: a gate of the processor's IDT that leads to our code with the
 * Switcher's selector.
 */
        .globl  take_ring0
take_ring0:
        BOOT
        movl    $0, results             /* no page fault at ring 0, please */
        SET_GATE 13, touch_fault, INTERRUPT_GATE
        SET_GATE 14, touch_fault, INTERRUPT_GATE
        movl    $ring0, %eax
        movl    %eax, %edx
        andl    $0xffff, %eax
        orl     $(LGUEST_CS_SELECTOR << 16), %eax
        andl    $0xffff0000, %edx
        orl     $(INTERRUPT_GATE | DPL3), %edx
        movl    $1f, %edi
        movl    %eax, STATE_PAGE + 0x100 + 30 * 8
1:      movl    $2f, %edi
        movl    %edx, STATE_PAGE + 0x100 + 30 * 8 + 4
2:      movl    $3f, %edi
        int     $30
3:      POWER_OFF 23
ring0:  movl    %cs, %eax
        movl    %eax, %ss:results
        movl    %cr3, %eax
        movl    %eax, %ss:results + 8
        iret

/* The stack for direct traps is where the test says (results + 32), with no page of it to be kept mapped. */
        .globl  stack_anywhere
stack_anywhere:
        BOOT
        SET_GATE 0x80, stack_call, TRAP_GATE | DPL3
        SET_GATE 3, stack_call, INTERRUPT_GATE | DPL3
        movl    results + 32, %ecx
        HCALL   LHCALL_SET_STACK, $LGUEST_KERNEL_DS, %ecx
        TO_USER odd_process
stack_call:
        movl    %esp, results
        HCALL   LHCALL_TS, $0
        POWER_OFF 29

/* A segment of thread-local storage that covers everything, in a design in which there must be no such thing. */
        .globl  wide_tls
wide_tls:
        BOOT
        SET_GATE 13, skip, INTERRUPT_GATE
        SET_GATE 14, skip, INTERRUPT_GATE
        movl    $0x1000ffff, results + 64       /* base 0xc0001000 */
        movl    $0xc0cff200, results + 68
        movl    $0x0000ffff, results + 72       /* base 0 */
        movl    $0x00cff200, results + 76
        HCALL   LHCALL_LOAD_TLS, $(RESULTS_PA + 64)
        movl    $0x3b, %eax
        lsl     %ax, %ecx
        movl    %ecx, results + 12
        movl    %eax, %fs
        TRY     1, movl %fs:0xff000000, %eax
        TRY     2, movl %eax, %fs:0xffc03100
        movl    $0x33, %eax
        movl    %eax, %fs
        TRY     3, movl %fs:-4, %eax
        TRY     4, movl %fs:0x3f000000, %eax    /* 0xff001000 */
        movl    %fs:0x1ffc, %eax                /* 0xc0002ffc: within */
        POWER_OFF 24

/* ---- The call page ---- */
#define CALLED(function) LGUEST_CALL_PAGE + LGUEST_CALL_##function * LGUEST_CALL_STRIDE
        .globl  call_page
call_page:
        BOOT
        SET_GATE 13, skip, INTERRUPT_GATE
        SET_GATE 14, skip, INTERRUPT_GATE
        movl    $LHCALL_LOAD_GDT_ENTRY, %eax
        movl    $21, %ebx
        movl    $0x0000ffff, %ecx
        movl    $0x00cf9200, %edx
        movl    $1f, %edi
        call    CALLED(HYPERCALL)
        jmp     2f
1:      POWER_OFF 98
2:
        movl    %eax, results + 12
        movl    $(21 * 8 + 1), %eax
        movl    %eax, %fs               /* faults if the call did not go through */
        TRY     1, movb $0x90, LGUEST_CALL_PAGE
        TRY     2, movl %eax, LGUEST_CALL_PAGE + 0x2000
        TRY     3, movl 0xff800000, %eax
        movl    lguest_data + LGUEST_DATA_RESERVE_MEM, %eax
        movl    %eax, results + 16
        /* A process may not call it. */
        SET_GATE 14, called_by_process, INTERRUPT_GATE
        TO_USER calling_process
called_by_process:
        movl    lguest_data + LGUEST_DATA_CR2, %eax
        movl    %eax, results + 20
        POWER_OFF 25

/* The interrupt flag, by the ROM or by hypercalls (`rom_clock`, `asked_clock`): what `clock` does with its word. */
        .macro  FLAG_CLOCK name, status
        .globl  \name\()_clock
\name\()_clock:
        BOOT
        SET_GATE 32, \name\()_tick, INTERRUPT_GATE
        movl    $0, lguest_data + LGUEST_DATA_BLOCKED_INTERRUPTS
        call    \name\()_on
        HCALL   LHCALL_SET_CLOCKEVENT, $1000
1:      cmpl    $1, results
        jne     1b
        call    \name\()_off
        HCALL   LHCALL_SET_CLOCKEVENT, $1000
        movl    $2000, %ecx
2:      loop    2b
        cmpl    $1, results
        jne     bad
        call    \name\()_flags
        movl    %eax, results + 4
        movl    $0x05050505, %ebx
        call    \name\()_on           /* fetches it */
        cmpl    $2, results
        jne     bad
        cmpl    $0x05050505, %ebx
        jne     bad
        call    \name\()_flags
        movl    %eax, results + 8
        call    \name\()_off
        HCALL   LHCALL_SET_CLOCKEVENT, $1000
        movl    $2000, %ecx
3:      loop    3b
        /* IRET to here with the flag set: the interrupt that waits is not lost, and the frame is where it was. */
        movl    %esp, %esi
        pushl   $0x202
        pushl   $LGUEST_KERNEL_CS
        pushl   $4f
        jmp     \name\()_iret
4:      cmpl    %esp, %esi
        jne     bad
        call    \name\()_flags
        movl    %eax, results + 12
        movl    $2000, %ecx
5:      loop    5b
        call    \name\()_on
        cmpl    $3, results
        jne     bad
        HCALL   LHCALL_SET_CLOCKEVENT, $1000
        call    \name\()_off
        HCALL   LHCALL_HALT             /* turns them on */
        cmpl    $4, results
        jne     bad
        POWER_OFF \status
\name\()_tick:
        incl    results
        pushl   %eax
        movl    12(%esp), %eax
        movl    %eax, results + 16
        call    \name\()_flags        /* off, by the gate */
        movl    %eax, results + 20
        popl    %eax
        jmp     \name\()_iret
        .endm
rom_on: jmp     CALLED(IRQ_ENABLE)
rom_off:
        jmp     CALLED(IRQ_DISABLE)
rom_flags:
        jmp     CALLED(SAVE_FLAGS)
rom_iret:
        jmp     CALLED(IRET)
        FLAG_CLOCK rom, 26
asked_on:
        movl    $LHCALL_IRQ_ENABLE, %eax
        int     $LGUEST_TRAP_ENTRY
        ret
asked_off:
        movl    $LHCALL_IRQ_DISABLE, %eax
        int     $LGUEST_TRAP_ENTRY
        ret
asked_flags:
        movl    $LHCALL_IRQ_FLAGS, %eax
        int     $LGUEST_TRAP_ENTRY
        ret
asked_iret:
        pushl   %ebx
        pushl   %eax
        movl    %esp, %ebx
        movl    $LHCALL_IRET, %eax
        int     $LGUEST_TRAP_ENTRY
        ud2
        FLAG_CLOCK asked, 27

/* Hypercall IRET with whatever frame the test has put at results + 64. */
        .globl  iret_anywhere
iret_anywhere:
        BOOT
        SET_GATE 14, odd_end, INTERRUPT_GATE
        SET_GATE 13, odd_end, INTERRUPT_GATE
        SET_GATE 6, odd_end, INTERRUPT_GATE
        SET_GATE 1, odd_end, INTERRUPT_GATE
        HCALL   LHCALL_IRET, $(results + 64)
        ud2
        .globl  iret_target
iret_target:
        POWER_OFF 28

        .balign 4
message:
        .asciz  "done"

        .balign 4096
user_text:
user_program:
        xorl    %eax, %eax
        int     $0x80
        movl    %eax, %esi
        movl    $0x5a, USER_SCRATCH     /* a page fault */
        cmpl    $0x5a, USER_SCRATCH
        jne     2f
        int3
        cmpl    $1234, %esi
        jne     2f
        movl    $7, %eax
        int     $0x80
2:      ud2
odd_process:
        int     $0x80
        int3
        ud2
nested_process:
        pushl   $0x4002
        popfl
        iret
        ud2
calling_process:
        movl    $LHCALL_HALT, %eax
        movl    $(LGUEST_CALL_PAGE), %ecx
        call    *%ecx
        ud2
doors_process:
        movl    $LGUEST_USER_DS, %eax
        movl    %eax, %fs
        movl    $0x0b0b0b0b, %ebx
        movl    $0x0c0c0c0c, %ecx
        movl    $0x0d0d0d0d, %edx
        movl    $0x50505050, %esi
        movl    $0x60606060, %edi
        movl    $0x70707070, %ebp
1:      movl    $5, %eax
doors_here:
        int     $0x80
        int3
        cmpl    $7, %eax
        jne     3f
        leal    (%ebx, %ecx), %eax
        addl    %edx, %eax
        addl    %esi, %eax
        addl    %edi, %eax
        addl    %ebp, %eax
        cmpl    $(0x0b0b0b0b + 0x0c0c0c0c + 0x0d0d0d0d + 0x50505050 + 0x60606060 + 0x70707070 - 0x100000000), %eax
        jne     3f
        cmpl    $USER_STACK_TOP, %esp
        jne     3f
        movl    %fs, %eax
        cmpl    $LGUEST_USER_DS, %eax
        jne     3f
        movl    %gs, %eax
        testl   %eax, %eax
        jne     3f
        incl    USER_STACK_TOP - 4096
        jmp     1b
3:      ud2
        .globl  doors_here, user_text
        .balign 4096
