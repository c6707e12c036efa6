/*
 * G:025 And which Host? Those who argued in 2007 would each have built another one: with another door for hypercalls,
 * another place for the interrupt flag, other selectors, other addresses left free. This kernel runs under all of them.
 * The boot loader tells it in one word, the design word, and what follows is all the difference that it makes: a few
 * pointers and a few bytes of code, set once. "The entire point of paravirt_ops is that a single kernel adapts to
 * different hypervisors at run time", as was said then; here it is taken at its word.
 *
 * x86_64, before the first hypercall that head_64.S has not made by hand, and before there is anybody to complain to: what
 * we do not know ends in an invalid opcode, which kills a guest that has no handlers.
 */
#include "alternative.h"
#include "door.h"
#include "mm.h"
#include "pv.h"

#define OPERATION(name) void lguest64_##name(void);
#define OPERATIONS(flag)                                                                                               \
	OPERATION(flag##_save_flags)                                                                                   \
	OPERATION(flag##_restore_flags)                                                                                \
	OPERATION(flag##_irq_disable)                                                                                  \
	OPERATION(flag##_irq_enable)                                                                                   \
	extern const struct pv_template lguest64_##flag##_templates[PV_PATCHABLE];
OPERATIONS(word)
OPERATIONS(asked)
OPERATIONS(pvi)
OPERATIONS(rom)
OPERATION(halt)
OPERATION(halt_off)
OPERATION(direct_paging)
extern const u8 door_interrupt[], door_interrupt_end[], door_call_page[], door_call_page_end[];

/* Where the interrupt flag may be: the four operations on it, as functions and as what patches their places. */
#define FLAG(flag)                                                                                                     \
	{ { lguest64_##flag##_save_flags, lguest64_##flag##_restore_flags, lguest64_##flag##_irq_disable,              \
	    lguest64_##flag##_irq_enable },                                                                            \
	  lguest64_##flag##_templates }
static const struct {
	void *operations[4]; /* PV_SAVE_FLAGS and the three after it */
	const struct pv_template *templates;
} flags[] = {
	[LGUEST_FLAG_SHARED_WORD] = FLAG(word),
	[LGUEST_FLAG_HYPERCALL] = FLAG(asked),
	[LGUEST_FLAG_PVI] = FLAG(pvi),
	[LGUEST_FLAG_ROM] = FLAG(rom),
};

static u32 field(u64 design, int shift) { return design >> shift & LGUEST_DESIGN_FIELD_MASK; }

void lguest64_adapt(u64 design)
{
	u32 door = field(design, LGUEST_DESIGN_HYPERCALL_SHIFT), flag = field(design, LGUEST_DESIGN_FLAG_SHIFT);
	ulong slot = design >> LGUEST_DESIGN_SLOT_SHIFT & LGUEST_DESIGN_SLOT_MASK;

	switch (door) {
	case LGUEST_HYPERCALL_SYSCALL:
		break;
	case LGUEST_HYPERCALL_INTERRUPT:
		replace_doors(door_interrupt, door_interrupt_end);
		break;
	case LGUEST_HYPERCALL_CALL_PAGE:
		replace_doors(door_call_page, door_call_page_end);
		break;
	default:
		__builtin_trap();
	}
	if (flag >= ARRAY_SIZE(flags))
		__builtin_trap();
	for (int i = 0; i < 4; i++)
		pv_ops.patchable[PV_SAVE_FLAGS + i] = flags[flag].operations[i];
	pv_ops.templates = flags[flag].templates;
	/* To sleep with interrupts on, in one step, takes SYSCALL's flag and ours side by side (G:080). */
	if (door != LGUEST_HYPERCALL_SYSCALL || flag != LGUEST_FLAG_SHARED_WORD)
		pv_ops.halt = lguest64_halt_off;
	if (design & LGUEST_DESIGN_NATIVE_SELECTORS) {
		pv_ops.user_cs = USER_CS;
		pv_ops.user_ds = USER_DS;
	}
	if (design & LGUEST_DESIGN_MACHINE_FRAMES)
		lguest64_direct_paging();
	if (slot)
		direct_map = 0xffff000000000000 | slot << 39; /* one entry of the PML4 is 2^39 bytes */
}
