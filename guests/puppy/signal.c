/*
 * Signals: a bit is set now, and acted on when its task is about to return to user mode. A handler runs on the user's
 * own stack, above a frame with Linux's layout that holds everything needed to go on afterwards. Pending and blocked signals
 * and handlers are guarded by task_lock, as their sender may be on another processor.
 */
#include "errno.h"
#include "proc.h"

#define SA_NODEFER 0x40000000ul
#define SA_RESETHAND 0x80000000ul
#define SA_RESTORER 0x04000000ul
#define SA_RESTART 0x10000000ul
#define UNBLOCKABLE (SIGBIT(SIGKILL) | SIGBIT(SIGSTOP))
#define IGNORED_BY_DEFAULT (SIGBIT(SIGCHLD) | SIGBIT(SIGCONT) | SIGBIT(SIGURG) | SIGBIT(SIGWINCH))
#define STOPS (SIGBIT(SIGSTOP) | SIGBIT(SIGTSTP) | SIGBIT(SIGTTIN) | SIGBIT(SIGTTOU))

bool signal_pending(struct task *t) { return t->sig_pending & ~t->sig_blocked; }

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

/* ---- Frames, as Linux has them (arch/x86/include/asm/sigframe.h, uapi/asm/sigcontext.h) ---- */

struct sigcontext {
#ifdef __x86_64__
	ulong r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, flags;
	u16 cs, gs, fs, ss;
	ulong err, trapno, oldmask, cr2, fpstate, reserved[8];
#else
	u32 gs, fs, es, ds, di, si, bp, sp, bx, dx, cx, ax, trapno, err, ip, cs, flags, sp_at_signal, ss, fpstate, oldmask,
		cr2;
#endif
};

struct ucontext {
	ulong flags, link;
	ulong stack_sp;
	int stack_flags;
	ulong stack_size;
	struct sigcontext mc;
	u64 sigmask;
};

struct sigframe {
	ulong return_address;
#ifndef __x86_64__
	ulong sig, info_address, context_address;
#endif
	u32 info[32]; /* signo, errno, code … */
	struct ucontext uc;
	u8 code[8];
};

static void save_context(struct sigcontext *c, struct pt_regs *r)
{
	c->di = r->di, c->si = r->si, c->bp = r->bp, c->bx = r->bx, c->dx = r->dx, c->ax = r->ax, c->cx = r->cx;
	c->sp = r->sp, c->ip = r->ip, c->flags = r->flags, c->cs = r->cs, c->ss = r->ss;
#ifdef __x86_64__
	c->r8 = r->r8, c->r9 = r->r9, c->r10 = r->r10, c->r11 = r->r11;
	c->r12 = r->r12, c->r13 = r->r13, c->r14 = r->r14, c->r15 = r->r15;
#else
	c->ds = r->ds, c->es = r->es, c->fs = r->fs, c->gs = r->gs;
#endif
}

/* Everything in it comes from the user: selectors, flags and addresses are brought back to what a user may have. */
static bool load_context(struct pt_regs *r, struct sigcontext *c)
{
	if (c->ip >= TASK_SIZE)
		return false;
	r->di = c->di, r->si = c->si, r->bp = c->bp, r->bx = c->bx, r->dx = c->dx, r->ax = c->ax, r->cx = c->cx;
	r->sp = c->sp, r->ip = c->ip, r->cs = pv_ops.user_cs, r->ss = pv_ops.user_ds;
	r->flags = (c->flags & FLAG_USER) | FLAG_IF | 2;
	r->orig_ax = -1;
#ifdef __x86_64__
	r->r8 = c->r8, r->r9 = c->r9, r->r10 = c->r10, r->r11 = c->r11;
	r->r12 = c->r12, r->r13 = c->r13, r->r14 = c->r14, r->r15 = c->r15;
#else
	/* A null selector is fine, anything else asks as ring 3. */
	r->ds = c->ds & 0xfffc ? c->ds | 3 : 0, r->es = c->es & 0xfffc ? c->es | 3 : 0;
	r->fs = c->fs & 0xfffc ? c->fs | 3 : 0, r->gs = c->gs & 0xfffc ? c->gs | 3 : 0;
#endif
	return true;
}

static bool push_frame(struct pt_regs *regs, int sig, struct ksigaction *a)
{
	struct task *t = current;
	struct sigframe f, *user;
	ulong sp = regs->sp;

#ifdef __x86_64__
	sp -= 128; /* the red zone is the interrupted function's */
#endif
	/* At a function's first instruction the stack, return address on top, is 16-byte aligned plus a word. */
	user = (struct sigframe *)(((sp - sizeof(f)) & ~15ul) - sizeof(ulong));
	memset(&f, 0, sizeof(f));
	f.info[0] = sig;
	save_context(&f.uc.mc, regs);
	f.uc.sigmask = t->sig_restore_mask ? t->sig_saved_mask : t->sig_blocked;
	f.return_address = a->restorer;
#ifndef __x86_64__
	f.sig = sig;
	f.info_address = (ulong)&user->info;
	f.context_address = (ulong)&user->uc;
	if (!(a->flags & SA_RESTORER)) {
		/* mov $173, %eax; int $0x80 */
		memcpy(f.code, "\xb8\xad\x00\x00\x00\xcd\x80", 7);
		f.return_address = (ulong)user->code;
	}
#endif
	if (copy_to_user(user, &f, sizeof(f)))
		return false;
	t->sig_restore_mask = false;
	regs->sp = (ulong)user;
	regs->ip = a->handler;
	regs->flags &= ~(FLAG_DF | FLAG_TF);
#ifdef __x86_64__
	regs->ax = 0;
	regs->di = sig;
	regs->si = (ulong)&user->info;
	regs->dx = (ulong)&user->uc;
#else
	regs->ax = sig;
	regs->dx = (ulong)&user->info;
	regs->cx = (ulong)&user->uc;
	regs->ds = regs->es = pv_ops.user_ds;
#endif
	return regs->ip < TASK_SIZE;
}

/* rt_sigreturn: the frame's return address has been popped; i386's older sigreturn has popped the signal too. */
static long restore(ulong popped)
{
	struct pt_regs *regs = task_regs(current);
	struct sigframe *user = (struct sigframe *)(regs->sp - popped);
	struct ucontext uc;

	if (copy_from_user(&uc, &user->uc, sizeof(uc)) || !load_context(regs, &uc.mc)) {
		force_signal(current, SIGSEGV);
		return 0;
	}
	set_blocked(uc.sigmask);
	return regs->ax;
}

long sys_rt_sigreturn(void) { return restore(sizeof(ulong)); }
long sys_sigreturn(void) { return restore(2 * sizeof(ulong)); }

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
		if (!push_frame(regs, sig, a))
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
