/*
 * What a signal handler finds on the user's stack, and sigreturn reads back: frames as Linux has them
 * (arch/x86/include/asm/sigframe.h, uapi/asm/sigcontext.h).
 */
#include "errno.h"
#include "proc.h"

#define SA_RESTORER 0x04000000ul

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

bool push_signal_frame(struct pt_regs *regs, int sig, struct ksigaction *a)
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
