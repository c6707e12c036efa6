/*
 * The kernel under the attacks on i386 (attack-32.h). Its virtual interrupts are off; the host's own come all the same.
 */
#define BP_SUBARCH_DATA 0x240
#define FUNCTION(n)     (LGUEST_CALL_PAGE + (n) * LGUEST_CALL_STRIDE)

/* %ebp: where to go on, at its high address. %esi: boot_params. */
boot:
        movl    BP_SUBARCH_DATA(%esi), %eax
        andl    $LGUEST_DESIGN_FIELD_MASK, %eax
        movl    %eax, PHYS(door)
        movl    BP_SUBARCH_DATA(%esi), %eax
        shrl    $LGUEST_DESIGN_FLAG_SHIFT, %eax
        andl    $LGUEST_DESIGN_FIELD_MASK, %eax
        movl    %eax, PHYS(flag)
        movl    $64, %ecx
        movl    $(DATA_PA + LGUEST_DATA_HCALL_STATUS), %edi
        movb    $LHCALL_FREE, %al
        rep stosb
        movl    $noirq_iret, DATA_PA + LGUEST_DATA_NOIRQ_IRET
        movl    $KERNEL_OFFSET, DATA_PA + LGUEST_DATA_KERNEL_ADDRESS
        movl    $0x80, DATA_PA + LGUEST_DATA_SYSCALL_VEC
        movl    $DATA_PA, %ebx
        movl    $LHCALL_LGUEST_INIT, %eax
        int     $LGUEST_TRAP_ENTRY

        movl    $TABLE_PA, %edi
        movl    $0x63, %eax
        movl    $0x300, %ecx
1:      stosl
        addl    $4096, %eax
        loop    1b
        movl    $(TABLE_PA + 0x63), PGD_PA
        movl    $(TABLE_PA + 0x63), PGD_PA + (KERNEL_OFFSET >> 22) * 4
        movl    $(PT_USER_PA + 0x67), PGD_PA + (USER_IMAGE >> 22) * 4
        movl    $(IMAGE_PA + 0x65), %eax
        movl    $PT_USER_PA, %edi
        movl    $((image_end - image_start + 4095) / 4096), %ecx
2:      stosl
        addl    $4096, %eax
        loop    2b
        movl    $(REPORTS_PA + 0x67), PT_USER_PA + 0x1f0 * 4
        movl    $(PARAMS_PA + 0x65), PT_USER_PA + 0x1f1 * 4
        movl    $(USER_DATA_PA + 0x67), PT_USER_PA + 0x1f2 * 4
        movl    $(USER_STACK_PA + 0x67), PT_USER_PA + 0x1f3 * 4
        movl    $PGD_PA, %ebx
        movl    $LHCALL_NEW_PGTABLE, %eax
        int     $LGUEST_TRAP_ENTRY
        movl    $high, %eax
        jmp     *%eax
high:   movl    $VIRT(STACK_PA + 0x1000), %esp
        HCALL   LHCALL_LOAD_GDT_ENTRY, $14, $0x0000ffff, $0x00cffa00
        HCALL   LHCALL_LOAD_GDT_ENTRY, $15, $0x0000ffff, $0x00cff200
        HCALL   LHCALL_SET_STACK, $LGUEST_KERNEL_DS, $VIRT(EVENT_STACK_PA + 0x1000), $1
        xorl    %edi, %edi
3:      btl     %edi, not_ours
        jc      4f
        movl    %edi, %eax
        shll    $4, %eax
        addl    $stubs, %eax
        btl     %edi, for_all
        jc      5f
        SET_GATE %edi, %eax, INTERRUPT_GATE
        jmp     4f
5:      SET_GATE %edi, %eax, INTERRUPT_GATE | DPL3
4:      incl    %edi
        cmpl    $32, %edi
        jb      3b
        SET_GATE $0x80, $system_call, TRAP_GATE | DPL3
        jmp     *%ebp
        .balign 4
/* Those that cannot be set. */
not_ours:
        .long   1 << 2 | 1 << 8 | 1 << 15 | 1 << 18 | 1 << 31
for_all:
        .long   1 << 3 | 1 << 4
door:   .long   0
flag:   .long   0
service:
        .long   0
call_page:
        .long   FUNCTION(LGUEST_CALL_HYPERCALL)
rom_irq_disable:
        .long   FUNCTION(LGUEST_CALL_IRQ_DISABLE)

hypercall:
        cmpl    $LGUEST_HYPERCALL_CALL_PAGE, door
        je      1f
        int     $LGUEST_TRAP_ENTRY
        ret
1:      jmp     *call_page

irq_off:
        cmpl    $LGUEST_FLAG_ROM, flag
        je      1f
        movl    $0, lguest_data + LGUEST_DATA_IRQ_ENABLED
        cmpl    $LGUEST_FLAG_HYPERCALL, flag
        je      2f
        ret
1:      jmp     *rom_irq_disable
2:      HCALL   LHCALL_IRQ_DISABLE
        ret

to_user:
        movl    $LGUEST_USER_DS, %eax
        movl    %eax, %ds
        movl    %eax, %es
        pushl   $LGUEST_USER_DS
        pushl   $USER_STACK_TOP
        pushl   $0x202
        pushl   $LGUEST_USER_CS
        pushl   %ebx
        iret

        .balign 16
stubs:  EXCEPTION_STUBS exception

/* Goes on at %edi with the stack in %ebp, kernel or process; with neither that is the guest's end. */
        .balign 16
exception:
        popl    %ecx
        addl    $4, %esp
        pushl   %ss
        popl    %ds
        pushl   %ss
        popl    %es
        testl   %edi, %edi
        jz      2f
        cmpl    $LGUEST_USER_CS, 4(%esp)
        je      1f
        movl    %ebp, %esp
        pushl   $2
        popfl
        jmp     *%edi
1:      movl    $LGUEST_USER_DS, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %edi, (%esp)
        movl    $0x202, 8(%esp)
        movl    %ebp, 12(%esp)
noirq_iret:
        iret
2:      leal    200(%ecx), %edx
        END     %edx

/* 60: exit. Anything else is the attack's `service`, which keeps all registers but %eax. */
        .balign 16
system_call:
        cmpl    $60, %eax
        je      2f
        cmpl    $0, %ss:service
        je      1f
        pushl   %ss
        popl    %ds
        pushl   %ss
        popl    %es
        call    *service
        pushl   $LGUEST_USER_DS
        popl    %ds
        pushl   $LGUEST_USER_DS
        popl    %es
        iret
1:      movl    $-38, %eax
        iret
2:      pushl   %ss
        popl    %ds
        movl    %ebx, %edi
        END     %edi
message:
        .asciz  "done"
        .balign 16
