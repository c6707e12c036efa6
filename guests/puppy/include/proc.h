/* Processes: what they are, who runs, who waits. */
#pragma once
#include "errno.h"
#include "mm.h"
#include "smp.h"

struct file;
struct inode;

#define NOFILE 64
#define NSIG 64
#define HZ 100
#define TICK_NS (NSEC_PER_SEC / HZ)

enum task_state { TASK_RUNNING, TASK_SLEEPING, TASK_STOPPED, TASK_ZOMBIE, TASK_NEW };

/* Linux's struct sigaction as the kernel takes it. */
struct ksigaction {
	ulong handler;
	ulong flags;
	ulong restorer;
	u64 mask;
};

/* What fork copies and kill needs; one for each process, as there are no threads: clone can share memory, no more. */
struct task {
	ulong sp;            /* where switch_to left it */
	ulong stack;         /* kernel stack, lowest address */
	enum task_state state;
	u32 refs;            /* 1 while it has a number, and whoever looks at it (task_get) */
	u32 cpu;             /* where it runs or ran last, or waits to run */
	u32 affinity;        /* processors that it may run on */
	bool on_cpu;         /* a processor uses its stack */
	bool queued;         /* in a run queue */
	pid_t pid, pgrp, session;
	struct mm *mm;       /* NULL: the idle task */
	struct task *parent, *children, *sibling;
	struct task *next_all; /* every task */
	struct task *next_run; /* run queue */
	struct task *next_wait; /* the wait queue it sleeps on */
	struct waitq *waiting_on;
	int slice;           /* ticks left */
	char comm[16];
	struct file *files[NOFILE];
	u64 cloexec;         /* bit n: descriptor n closes at exec */
	struct inode *cwd;
	u32 umask;
	int exit_code;       /* as wait4 shows it */
	u64 sig_pending, sig_blocked; /* bit n-1: signal n; task_lock guards these and sigact */
	u64 sig_saved_mask;
	bool sig_restore_mask;
	struct ksigaction sigact[NSIG];
	int *clear_tid;      /* user address that becomes 0, with a futex wake, when the task leaves its memory */
	u64 start_ns;
	ulong utime, stime, cutime, cstime; /* ticks */
	ulong min_flt;
	void (*kernel_fn)(void); /* a task born in the kernel starts here */
#ifdef __x86_64__
	ulong fs_base, gs_base;
#else
	u64 tls[3];
#endif
};

extern struct task *all_tasks, *init_task;
extern spinlock_t task_lock; /* the list of tasks, who is whose child, process groups, signals; interrupts off */

/* sched.c */
void sched_init(void);
void schedule(void);
void sched_tick(bool user);
void sched_tick_others(void);
void make_runnable(struct task *t); /* a new task, for the first time */
/* With interrupts off: if its state is one of these (bits), back to a run queue. */
bool wake_from(struct task *t, u32 states);
void wake_task(struct task *t); /* from TASK_SLEEPING */
void set_affinity(struct task *t, u32 mask);
void idle_loop(void) __attribute__((noreturn));
struct task *switch_to(struct task *from, struct task *to); /* entry_*.S: returns the task that ran before */

/* load.c */
ulong run_queue_length(void);
void update_load(void);
void load_average(ulong out[3]);
void cpu_ticks(int cpu, ulong *user, ulong *system, ulong *idle);

/* wait.c; the first two are wait_event's, with interrupts off */
void wait_begin(struct waitq *q); /* on the queue and TASK_SLEEPING: from here on a wake-up is not lost */
void wait_end(struct waitq *q);
void wake_waiters(struct waitq *q);
/* After what they wait for has become true. Mostly nobody waits: the fence has that store go before this look. */
static inline void wake_all(struct waitq *q)
{
	full_fence();
	if (READ_ONCE(q->first))
		wake_waiters(q);
}

/* The same for who waits for this file, and for who waits for several (fs/poll.c). */
extern struct waitq pollers;
static inline void wake_and_poll(struct waitq *q)
{
	wake_all(q);
	if (READ_ONCE(pollers.first)) /* behind the same fence */
		wake_waiters(&pollers);
}

/*
 * Sleeps until the condition holds: 0, or -ERESTARTSYS for a signal. The condition is looked at when the task is on the
 * queue already, so whoever makes it true and then calls wake_all either is seen or wakes. It must not sleep, and it is not
 * looked at again once it has held: it may take something.
 */
#define wait_event_until(q, cond, interruptible)                                                                       \
	({                                                                                                             \
		struct waitq *_q = (q);                                                                                \
		int _ret = 0;                                                                                          \
		ulong _flags = irq_save();                                                                             \
		if (!(cond)) {                                                                                         \
			for (;;) {                                                                                     \
				wait_begin(_q);                                                                        \
				if (cond)                                                                              \
					break;                                                                         \
				if ((interruptible) && signal_pending(current)) {                                      \
					_ret = -ERESTARTSYS;                                                           \
					break;                                                                         \
				}                                                                                      \
				schedule();                                                                            \
				if (cond)                                                                              \
					break;                                                                         \
			}                                                                                              \
			wait_end(_q);                                                                                  \
		}                                                                                                      \
		irq_restore(_flags);                                                                                   \
		_ret;                                                                                                  \
	})
#define wait_event(q, cond) wait_event_until(q, cond, true)
/* Whatever signals wait: for what is sure to come, and soon. */
#define wait_until(q, cond) (void)wait_event_until(q, cond, false)

/* proc.c, fork.c, exec.c, exit.c */
struct task *task_alloc(void);
void task_free(struct task *t);
struct task *task_find(pid_t pid); /* with task_lock held */
struct task *task_get(pid_t pid);  /* with a reference: it may die, but not go away; NULL: none */
void task_put(struct task *t);
u32 task_count(void);
struct mm *task_mm(struct task *t); /* another task's, with a reference (mm_put); NULL: none */
void set_mm(struct mm *mm);         /* current's; the reference to the one before is the caller's again */
struct task *idle_task(int cpu);
struct pt_regs *task_regs(struct task *t);
struct clone_args {
	ulong flags, stack; /* Linux's CLONE_…; 0: the parent's stack pointer */
	int *parent_tid, *child_tid;
	ulong tls;
};
long do_fork(struct pt_regs *regs, const struct clone_args *args);
struct task *kernel_task(void (*fn)(void));
long do_execve(const char *path, char *const *argv, char *const *envp, bool user_pointers);
void do_exit(int code) __attribute__((noreturn));
long do_wait4(pid_t pid, int *status, int options, void *rusage);
void start_user(struct pt_regs *regs, ulong ip, ulong sp); /* fresh registers */
static inline bool user_mode(struct pt_regs *regs) { return regs->cs == pv_ops.user_cs; }

/* signal.c */
enum {
	SIGHUP = 1, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE,
	SIGALRM, SIGTERM, SIGSTKFLT, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGXCPU, SIGXFSZ,
	SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGPWR, SIGSYS,
};
#define SIG_DFL 0ul
#define SIG_IGN 1ul
#define SIGBIT(n) (1ull << ((n)-1))
void send_signal(struct task *t, int sig);
void send_signal_locked(struct task *t, int sig); /* with task_lock held */
void signal_all(int sig, struct task *except); /* but init */
void set_blocked(u64 mask);
void force_signal(struct task *t, int sig); /* a fault: cannot be ignored or blocked */
int signal_group(pid_t pgrp, int sig);
static inline bool signal_pending(struct task *t) { return READ_ONCE(t->sig_pending) & ~t->sig_blocked; }
void handle_signals(struct pt_regs *regs);
bool push_signal_frame(struct pt_regs *regs, int sig, struct ksigaction *a); /* sigframe.c; false: no room */
void exit_to_user(struct pt_regs *regs); /* last stop before user mode: reschedule, signals; interrupts off */

/* timer.c */
extern u64 jiffies;
void time_init(void);
u64 now_ns(void);  /* since boot */
u64 wall_ns(void); /* since 1970 */
void timer_interrupt(struct pt_regs *regs);
/* A function to be called once, in the timer's interrupt, as soon as now_ns() has reached the deadline. */
struct ktimer {
	struct ktimer *next;
	u64 deadline;
	void (*fn)(struct ktimer *t);
	u32 home; /* the processor that will call it */
	bool queued, running;
};
void timer_start(struct ktimer *t, u64 deadline); /* again: the deadline moves */
void timer_cancel(struct ktimer *t);
/* For a wait_event that includes `expired` in its condition: wakes the queue when time is up. Deadline 0: never. */
struct timeout {
	struct ktimer timer;
	struct waitq *wait;
	bool expired;
};
void timeout_start(struct timeout *o, struct waitq *q, u64 deadline);
void timeout_end(struct timeout *o);
long sleep_until(u64 deadline); /* 0 or -EINTR */
void clock_rearm(bool idle);

/* futex.c */
long do_futex_wake(int *address, u32 count);

/* irq.c, trap.c */
void trap_init(void);
void trap_open_irq(int irq);
void irq_register(int irq, void (*handler)(struct pt_regs *));
void irq_register_shared(int irq, void (*fn)(void *), void *data); /* data: not NULL */
void do_irq(struct pt_regs *regs, int irq);
