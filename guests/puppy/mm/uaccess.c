/*
 * Memory that a user names. An address above TASK_SIZE is refused at once; one that turns out not to be mapped faults in
 * uaccess.S, where the exception table says how to go on, and the caller hears EFAULT.
 */
#include "errno.h"
#include "mm.h"

struct ex_entry {
	s32 from, to; /* each relative to itself */
};
extern const struct ex_entry ex_table_start[], ex_table_end[];

bool fixup_exception(struct pt_regs *regs)
{
	for (const struct ex_entry *e = ex_table_start; e < ex_table_end; e++)
		if ((ulong)&e->from + e->from == regs->ip) {
			regs->ip = (ulong)&e->to + e->to;
			return true;
		}
	return false;
}

int copy_from_user(void *to, const void *from, ulong n)
{
	return access_ok(from, n) && raw_copy(to, from, n) == 0 ? 0 : -EFAULT;
}

int copy_to_user(void *to, const void *from, ulong n)
{
	return access_ok(to, n) && raw_copy(to, from, n) == 0 ? 0 : -EFAULT;
}

int clear_user(void *to, ulong n) { return access_ok(to, n) && raw_clear(to, n) == 0 ? 0 : -EFAULT; }

long strncpy_from_user(char *to, const char *from, ulong n)
{
	if (!access_ok(from, 1))
		return -EFAULT;
	return raw_strncpy(to, from, min(n, (ulong)TASK_SIZE - (ulong)from));
}
