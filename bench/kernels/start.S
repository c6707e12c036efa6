/*
 * Start of the benchmark image: flat at 1 MiB, entered in the native machine's boot state (docs/native-machine.md) or,
 * the i386 one, by a Multiboot loader. It runs the kernel whose number was written into the image, between two marks on
 * the serial port, prints the checksum and ends.
 */
#define COM1 0x3f8
#define POWER_OFF 0x604
#define POWER_OFF_VALUE 0x2000

        .section .head, "ax"
        .globl _start
        /* Multiboot 1, header 3.1.1: magic, flags (bit 16: addresses follow), checksum, five addresses. */
multiboot:
        .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
        .long multiboot, multiboot, _file_end, _bss_end, _start
        /* Offsets 0x20 and 0x24, for whoever loads the image: which kernel, how often. */
        .globl selected, repeats
selected: .long 0
repeats:  .long 1

_start: cli
        cld
#ifdef __x86_64__
        movl $stack_top, %esp
        xorl %ebp, %ebp
        call machine_setup
        movl $'B', %edi
        call serial
        movl selected, %eax
        movl repeats, %edi
        call *kernels(, %rax, 8)
        movl %eax, %ebx
        movl $'E', %edi
        call serial
        movl %ebx, %edi
        call finish
#else
        movl $stack_top, %esp
        xorl %ebp, %ebp
        call machine_setup
        pushl $'B'
        call serial
        movl selected, %eax
        pushl repeats
        call *kernels(, %eax, 4)
        movl %eax, %ebx
        pushl $'E'
        call serial
        pushl %ebx
        call finish
#endif
        movw $POWER_OFF, %dx
        movw $POWER_OFF_VALUE, %ax
        outw %ax, %dx
1:      cli
        hlt
        jmp 1b

/* ---------------------------------------------------------------- a loop of two instructions: the dispatcher alone */
        .text
        .globl bare_loop
bare_loop:
#ifdef __x86_64__
        movl %edi, %ecx
#else
        movl 4(%esp), %ecx
#endif
        .balign 16
1:      decl %ecx
        jnz 1b
        xorl %eax, %eax
        ret

/* ------------------------------------------------------------------------------- round trips from ring 3 and back */
        .globl syscall_rounds, syscall_entry, page_fault_entry
#ifdef __x86_64__
#define USER_CS 0x2b
#define USER_SS 0x23
syscall_rounds:
        pushq %rbx
        movq %rsp, saved_stack
        movl %edi, %ebx
        movl $user_code, %ecx
        movl $2, %r11d
        sysretq
user_code:
1:      movl $1, %eax
        syscall
        decl %ebx
        jnz 1b
        xorl %eax, %eax
        syscall
syscall_entry:
        testl %eax, %eax
        jz 1f
        sysretq
1:      movq saved_stack, %rsp
        popq %rbx
        ret

/* Maps the page of CR2 (counted in `faults`) and returns. */
page_fault_entry:
        pushq %rax
        pushq %rcx
        movq %cr2, %rax
        shrq $12, %rax
        andl $511, %eax
        movl $scratch_page + 3, %ecx
        movq %rcx, fault_table(, %rax, 8)
        incl faults
        popq %rcx
        popq %rax
        addq $8, %rsp
        iretq
#else
#define USER_CS 0x2b
#define USER_SS 0x23
syscall_rounds:
        pushl %ebx
        movl 8(%esp), %ebx
        movl %esp, saved_stack
        pushl $USER_SS
        pushl $user_stack_top
        pushl $2
        pushl $USER_CS
        pushl $user_code
        iretl
user_code:
1:      movl $1, %eax
        int $0x80
        decl %ebx
        jnz 1b
        xorl %eax, %eax
        int $0x80
syscall_entry:
        testl %eax, %eax
        jz 1f
        iretl
        /* IRET to ring 3 has nulled the data segments of ring 0 (SDM vol. 2, IRET, "return to outer"). */
1:      movl $0x18, %eax
        movl %eax, %ds
        movl %eax, %es
        movl saved_stack, %esp
        popl %ebx
        ret

page_fault_entry:
        pushl %eax
        pushl %ecx
        movl %cr2, %eax
        shrl $12, %eax
        andl $511, %eax
        movl $scratch_page + 3, %ecx
        movl %ecx, fault_table(, %eax, 4)
        incl faults
        popl %ecx
        popl %eax
        addl $4, %esp
        iretl
#endif
        .bss
        .balign 16
        .globl kernel_stack_top
        .skip 16384
stack_top:
        .skip 4096
kernel_stack_top:
        .skip 4096
user_stack_top:
saved_stack: .skip 8
