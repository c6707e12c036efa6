/*
 * Run as /init: asks the kernel for everything that it promises, prints "ok NAME" or "FAIL NAME: …" for each and powers the machine
 * off with the number of failures. No library: what reaches the kernel is exactly what is written here.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long ulong;
#define NULL ((void *)0)

#ifdef __x86_64__
enum {
	NR_read = 0, NR_write = 1, NR_open = 2, NR_close = 3, NR_fstat = 5, NR_lseek = 8, NR_mmap = 9, NR_mprotect = 10,
	NR_munmap = 11, NR_brk = 12, NR_rt_sigaction = 13, NR_rt_sigprocmask = 14, NR_rt_sigreturn = 15, NR_ioctl = 16,
	NR_pread64 = 17, NR_pipe = 22, NR_sched_yield = 24, NR_dup2 = 33, NR_pause = 34, NR_nanosleep = 35, NR_getpid = 39,
	NR_fork = 57, NR_execve = 59, NR_exit = 60, NR_wait4 = 61, NR_kill = 62, NR_uname = 63, NR_fcntl = 72,
	NR_ftruncate = 77, NR_getcwd = 79, NR_chdir = 80, NR_rename = 82, NR_mkdir = 83, NR_rmdir = 84, NR_unlink = 87,
	NR_symlink = 88, NR_readlink = 89, NR_sysinfo = 99, NR_times = 100, NR_syslog = 103, NR_getppid = 110,
	NR_reboot = 169, NR_getdents64 = 217, NR_clock_gettime = 228, NR_tls = 158, NR_clone = 56, NR_futex = 202,
	NR_setaffinity = 203, NR_getaffinity = 204, NR_getcpu = 309,
};
static long call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	__asm__ volatile("syscall" : "+a"(nr) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return nr;
}
#define KERNEL_ADDRESS 0xffffffff80100000ul
#define HIGH_USER 0x00007fffffffe000ul
#else
enum {
	NR_exit = 1, NR_fork = 2, NR_read = 3, NR_write = 4, NR_open = 5, NR_close = 6, NR_unlink = 10, NR_execve = 11,
	NR_chdir = 12, NR_getpid = 20, NR_pause = 29, NR_kill = 37, NR_rename = 38, NR_mkdir = 39, NR_rmdir = 40,
	NR_pipe = 42, NR_times = 43, NR_brk = 45, NR_ioctl = 54, NR_fcntl = 55, NR_dup2 = 63, NR_getppid = 64,
	NR_symlink = 83, NR_readlink = 85, NR_reboot = 88, NR_munmap = 91, NR_ftruncate = 93, NR_syslog = 103,
	NR_wait4 = 114, NR_sysinfo = 116, NR_uname = 122, NR_mprotect = 125, NR_sched_yield = 158, NR_nanosleep = 162,
	NR_rt_sigreturn = 173, NR_rt_sigaction = 174, NR_rt_sigprocmask = 175, NR_pread64 = 180, NR_getcwd = 183,
	NR_mmap = 192, NR_fstat = 197, NR_lseek = 19, NR_getdents64 = 220, NR_tls = 243, NR_clock_gettime = 265,
	NR_clone = 120, NR_futex = 240, NR_setaffinity = 241, NR_getaffinity = 242, NR_getcpu = 318,
};
static long call(long nr, long a, long b, long c, long d, long e, long f)
{
	/* Six arguments need %ebp, which is better not named to gcc. */
	long args[2] = { a, f };
	__asm__ volatile("pushl %%ebp\n\tmovl 4(%%ebx),%%ebp\n\tmovl (%%ebx),%%ebx\n\tint $0x80\n\tpopl %%ebp"
			 : "+a"(nr), "+b"((long *){ args }) : "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
	return nr;
}
#define KERNEL_ADDRESS 0xC0100000ul
#define HIGH_USER 0xBFFFF000ul
#endif
#define S6(nr, a, b, c, d, e, f) call(NR_##nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define S4(nr, a, b, c, d) S6(nr, a, b, c, d, 0, 0)
#define S3(nr, a, b, c) S6(nr, a, b, c, 0, 0, 0)
#define S2(nr, a, b) S3(nr, a, b, 0)
#define S1(nr, a) S3(nr, a, 0, 0)
#define S0(nr) S3(nr, 0, 0, 0)

enum { EPERM = 1, ENOENT = 2, EINTR = 4, E2BIG = 7, ENOEXEC = 8, EBADF = 9, ECHILD = 10, EACCES = 13, EFAULT = 14,
       EAGAIN = 11, ENOMEM = 12, ENOTDIR = 20, EISDIR = 21, EINVAL = 22, ENOTTY = 25, EPIPE = 32, ENOSYS = 38, ENOTEMPTY = 39, ELOOP = 40, ETIMEDOUT = 110, ESRCH = 3 };
enum { SIGILL = 4, SIGTRAP = 5, SIGFPE = 8, SIGKILL = 9, SIGUSR1 = 10, SIGSEGV = 11, SIGPIPE = 13, SIGTERM = 15, SIGCHLD = 17,
       SIGCONT = 18, SIGSTOP = 19 };

void *memset(void *d, int c, ulong n)
{
	for (u8 *p = d; n--;)
		*p++ = c;
	return d;
}
void *memcpy(void *d, const void *s, ulong n)
{
	u8 *p = d;
	for (const u8 *q = s; n--;)
		*p++ = *q++;
	return d;
}
static ulong length(const char *s)
{
	ulong n = 0;
	while (s[n])
		n++;
	return n;
}
static int equal(const void *a, const void *b, ulong n)
{
	const u8 *x = a, *y = b;
	while (n && *x == *y)
		n--, x++, y++;
	return !n;
}
static void print(const char *s) { S3(write, 1, s, length(s)); }
static void print_number(long n)
{
	char b[24], *p = b + 23;
	ulong u = n < 0 ? -(ulong)n : (ulong)n;
	*p = 0;
	do
		*--p = '0' + u % 10;
	while (u /= 10);
	if (n < 0)
		*--p = '-';
	print(p);
}

static int failures;
static void expect(const char *name, long got, long want)
{
	if (got == want) {
		print("ok ");
		print(name);
	} else {
		failures++;
		print("FAIL ");
		print(name);
		print(": got ");
		print_number(got);
		print(", want ");
		print_number(want);
	}
	print("\n");
}

/* A child that does something; its status as wait4 gives it. */
static int in_child(void (*fn)(void))
{
	int status = -1;
	long pid = S0(fork);
	if (!pid) {
		fn();
		S1(exit, 0);
	}
	if (S4(wait4, pid, &status, 0, 0) != pid)
		return -1;
	return status;
}
#define EXITED(n) ((n) << 8)

static long map(ulong len, int prot) { return S6(mmap, 0, len, prot, 0x22, -1, 0); }
#define MAP_FAILED(p) ((ulong)(p) > -4096ul)

/* ---- Faults: they end the process that makes them, and nothing else ---- */

static const char text[] = "read only";
static void null_write(void) { *(volatile int *)8 = 1; }
static void kernel_read(void) { (void)*(volatile int *)KERNEL_ADDRESS; }
static void kernel_jump(void) { ((void (*)(void))KERNEL_ADDRESS)(); }
static void text_write(void) { *(volatile char *)text = 1; }
static void divide(void) { __asm__ volatile("xorl %%edx,%%edx; movl $1,%%eax; xorl %%ecx,%%ecx; divl %%ecx" ::: "eax", "edx", "ecx"); }
static void undefined(void) { __asm__ volatile("ud2"); }
static void breakpoint(void) { __asm__ volatile("int3"); }
static void privileged_cli(void) { __asm__ volatile("cli"); }
static void privileged_hlt(void) { __asm__ volatile("hlt"); }
static void privileged_cr3(void) { __asm__ volatile("mov %%cr3,%0; mov %0,%%cr3" ::"r"(0ul)); }
static void privileged_port(void) { __asm__ volatile("outb %%al,$0x80" ::"a"(0)); }
static void bad_selector(void) { __asm__ volatile("movl %0,%%ds" ::"r"(0x10)); }
static void floating(void) { __asm__ volatile("fninit"); }
static void single_step(void) { __asm__ volatile("pushf\n\torl $0x100,(%%esp)\n\tpopf\n\tnop" ::: "memory", "cc"); }
static void int_kernel(void) { __asm__ volatile("int $14"); }

static void check_faults(void)
{
	expect("write to page 0", in_child(null_write), SIGSEGV);
	expect("read of the kernel", in_child(kernel_read), SIGSEGV);
	expect("jump into the kernel", in_child(kernel_jump), SIGSEGV);
	expect("write to text", in_child(text_write), SIGSEGV);
	expect("division by zero", in_child(divide), SIGFPE);
	expect("undefined instruction", in_child(undefined), SIGILL);
	expect("breakpoint", in_child(breakpoint), SIGTRAP);
	expect("cli", in_child(privileged_cli), SIGSEGV);
	expect("hlt", in_child(privileged_hlt), SIGSEGV);
	expect("mov cr3", in_child(privileged_cr3), SIGSEGV);
	expect("out", in_child(privileged_port), SIGSEGV);
	expect("kernel selector", in_child(bad_selector), SIGSEGV);
	/* Not available, or not there at all. */
	int status = in_child(floating);
	expect("floating point", status == SIGFPE || status == SIGILL, 1);
	expect("int 14 by hand", in_child(int_kernel), SIGSEGV);
#ifndef __x86_64__
	expect("single step", in_child(single_step), SIGTRAP);
#else
	(void)single_step;
#endif
}

/* ---- Bad pointers: EFAULT ---- */

static void check_pointers(void)
{
	char *edge = (char *)map(4096, 3) + 4096 - 2;
	static const ulong bad[] = { 0, 8, KERNEL_ADDRESS, HIGH_USER + 0x1000, -1ul, -4096ul };
	int wrong = 0;

	for (ulong i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		wrong += S3(write, 1, bad[i], 16) != -EFAULT;
		wrong += S1(uname, bad[i]) != -EFAULT;
		wrong += S1(pipe, bad[i]) != -EFAULT;
		wrong += S3(open, bad[i], 0, 0) != -EFAULT;
		wrong += S1(sysinfo, bad[i]) != -EFAULT;
		wrong += S3(execve, "/init", bad[i] ? bad[i] : 8, 0) != -EFAULT;
		wrong += S3(execve, bad[i], 0, 0) != -EFAULT;
		if (bad[i]) {
			wrong += S4(rt_sigaction, SIGUSR1, bad[i], 0, 8) != -EFAULT;
			wrong += S4(rt_sigaction, SIGUSR1, 0, bad[i], 8) != -EFAULT;
		}
		wrong += S3(clock_gettime, 1, bad[i], 0) != -EFAULT;
		wrong += S2(nanosleep, bad[i], 0) != -EFAULT;
	}
	expect("bad pointers", wrong, 0);
	edge[0] = '/';
	edge[1] = 'x';
	expect("a string that runs off its page", S3(open, edge, 0, 0), -EFAULT);
	expect("a buffer that runs off its page", S3(write, 1, edge, 4), -EFAULT);
	expect("an unknown call", call(9999, 0, 0, 0, 0, 0, 0), -ENOSYS);
	expect("a negative call", call(-5, 0, 0, 0, 0, 0, 0), -ENOSYS);
}

/* ---- Memory ---- */

static volatile int shared_word = 1;
static void cow_child(void)
{
	if (shared_word != 1)
		S1(exit, 1);
	shared_word = 2;
	S1(exit, shared_word == 2 ? 7 : 1);
}
static volatile char *area;
static void area_write(void) { area[0] = 1; }
static void area_read(void) { (void)area[0]; }
static void area_jump(void) { ((void (*)(void))area)(); }
static ulong free_pages(void)
{
	struct { long up; ulong loads[3], total, free, rest[10]; char more[64]; } info;
	S1(sysinfo, &info);
	return info.free;
}
static int deep(int n)
{
	volatile char frame[1024];
	frame[0] = n;
	return n ? deep(n - 1) + frame[0] - (char)n + 1 : 0;
}
static void eat_all(void)
{
	for (;;) {
		char *p = (char *)map(1 << 20, 3);
		if (MAP_FAILED(p))
			S1(exit, 1);
		for (ulong i = 0; i < 1 << 20; i += 4096)
			p[i] = 1;
	}
}
static void overflow(void) { deep(16 << 10); }

static void check_memory(void)
{
	expect("copy on write, child", in_child(cow_child), EXITED(7));
	expect("copy on write, parent", shared_word, 1);
	area = (char *)map(3 * 4096, 3);
	int sum = 0;
	for (int i = 0; i < 3 * 4096; i++)
		sum += area[i];
	expect("new memory is zero", sum, 0);
	area[4096] = 5;
	expect("after reading it can be written", area[4096], 5);
	expect("munmap a hole", S2(munmap, area + 4096, 4096), 0);
	area[0] = area[8192] = 6;
	area += 4096;
	expect("the hole is gone", in_child(area_read), SIGSEGV);
	area -= 4096;
	expect("mprotect across a hole", S3(mprotect, area, 3 * 4096, 1), -12);
	expect("mprotect", S3(mprotect, area, 4096, 1), 0);
	expect("a protected page", in_child(area_write), SIGSEGV);
	expect("read it still", area[0], 6);
	expect("mprotect back", S3(mprotect, area, 4096, 3), 0);
	area[0] = 9;
	expect("write again", area[0], 9);
	expect("PROT_NONE", S3(mprotect, area, 4096, 0), 0);
	expect("nothing", in_child(area_read), SIGSEGV);
	expect("mprotect back again", S3(mprotect, area, 4096, 3), 0);
	expect("the contents are the same", area[0], 9);
#ifdef __x86_64__
	*(volatile u8 *)area = 0xc3;
	expect("data cannot be executed", in_child(area_jump), SIGSEGV);
#endif
	S3(mprotect, area, 4096, 7);
	*(volatile u8 *)area = 0xc3;
	expect("until mprotect says so", in_child(area_jump), 0);
	ulong brk = S1(brk, 0);
	expect("brk up", S1(brk, brk + 100000), brk + 100000);
	((volatile char *)brk)[99999] = 4;
	expect("brk down", S1(brk, brk), brk);
	expect("brk up again", S1(brk, brk + 100000), brk + 100000);
	expect("and zero again", ((volatile char *)brk)[99999], 0);
	expect("a deep stack", deep(2000), 2000);
	/* With less memory than the stack may have, memory runs out first. */
	expect("too deep a stack", in_child(overflow), free_pages() < 2100 ? SIGKILL : SIGSEGV);
	expect("an absurd mapping", MAP_FAILED(map(-1ul & ~4095ul, 3)), 1);
	expect("an empty mapping", map(0, 3), -EINVAL);
	ulong before = free_pages();
	/* i386 with 3 GiB runs out of addresses first. */
	expect("eating all memory", in_child(eat_all), sizeof(long) == 4 && before > 700000 ? EXITED(1) : SIGKILL);
	expect("all of it comes back", free_pages(), before);
	for (int i = 0; i < 50; i++)
		in_child(cow_child);
	expect("processes leave nothing behind", free_pages(), before);
}

/* ---- Signals ---- */

struct action {
	void (*handler)(int);
	ulong flags;
	void (*restorer)(void);
	u64 mask;
} __attribute__((packed, aligned(4)));
void restorer(void);
#ifdef __x86_64__
__asm__("restorer: movl $15,%eax\n\tsyscall");
#else
__asm__("restorer: movl $173,%eax\n\tint $0x80");
#endif
static volatile int handled, depth, max_depth;
static void handler(int sig) { handled += sig; }
static void nested(int sig)
{
	if (++depth > max_depth)
		max_depth = depth;
	if (handled++ < 3)
		S2(kill, S0(getpid), sig);
	depth--;
}
static long catch(int sig, void (*fn)(int), ulong flags)
{
	struct action a = { fn, flags | 0x04000000, restorer, 0 };
	return S4(rt_sigaction, sig, &a, NULL, 8);
}
static volatile ulong fault_target;
static void fix_fault(int sig)
{
	(void)sig;
	S3(mprotect, fault_target, 4096, 3);
	handled++;
}
static void spin(void) { for (;;); }
static void spin_killed(void) { S2(kill, S0(getppid), SIGUSR1), spin(); }
static void die_by_term(void) { S2(kill, S0(getpid), SIGTERM), S1(exit, 1); }
static void garbage_return(void)
{
	/* A frame that is none: the kernel must not let it do harm. */
	static u8 junk[4096] __attribute__((aligned(16)));
	for (int i = 0; i < 4096; i++)
		junk[i] = i * 37 + 11;
#ifdef __x86_64__
	__asm__ volatile("movq %0,%%rsp; movl $15,%%eax; syscall; hlt" ::"r"(junk + 512));
#else
	__asm__ volatile("movl %0,%%esp; movl $173,%%eax; int $0x80; hlt" ::"r"(junk + 512));
#endif
}

static void check_signals(void)
{
	int fd[2], status;
	char c;
	struct { long sec, nsec; } ms10 = { 0, 10000000 }, s2 = { 2, 0 };
	long pid;

	expect("sigaction", catch(SIGUSR1, handler, 0), 0);
	expect("no handler for SIGKILL", catch(SIGKILL, handler, 0), -EINVAL);
	handled = 0;
	S2(kill, S0(getpid), SIGUSR1);
	expect("a handler runs", handled, SIGUSR1);
	catch(SIGUSR1, nested, 0);
	handled = depth = max_depth = 0;
	S2(kill, S0(getpid), SIGUSR1);
	expect("a signal waits for its handler", max_depth, 1);
	expect("and is not lost", handled, 4);
	catch(SIGUSR1, nested, 0x40000000);
	handled = depth = max_depth = 0;
	S2(kill, S0(getpid), SIGUSR1);
	expect("unless it need not wait", max_depth, 4);

	u64 mask = 1ull << (SIGUSR1 - 1), none = 0;
	catch(SIGUSR1, handler, 0);
	handled = 0;
	S4(rt_sigprocmask, 0, &mask, NULL, 8);
	S2(kill, S0(getpid), SIGUSR1);
	expect("a blocked signal waits", handled, 0);
	S4(rt_sigprocmask, 2, &none, NULL, 8);
	expect("and comes when it may", handled, SIGUSR1);

	fault_target = map(4096, 1);
	catch(SIGSEGV, fix_fault, 0);
	handled = 0;
	*(volatile int *)fault_target = 77;
	expect("a fault that its handler mends", *(volatile int *)fault_target, 77);
	expect("once", handled, 1);
	catch(SIGSEGV, (void (*)(int))0, 0);

	expect("SIGTERM", in_child(die_by_term), SIGTERM);
	expect("a garbage sigreturn", in_child(garbage_return), SIGSEGV);

	/* A child that spins, killed while we sleep: preemption. */
	catch(SIGUSR1, handler, 0);
	handled = 0;
	pid = S0(fork);
	if (!pid)
		spin_killed();
	while (!handled)
		S0(sched_yield);
	S2(nanosleep, &ms10, NULL);
	S2(kill, pid, SIGKILL);
	S4(wait4, pid, &status, 0, 0);
	expect("a spinning child is killed", status, SIGKILL);

	/* A signal in a blocking read: EINTR, or the read goes on. */
	for (int restart = 0; restart < 2; restart++) {
		S1(pipe, fd);
		catch(SIGUSR1, handler, restart ? 0x10000000 : 0);
		pid = S0(fork);
		if (!pid) {
			S2(nanosleep, &ms10, NULL);
			S2(kill, S0(getppid), SIGUSR1);
			S2(nanosleep, &ms10, NULL);
			S3(write, fd[1], "z", 1);
			S1(exit, 0);
		}
		handled = 0;
		long r = S3(read, fd[0], &c, 1);
		expect(restart ? "a read that goes on" : "a read that is interrupted", r, restart ? 1 : -EINTR);
		expect("its handler ran", handled, SIGUSR1);
		S4(wait4, pid, &status, 0, 0);
		S1(close, fd[0]);
		S1(close, fd[1]);
	}
	pid = S0(fork);
	if (!pid) {
		S2(nanosleep, &ms10, NULL);
		S2(kill, S0(getppid), SIGUSR1);
		S1(exit, 0);
	}
	expect("an interrupted sleep", S2(nanosleep, &s2, &s2), -EINTR);
	expect("tells what was left", s2.sec, 1);
	S4(wait4, pid, &status, 0, 0);

	S1(pipe, fd);
	S1(close, fd[0]);
	catch(SIGPIPE, (void (*)(int))1, 0);
	expect("EPIPE", S3(write, fd[1], "x", 1), -EPIPE);
	S1(close, fd[1]);
	catch(SIGUSR1, (void (*)(int))0, 0);

	pid = S0(fork);
	if (!pid)
		spin();
	S2(kill, pid, SIGSTOP);
	S2(nanosleep, &ms10, NULL);
	S2(kill, pid, SIGCONT);
	expect("running again", S4(wait4, pid, &status, 1, 0), 0);
	S2(kill, pid, SIGTERM);
	S4(wait4, pid, &status, 0, 0);
	expect("stopped, continued, ended", status, SIGTERM);
}

/* ---- Processes ---- */

static void orphan_maker(void)
{
	if (!S0(fork)) {
		struct { long sec, nsec; } ms = { 0, 1000000 };
		S2(nanosleep, &ms, NULL);
		S1(exit, S0(getppid) == 1 ? 33 : 1);
	}
}
static void exec_self(void)
{
	char *argv[] = { "/init", "child", "two words", NULL }, *envp[] = { "X=y", NULL };
	S3(execve, "/init", argv, envp);
}
static void exec_script(void)
{
	char *argv[] = { "script", "last", NULL };
	S3(execve, "/tmp/script", argv, NULL);
	S1(exit, 99);
}

static void check_processes(void)
{
	int status, fd;
	static char big[9000];
	char *argv[] = { big, NULL };

	expect("no children", S4(wait4, -1, &status, 0, 0), -ECHILD);
	in_child(orphan_maker);
	expect("init inherits", S4(wait4, -1, &status, 0, 0) > 0 ? status : -1, EXITED(33));
	expect("exec with arguments", in_child(exec_self), EXITED(42));
	memset(big, 'x', sizeof(big) - 1);
	expect("too many arguments", S3(execve, "/init", argv, NULL), -E2BIG);
	expect("exec of nothing", S3(execve, "/none", NULL, NULL), -ENOENT);
	expect("exec of a directory", S3(execve, "/tmp", NULL, NULL), -EACCES);
	fd = S3(open, "/tmp/junk", 0102, 0755);
	S3(write, fd, "\177ELF and then nothing that makes sense at all, for longer than a header is", 74);
	S1(close, fd);
	expect("exec of junk", S3(execve, "/tmp/junk", NULL, NULL), -ENOEXEC);
	fd = S3(open, "/tmp/script", 0102, 0755);
	S3(write, fd, "#!/init script\n", 15);
	S1(close, fd);
	expect("exec of a script", in_child(exec_script), EXITED(43));

	/* Two spinners share the processor: both advance while we wait. */
	volatile int *count = (volatile int *)map(4096, 3);
	(void)count;
	long a = S0(fork);
	if (!a)
		spin();
	long b = S0(fork);
	if (!b)
		spin();
	struct { long sec, nsec; } ms = { 0, 300000000 }, t0, t1;
	S2(clock_gettime, 1, &t0);
	S2(nanosleep, &ms, NULL);
	S2(clock_gettime, 1, &t1);
	long slept = (t1.sec - t0.sec) * 1000 + (t1.nsec - t0.nsec) / 1000000;
	expect("sleep is long enough", slept >= 300, 1);
	S2(kill, a, SIGKILL);
	S2(kill, b, SIGKILL);
	long times[4];
	long ru[18];
	S4(wait4, a, &status, 0, ru);
	times[0] = ru[1];
	S4(wait4, b, &status, 0, ru);
	times[1] = ru[1];
	expect("one spinner had its share", times[0] >= 50000, 1);
	expect("so had the other", times[1] >= 50000, 1);
}

/* ---- Files ---- */

static void check_files(void)
{
	char buf[8192], path[64];
	int fd, fd2, status[2];
	static const char data[] = "0123456789";

	fd = S3(open, "/tmp/f", 0102, 0644);
	expect("create", fd > 2, 1);
	for (int i = 0; i < 1000; i++)
		S3(write, fd, data, 10);
	expect("where it stands", S3(lseek, fd, 0, 1), 10000);
	expect("pread", S6(pread64, fd, buf, 10, 4090, 0, 0), 10);
	expect("across pages", equal(buf, data, 10), 1);
	S3(lseek, fd, 20000, 0);
	S3(write, fd, "end", 3);
	S3(lseek, fd, 12000, 0);
	S3(read, fd, buf, 8000);
	int sum = 0;
	for (int i = 0; i < 8000; i++)
		sum += buf[i];
	expect("a hole is zero", sum, 0);
	S2(ftruncate, fd, 5000);
	S2(ftruncate, fd, 6000);
	expect("cut and grown", S6(pread64, fd, buf, 8192, 4990, 0, 0), 1010);
	expect("the rest is zero", buf[10] | buf[1009], 0);
	expect("rename", S2(rename, "/tmp/f", "/tmp/g"), 0);
	expect("the old name is gone", S3(open, "/tmp/f", 0, 0), -ENOENT);
	expect("unlink", S1(unlink, "/tmp/g"), 0);
	expect("still readable", S6(pread64, fd, buf, 10, 0, 0, 0), 10);
	S1(close, fd);
	expect("bad descriptor", S3(read, fd, buf, 1), -EBADF);
	expect("mkdir", S2(mkdir, "/tmp/d", 0755), 0);
	expect("mkdir below", S2(mkdir, "/tmp/d/e", 0755), 0);
	expect("rmdir of a full one", S1(rmdir, "/tmp/d"), -ENOTEMPTY);
	expect("into itself", S2(rename, "/tmp/d", "/tmp/d/e/x"), -EINVAL);
	S1(chdir, "/tmp/d/e");
	expect("getcwd", S2(getcwd, path, 64), 9);
	expect("its text", equal(path, "/tmp/d/e", 9), 1);
	expect("relative", S3(open, "../../d/e/../e", 0, 0) > 0, 1);
	S1(chdir, "/");
	S2(symlink, "/tmp/loop", "/tmp/loop");
	expect("a link in circles", S3(open, "/tmp/loop", 0, 0), -ELOOP);
	S2(symlink, "d/e", "/tmp/link");
	expect("a relative link", S1(chdir, "/tmp/link"), 0);
	expect("readlink", S3(readlink, "/tmp/link", path, 64), 3);
	S1(chdir, "/");
	expect("a file is no directory", S3(open, "/init/x", 0, 0), -ENOTDIR);
	expect("a directory is no file", S3(open, "/tmp", 1, 0), -EISDIR);
	fd = S3(open, "/tmp", 0200000, 0);
	int names = 0, n;
	while ((n = S3(getdents64, fd, buf, 64)) > 0)
		for (int at = 0; at < n; at += *(u16 *)(buf + at + 16))
			names++;
	expect("names in /tmp", names >= 5, 1);
	S1(close, fd);

	fd = S3(open, "/dev/null", 2, 0);
	expect("null", S3(write, fd, buf, 100), 100);
	expect("null is empty", S3(read, fd, buf, 100), 0);
	expect("no terminal", S3(ioctl, fd, 0x5401, buf), -ENOTTY);
	fd2 = S2(dup2, fd, 40);
	expect("dup2", fd2, 40);
	S1(close, 40);
	S1(close, fd);
	S1(pipe, status);
	S3(write, status[1], "abc", 3);
	S1(close, status[1]);
	expect("pipe", S3(read, status[0], buf, 10), 3);
	expect("the end of a pipe", S3(read, status[0], buf, 10), 0);
	S1(close, status[0]);

	fd = S3(open, "/proc/self/stat", 0, 0);
	expect("/proc/self/stat", S3(read, fd, buf, 8000) > 50, 1);
	expect("is of init", equal(buf, "1 (init) R", 10), 1);
	S1(close, fd);
	fd = S3(open, "/proc/meminfo", 0, 0);
	expect("/proc/meminfo", S3(read, fd, buf, 8000) > 50 && equal(buf, "MemTotal:", 9), 1);
	S1(close, fd);
	expect("the log", S3(syslog, 3, buf, 8000) > 50, 1);
}

/* ---- Thread-local storage, flags ---- */

static ulong tls_word[4] = { 11, 22, 33, 44 };
static void check_tls(void)
{
	ulong v;
#ifdef __x86_64__
	expect("set %fs", S2(tls, 0x1002, tls_word), 0);
	S0(sched_yield);
	struct { long sec, nsec; } ms = { 0, 1000000 };
	S2(nanosleep, &ms, NULL);
	__asm__ volatile("movq %%fs:8,%0" : "=r"(v));
	expect("no kernel address for it", S2(tls, 0x1002, KERNEL_ADDRESS), -EPERM);
#else
	u32 desc[4] = { -1u, (u32)tls_word, 0xfffff, 0x51 };
	expect("set_thread_area", S1(tls, desc), 0);
	__asm__ volatile("movl %0,%%gs" ::"r"(desc[0] * 8 + 3));
	struct { long sec, nsec; } ms = { 0, 1000000 };
	S2(nanosleep, &ms, NULL);
	__asm__ volatile("movl %%gs:4,%0" : "=r"(v));
	/* The descriptor goes while %gs names it. */
	u32 gone[4] = { desc[0], 0, 0, 0x28 };
	S1(tls, gone);
	S2(nanosleep, &ms, NULL);
#endif
	expect("thread-local word", v, 22);

	/* Flags that a user may set must not disturb the kernel: direction, nested task, alignment check. */
	ulong flags;
	__asm__ volatile("push %1\n\tpopf" : "=m"(flags) : "r"(0x44402ul | 0x200) : "memory", "cc");
	S0(sched_yield);
	long pid = S0(getpid);
	__asm__ volatile("pushf\n\tpop %0\n\tpush %1\n\tpopf" : "=r"(flags) : "r"(0x202ul) : "memory", "cc");
	expect("odd flags are the user's own", pid == 1 && (flags & 0x400), 1);
}

/* ---- Registers survive interrupts and system calls ---- */

static void check_registers(void)
{
	long bad = 0;
	for (int round = 0; round < 2000000; round++) {
		ulong a = round, b = round * 3, c = ~a;
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c));
		bad += a != (ulong)round || b != (ulong)(round * 3) || c != ~(ulong)round;
	}
	expect("registers survive", bad, 0);
}

/* ---- Random calls with random arguments: the kernel stays up, and so does everyone else ---- */

static u64 seed;
static u32 random(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return seed >> 33;
}
static long random_argument(void)
{
	static const long interesting[] = { 0, 1, 2, 3, -1, -2, 4096, 0x1000000, -4096, 0x7fffffff, 255, 64, 0x102, 8 };
	static char buffer[65536] __attribute__((aligned(4096)));
	static const char *const paths[] = { "/tmp", "/tmp/a", "/proc/self/maps", "..", "/dev/zero", "/tmp/a/b", "/dev/null", "/" };

	switch (random() % 8) {
	case 0:
		return KERNEL_ADDRESS + random() % 65536;
	case 1:
		return (long)((ulong)random() << (sizeof(long) * 4 - 1) ^ random());
	case 2:
	case 3:
		return (long)(buffer + random() % 65536);
	case 4:
		return (long)paths[random() % 8];
	case 5:
		return random() % 16;
	default:
		return interesting[random() % (sizeof(interesting) / sizeof(interesting[0]))];
	}
}
static void random_calls(void)
{
	/* The console shall not be written to. */
	for (int i = 0; i < 3; i++)
		S1(close, i);
	for (int n = 0; n < 3000; n++) {
		long nr = random() % 410;
		/* Not those that multiply, wait for ever, shoot others or turn the machine off. */
		if (nr == NR_fork || nr == NR_reboot || nr == NR_kill || nr == NR_pause || nr == NR_nanosleep || nr == NR_exit)
			continue;
#ifdef __x86_64__
		if (nr == 56 || nr == 58 || nr == 130 || nr == 200 || nr == 230 || nr == 231 || nr == 234 || nr == 103)
			continue;
#else
		if (nr == 120 || nr == 190 || nr == 179 || nr == 238 || nr == 267 || nr == 252 || nr == 270 || nr == 103)
			continue;
#endif
		call(nr, random_argument(), random_argument(), random_argument(), random_argument(), random_argument(),
		     random_argument());
	}
}
static void check_random(void)
{
	struct { long sec, nsec; } ms100 = { 0, 100000000 };
	int status;

	for (int i = 0; i < 40; i++) {
		long pid = S0(fork);
		if (!pid) {
			seed = i;
			random_calls();
			S1(exit, 0);
		}
		/* It may well wait for something that never comes. */
		S2(nanosleep, &ms100, NULL);
		S2(kill, pid, SIGKILL);
		S4(wait4, pid, &status, 0, 0);
	}
	expect("random calls", in_child(cow_child), EXITED(7));
}

/* ---- Memory, words and processors that several processes share ---- */

static volatile int *common; /* MAP_SHARED | MAP_ANONYMOUS */
static void common_write(void) { common[0] = 11, common[2000] = 12; }
static void common_closed(void) { common[1] = 1; }
static void wake_later(void)
{
	struct { long sec, nsec; } ms20 = { 0, 20000000 };
	S2(nanosleep, &ms20, NULL);
	common[4] = 1;
	S1(exit, S3(futex, &common[4], 1, 1) != 1);
}
static void pinned(void)
{
	ulong mask;
	u32 cpu;
	S3(getaffinity, 0, sizeof(mask), &mask);
	for (u32 n = 0; n < 16; n++) {
		ulong one = 1ul << n;
		if (!(mask & one))
			continue;
		for (int i = 0; i < 5; i++)
			if (S3(setaffinity, 0, sizeof(one), &one) || S3(getcpu, &cpu, 0, 0) || cpu != n)
				S1(exit, 1 + n);
	}
}

static u8 clone_stack[8192] __attribute__((aligned(16)));
static volatile int cloned, clone_tid = -1;

static void check_sharing(void)
{
	struct { long sec, nsec; } ms20 = { 0, 20000000 };
	ulong mask = 0, beyond = 1ul << 31;
	int status;

	common = (void *)S6(mmap, 0, 16384, 3, 0x21, -1, 0);
	expect("mmap shared", MAP_FAILED(common), 0);
	common[1] = 5;
	expect("child writes to it", in_child(common_write), 0);
	expect("parent reads that", common[0] * 100 + common[2000], 1112);
	S3(mprotect, common, 4096, 1);
	expect("closed to writing", in_child(common_closed) & 127, SIGSEGV);
	S3(mprotect, common, 4096, 3);
	common_closed();
	expect("open again", common[1] * 100 + common[0], 111);
	expect("mmap shared, too much", S6(mmap, 0, 1l << 30, 3, 0x21, -1, 0), -ENOMEM);

	expect("futex, other value", S4(futex, &common[4], 0, 1, 0), -EAGAIN);
	expect("futex timeout", S4(futex, &common[4], 0, 0, &ms20), -ETIMEDOUT);
	expect("futex wake nobody", S3(futex, &common[4], 1, 1), 0);
	expect("futex odd address", S3(futex, (ulong)&common[4] + 1, 1, 1), -EINVAL);
	expect("futex no memory", S4(futex, 8, 0, 0, 0), -EFAULT);
	expect("futex other operation", S3(futex, &common[4], 9, 1), -ENOSYS);
	long pid = S0(fork);
	if (!pid)
		wake_later();
	expect("futex woken", S4(futex, &common[4], 0, 0, 0), 0);
	S4(wait4, pid, &status, 0, 0);
	expect("futex waker", status, 0);

	expect("getaffinity", S3(getaffinity, 0, sizeof(mask), &mask), sizeof(mask));
	expect("getaffinity has the first", mask & 1, 1);
	expect("getaffinity size", S3(getaffinity, 0, 1, &mask), -EINVAL);
	expect("getaffinity of nobody", S3(getaffinity, 31000, sizeof(mask), &mask), -ESRCH);
	expect("setaffinity nowhere", S3(setaffinity, 0, sizeof(beyond), &beyond), -EINVAL);
	expect("setaffinity pointer", S3(setaffinity, 0, sizeof(mask), 8), -EFAULT);
	expect("on each processor in turn", in_child(pinned), 0);
	expect("yield", S0(sched_yield), 0);

	expect("clone of a thread", S2(clone, 0x10f00, clone_stack + sizeof(clone_stack)), -EINVAL);
	/* CLONE_VM, CLEARTID, SIGCHLD. The child has a stack of its own, on which it makes two calls and ends. */
	long tid_argument[2] = { 0, 0 };
	tid_argument[sizeof(long) == 8 ? 0 : 1] = (long)&clone_tid;
	pid = S6(clone, 0x200111, clone_stack + sizeof(clone_stack) - 256, 0, tid_argument[0], tid_argument[1], 0);
	if (!pid) {
		cloned = 77;
		S1(exit, 9);
	}
	expect("clone", pid > 0, 1);
	/* Its end is a word that becomes 0, and a wake-up. */
	while (clone_tid)
		S4(futex, &clone_tid, 0, -1, &ms20);
	expect("clone's end", S4(wait4, pid, &status, 0, 0), pid);
	expect("clone's status", status, EXITED(9));
	expect("clone's memory is ours", cloned, 77);
	S2(munmap, common, 16384);
}

__attribute__((used)) void entry(ulong *stack)
{
	long argc = stack[0];
	char **argv = (char **)(stack + 1);

	if (argc == 3 && equal(argv[1], "child", 6)) {
		char **envp = argv + argc + 1;
		S1(exit, equal(argv[2], "two words", 10) && equal(envp[0], "X=y", 4) && !envp[1] ? 42 : 1);
	}
	if (argc == 4 && equal(argv[1], "script", 7))
		S1(exit, equal(argv[2], "/tmp/script", 12) && equal(argv[3], "last", 5) ? 43 : 2);
	check_pointers();
	check_faults();
	check_memory();
	check_signals();
	check_processes();
	check_files();
	check_tls();
	check_registers();
	check_sharing();
	shared_word = 1;
	check_random();
	print(failures ? "checks FAILED\n" : "checks passed\n");
	S4(reboot, 0xfee1dead, 672274793, 0x4321fedc, failures > 100 ? 100 : failures);
}
#ifdef __x86_64__
__asm__(".globl _start\n_start: movq %rsp,%rdi\n\tandq $-16,%rsp\n\tcall entry");
#else
__asm__(".globl _start\n_start: movl %esp,%eax\n\tpushl %eax\n\tcall entry");
#endif
