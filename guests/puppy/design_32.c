/*
 * Which host, i386: the sibling of design_64.c (G:025). Less can differ here, since lguest's ABI has settled the ring, the
 * selectors and the addresses; what is left is the door of hypercalls and the place of the interrupt flag.
 *
 * Before the first hypercall that head_32.S has not made by hand, and before there is anybody to complain to: what we do
 * not know ends in an invalid opcode, which kills a guest that has no handlers.
 */
#include "alternative.h"
#include "door_32.h"
#include "pv.h"

#define OPERATIONS(flag)                                                                                               \
	void lguest_##flag##_save_flags(void), lguest_##flag##_restore_flags(void);                                    \
	void lguest_##flag##_irq_disable(void), lguest_##flag##_irq_enable(void), lguest_##flag##_iret(void);
OPERATIONS(word)
OPERATIONS(asked)
extern const struct pv_template lguest_word_templates[PV_PATCHABLE], lguest_asked_templates[PV_PATCHABLE];
extern const struct pv_template lguest_rom_templates[PV_PATCHABLE];
extern const u8 door_call_page[], door_call_page_end[];

/* Where the interrupt flag may be: the operations on it (PV_SAVE_FLAGS to PV_IRET), and what patches their places. */
#define FLAG(flag)                                                                                                     \
	{ { lguest_##flag##_save_flags, lguest_##flag##_restore_flags, lguest_##flag##_irq_disable,                    \
	    lguest_##flag##_irq_enable, lguest_##flag##_iret },                                                        \
	  lguest_##flag##_templates }
/* The ROM's are the host's own functions. */
#define CALLED(function) ((void *)(LGUEST_CALL_PAGE + LGUEST_CALL_##function * LGUEST_CALL_STRIDE))
static const struct {
	void *operations[5];
	const struct pv_template *templates;
} flags[] = {
	[LGUEST_FLAG_SHARED_WORD] = FLAG(word),
	[LGUEST_FLAG_HYPERCALL] = FLAG(asked),
	[LGUEST_FLAG_ROM] = {
		{ CALLED(SAVE_FLAGS), CALLED(RESTORE_FLAGS), CALLED(IRQ_DISABLE), CALLED(IRQ_ENABLE), CALLED(IRET) },
		lguest_rom_templates,
	},
};

static u32 field(u64 design, int shift) { return design >> shift & LGUEST_DESIGN_FIELD_MASK; }

void lguest_adapt(u64 design)
{
	u32 door = field(design, LGUEST_DESIGN_HYPERCALL_SHIFT), flag = field(design, LGUEST_DESIGN_FLAG_SHIFT);

	/* A loader that knows of no designs says 0, and has lguest's. */
	if (door == LGUEST_HYPERCALL_CALL_PAGE)
		replace_doors(door_call_page, door_call_page_end);
	else if (door > LGUEST_HYPERCALL_INTERRUPT)
		__builtin_trap();
	if (flag >= ARRAY_SIZE(flags) || !flags[flag].templates)
		__builtin_trap();
	for (int i = 0; i < 5; i++)
		pv_ops.patchable[PV_SAVE_FLAGS + i] = flags[flag].operations[i];
	pv_ops.templates = flags[flag].templates;
}
