/*
 * Signals: a bit is set now, and acted on when its task is about to return to user mode. A handler runs on the user's
 * own stack, above a frame with Linux's layout that holds everything needed to go on afterwards. Pending and blocked signals
 * and handlers are guarded by task_lock, as their sender may be on another processor.
 */
#include "errno.h"
#include "proc.h"

#define SA_NODEFER 0x40000000ul
#define SA_RESETHAND 0x80000000ul
#define SA_RESTART 0x10000000ul
#define UNBLOCKABLE (SIGBIT(SIGKILL) | SIGBIT(SIGSTOP))
#define IGNORED_BY_DEFAULT (SIGBIT(SIGCHLD) | SIGBIT(SIGCONT) | SIGBIT(SIGURG) | SIGBIT(SIGWINCH))
#define STOPS (SIGBIT(SIGSTOP) | SIGBIT(SIGTSTP) | SIGBIT(SIGTTIN) | SIGBIT(SIGTTOU))

static bool ignored(struct task *t, int sig)
{
	ulong handler = t->sigact[sig - 1].handler;

	if (t->sig_blocked & SIGBIT(sig))
		return false;
	if (handler == SIG_DFL)
		return (IGNORED_BY_DEFAULT & SIGBIT(sig)) || t == init_task;
	return handler == SIG_IGN;
}

void send_signal_locked(struct task *t, int sig)
{
	if (t->state == TASK_ZOMBIE)
		return;
	if (sig == SIGCONT)
		t->sig_pending &= ~STOPS;
	if (sig == SIGCONT || sig == SIGKILL)
		wake_from(t, 1 << TASK_STOPPED);
	if (!ignored(t, sig)) {
		t->sig_pending |= SIGBIT(sig);
		if (signal_pending(t))
			wake_task(t);
	}
}

void send_signal(struct task *t, int sig)
{
	ulong flags = spin_lock_irqsave(&task_lock);

	send_signal_locked(t, sig);
	spin_unlock_irqrestore(&task_lock, flags);
}

void force_signal(struct task *t, int sig)
{
	ulong flags = spin_lock_irqsave(&task_lock);
	struct ksigaction *a = &t->sigact[sig - 1];

	if (a->handler == SIG_IGN || (t->sig_blocked & SIGBIT(sig))) {
		a->handler = SIG_DFL;
		t->sig_blocked &= ~SIGBIT(sig);
	}
	t->sig_pending |= SIGBIT(sig);
	spin_unlock_irqrestore(&task_lock, flags);
}

int signal_group(pid_t pgrp, int sig)
{
	int n = 0;
	ulong flags = spin_lock_irqsave(&task_lock);

	for (struct task *t = all_tasks; t; t = t->next_all)
		if (t->pgrp == pgrp && t->pid) {
			n++;
			if (sig)
				send_signal_locked(t, sig);
		}
	spin_unlock_irqrestore(&task_lock, flags);
	return n ? 0 : -ESRCH;
}

void signal_all(int sig, struct task *except)
{
	ulong flags = spin_lock_irqsave(&task_lock);

	for (struct task *t = all_tasks; t; t = t->next_all)
		if (t != init_task && t != except)
			send_signal_locked(t, sig);
	spin_unlock_irqrestore(&task_lock, flags);
}

void set_blocked(u64 mask)
{
	ulong flags = spin_lock_irqsave(&task_lock);

	current->sig_blocked = mask & ~UNBLOCKABLE;
	spin_unlock_irqrestore(&task_lock, flags);
}

/* ---- Delivery ---- */

/* The next signal to act on, 0: none, and what is to be done about it. A task that is to stop is TASK_STOPPED before the
 * lock is given back, or it might miss the SIGCONT that comes just then. */
static int take_signal(struct task *t, struct ksigaction *action)
{
	ulong flags = spin_lock_irqsave(&task_lock);
	u64 ready = t->sig_pending & ~t->sig_blocked;
	int sig = 0;

	if (ready) {
		sig = ready & SIGBIT(SIGKILL) ? SIGKILL : (u32)ready ? __builtin_ctz((u32)ready) + 1 : __builtin_ctz(ready >> 32) + 33;
		t->sig_pending &= ~SIGBIT(sig);
		struct ksigaction *a = &t->sigact[sig - 1];
		*action = *a;
		if (a->handler == SIG_DFL && (STOPS & SIGBIT(sig))) {
			if (!(t->sig_pending & SIGBIT(SIGKILL)))
				(void)__atomic_exchange_n(&t->state, TASK_STOPPED, __ATOMIC_SEQ_CST);
		} else if (a->handler > SIG_IGN && (a->flags & SA_RESETHAND)) {
			a->handler = SIG_DFL;
		}
	}
	spin_unlock_irqrestore(&task_lock, flags);
	return sig;
}

/* The interrupted system call is made again: both `int $0x80` and `syscall` are two bytes long. */
static void restart_call(struct pt_regs *regs)
{
	regs->ax = regs->orig_ax;
	regs->ip -= 2;
}

void handle_signals(struct pt_regs *regs)
{
	struct task *t = current;
	bool restart = (long)regs->orig_ax >= 0 && (long)regs->ax == -ERESTARTSYS;
	struct ksigaction action;
	int sig;

	while ((sig = take_signal(t, &action))) {
		struct ksigaction *a = &action;
		if (a->handler == SIG_IGN)
			continue;
		if (a->handler == SIG_DFL) {
			if (IGNORED_BY_DEFAULT & SIGBIT(sig))
				continue;
			if (STOPS & SIGBIT(sig)) {
				schedule();
				continue;
			}
			do_exit(sig);
		}
		if (restart) {
			if (a->flags & SA_RESTART)
				restart_call(regs);
			else
				regs->ax = -EINTR;
			restart = false;
		}
		if (!push_signal_frame(regs, sig, a))
			do_exit(SIGSEGV);
		/* The frame goes on with this context, which belongs to no system call any more. */
		regs->orig_ax = -1;
		set_blocked(t->sig_blocked | a->mask | (a->flags & SA_NODEFER ? 0 : SIGBIT(sig)));
	}
	if (restart) {
		restart_call(regs);
		regs->orig_ax = -1;
	}
	if (t->sig_restore_mask) {
		set_blocked(t->sig_saved_mask);
		t->sig_restore_mask = false;
	}
}

__attribute__((used)) void exit_to_user(struct pt_regs *regs)
{
	for (;;) {
		irq_disable();
		if (this_cpu()->need_resched) {
			schedule();
			continue;
		}
		if (likely(!signal_pending(current) && !current->sig_restore_mask &&
			   !((long)regs->orig_ax >= 0 && (long)regs->ax == -ERESTARTSYS)))
			return;
		irq_enable();
		handle_signals(regs);
	}
}

/* ---- System calls ---- */

long sys_rt_sigaction(int sig, const struct ksigaction *new, struct ksigaction *old, ulong size)
{
	struct ksigaction a;

	if (sig < 1 || sig > NSIG || size != sizeof(u64))
		return -EINVAL;
	struct ksigaction *slot = &current->sigact[sig - 1];
	if (new) {
		if (copy_from_user(&a, new, sizeof(a)))
			return -EFAULT;
		if (UNBLOCKABLE & SIGBIT(sig))
			return -EINVAL;
	}
	if (old && copy_to_user(old, slot, sizeof(*slot)))
		return -EFAULT;
	if (new) {
		ulong flags = spin_lock_irqsave(&task_lock);
		*slot = a;
		if (ignored(current, sig))
			current->sig_pending &= ~SIGBIT(sig);
		spin_unlock_irqrestore(&task_lock, flags);
	}
	return 0;
}

long sys_rt_sigprocmask(int how, const u64 *new, u64 *old, ulong size)
{
	u64 mask, before = current->sig_blocked;

	if (size != sizeof(u64))
		return -EINVAL;
	if (new) {
		if (get_user(mask, new))
			return -EFAULT;
		if (how == 0)
			mask |= before;
		else if (how == 1)
			mask = before & ~mask;
		else if (how != 2)
			return -EINVAL;
		set_blocked(mask);
	}
	return old ? put_user(before, old) : 0;
}

long sys_rt_sigpending(u64 *set, ulong size)
{
	return size == sizeof(u64) ? put_user(current->sig_pending, set) : -EINVAL;
}

static long suspend(void)
{
	static struct waitq nobody;

	return wait_event(&nobody, false);
}

long sys_rt_sigsuspend(const u64 *set, ulong size)
{
	u64 mask;

	if (size != sizeof(u64))
		return -EINVAL;
	if (get_user(mask, set))
		return -EFAULT;
	current->sig_saved_mask = current->sig_blocked;
	current->sig_restore_mask = true;
	set_blocked(mask);
	suspend();
	return -EINTR;
}

long sys_pause(void)
{
	suspend();
	return -EINTR;
}

long sys_kill(pid_t pid, int sig)
{
	if (sig < 0 || sig > NSIG)
		return -EINVAL;
	if (pid == 0)
		return signal_group(current->pgrp, sig);
	if (pid == -1) {
		if (sig)
			signal_all(sig, current);
		return 0;
	}
	if (pid < 0)
		return signal_group(-pid, sig);
	struct task *t = task_get(pid);
	if (!t)
		return -ESRCH;
	if (sig)
		send_signal(t, sig);
	task_put(t);
	return 0;
}

long sys_tkill(pid_t pid, int sig) { return pid > 0 ? sys_kill(pid, sig) : -EINVAL; }
long sys_tgkill(pid_t group, pid_t pid, int sig)
{
	(void)group;
	return pid > 0 ? sys_kill(pid, sig) : -EINVAL;
}
