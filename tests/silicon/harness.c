/*
 * Executes instructions on the real processor and reports what they did: the oracle for the simulated one.
 *
 * Reads one batch of cases from standard input and writes one result for each to standard output (layouts below; all
 * integers little-endian). A case is a complete user-mode state. There is no code around the instruction under test that
 * could disturb it: a case is entered by sigreturn, which loads every register at once, and left by the signal that its
 * end raises, whose frame holds every register exactly. The end is the single-step trap (TF set in the case's flags), the
 * INT3 placed behind the instruction, or the instruction's own fault. The handler records one case and loads the next.
 *
 * Freestanding, statically linked, no libc: then nothing depends on FS and GS, which cases change, and the address space
 * below 4 GiB is ours, so that the simulated processor can have the very same map.
 */
#include <stddef.h>
#include <stdint.h>
#include <asm/ldt.h>
#include <asm/signal.h>
#include <asm/siginfo.h>
#include <asm/sigcontext.h>
#include <asm/ucontext.h>
#include <asm/unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define PAGE 4096
#define MAX_REGIONS 16
#define PATCHES 8
#define DIFFS 6

/* The batch: one header, then the regions, the LDT, the regions' initial bytes, the cases. */
struct header {
	u32 magic, cases, regions, descriptors, test_bytes, result_bytes;
};

/* Memory that exists during every case; everything else below 4 GiB is unmapped. prot is mmap's. */
struct region {
	u32 address, bytes, prot, pad;
};

struct patch {
	u64 address, value;
};

struct test {
	u64 gpr[16]; /* in encoding order */
	u64 rip, rflags, fs_base, gs_base;
	u16 cs, ss, ds, es, fs, gs;
	u16 code_bytes, patches;
	u64 code_address; /* linear */
	u8 code[24];
	struct patch patch[PATCHES]; /* 8-byte values put into memory beforehand, at any address */
};

struct result {
	u64 gpr[16];
	u64 rip, rflags, fs_base, gs_base, cr2;
	u16 cs, ss, ds, es, fs, gs;
	u16 vector, pad;
	u32 error, diffs;	    /* diffs: 8-byte words of memory that differ from the initial state */
	u64 hash;		    /* over all of them */
	struct patch diff[DIFFS]; /* the first of them */
};

static struct header *header;
static struct region *regions;
static u8 *pristine[MAX_REGIONS];
static struct test *tests;
static struct result *results;
static u32 current;
static int started, has_fsgsbase;
static u8 handler_stack[1 << 16] __attribute__((aligned(64)));

static long syscall3(long number, long a, long b, long c)
{
	long result;
	asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 asm("r10") = d;
	register long r8 asm("r8") = e;
	register long r9 asm("r9") = f;
	long result;
	asm volatile("syscall"
		     : "=a"(result)
		     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		     : "rcx", "r11", "memory");
	return result;
}

void *memcpy(void *to, const void *from, size_t bytes)
{
	void *result = to;
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return result;
}

void *memset(void *to, int value, size_t bytes)
{
	void *result = to;
	asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
	return result;
}

static void die(const char *why)
{
	size_t n = 0;
	while (why[n])
		n++;
	syscall3(__NR_write, 2, (long)why, n);
	syscall3(__NR_write, 2, (long)"\n", 1);
	syscall3(__NR_exit_group, 2, 0, 0);
	__builtin_unreachable();
}

static void *map(u64 address, u64 bytes, int prot)
{
	/* MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, and MAP_FIXED_NOREPLACE for a given address. */
	long flags = 0x02 | 0x20 | 0x8000 | (address ? 0x100000 : 0);
	long result = syscall6(__NR_mmap, address, bytes, prot, flags, -1, 0);
	if (result < 0 && result > -4096)
		die("mmap failed");
	if (address && (u64)result != address)
		die("mmap gave another address");
	return (void *)result;
}

static u64 read_fs_base(void)
{
	u64 base;
	if (has_fsgsbase)
		asm volatile(".byte 0xf3,0x48,0x0f,0xae,0xc0" : "=a"(base)); /* rdfsbase %rax */
	else
		syscall3(__NR_arch_prctl, 0x1003, (long)&base, 0);
	return base;
}

static u64 read_gs_base(void)
{
	u64 base;
	if (has_fsgsbase)
		asm volatile(".byte 0xf3,0x48,0x0f,0xae,0xc8" : "=a"(base)); /* rdgsbase %rax */
	else
		syscall3(__NR_arch_prctl, 0x1004, (long)&base, 0);
	return base;
}

static void load_segments(const struct test *t)
{
	asm volatile("mov %0,%%ds\n mov %1,%%es\n mov %2,%%fs\n mov %3,%%gs"
		     :
		     : "r"((u32)t->ds), "r"((u32)t->es), "r"((u32)t->fs), "r"((u32)t->gs));
	/* A selector has brought its own base; a null one takes the case's. */
	if ((t->fs & ~3) == 0) {
		if (has_fsgsbase)
			asm volatile(".byte 0xf3,0x48,0x0f,0xae,0xd0" : : "a"(t->fs_base));
		else
			syscall3(__NR_arch_prctl, 0x1002, t->fs_base, 0);
	}
	if ((t->gs & ~3) == 0) {
		if (has_fsgsbase)
			asm volatile(".byte 0xf3,0x48,0x0f,0xae,0xd8" : : "a"(t->gs_base));
		else
			syscall3(__NR_arch_prctl, 0x1001, t->gs_base, 0);
	}
}

static void prepare(const struct test *t)
{
	for (u32 i = 0; i < t->patches; i++)
		memcpy((void *)t->patch[i].address, &t->patch[i].value, 8);
	memcpy((void *)t->code_address, t->code, t->code_bytes);
}

/* What the case left in memory, against the initial bytes; puts those back. */
static void collect(struct result *r)
{
	typedef u64 vector __attribute__((vector_size(16)));
	r->hash = 0xcbf29ce484222325;
	for (u32 i = 0; i < header->regions; i++) {
		if (!(regions[i].prot & 2))
			continue;
		u8 *now = (u8 *)(u64)regions[i].address, *was = pristine[i];
		for (u32 at = 0; at < regions[i].bytes; at += 64) {
			vector *a = (vector *)(now + at), *b = (vector *)(was + at);
			vector x = (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]);
			if (!(x[0] | x[1]))
				continue;
			for (u32 word = at; word < at + 64; word += 8) {
				u64 *p = (u64 *)(now + word), old = *(u64 *)(was + word);
				if (*p == old)
					continue;
				u64 address = regions[i].address + word;
				if (r->diffs < DIFFS)
					r->diff[r->diffs] = (struct patch){ address, *p };
				r->diffs++;
				r->hash = (r->hash ^ address ^ *p) * 0x100000001b3;
				*p = old;
			}
		}
	}
}

static void finish(void)
{
	u8 *from = (u8 *)results;
	u64 left = (u64)header->cases * sizeof(struct result);
	while (left > 0) {
		long n = syscall3(__NR_write, 1, (long)from, left);
		if (n <= 0)
			die("write failed");
		from += n;
		left -= n;
	}
	syscall3(__NR_exit_group, 0, 0, 0);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	struct sigcontext *sc = (struct sigcontext *)&((struct ucontext *)context)->uc_mcontext;

	/* AC, NT and ID of the case are still set: sigreturn would keep the latter two. */
	asm volatile("pushq $2\n popfq" : : : "cc", "memory");

	if (started) {
		struct result *r = &results[current];
		u64 gpr[16] = { sc->rax, sc->rcx, sc->rdx, sc->rbx, sc->rsp, sc->rbp, sc->rsi, sc->rdi,
				sc->r8,	 sc->r9,  sc->r10, sc->r11, sc->r12, sc->r13, sc->r14, sc->r15 };
		for (int i = 0; i < 16; i++)
			r->gpr[i] = gpr[i];
		r->rip = sc->rip;
		r->rflags = sc->eflags;
		r->cr2 = sc->cr2;
		r->cs = sc->cs;
		r->ss = sc->ss;
		u32 ds, es, fs, gs;
		asm volatile("mov %%ds,%0\n mov %%es,%1\n mov %%fs,%2\n mov %%gs,%3"
			     : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
		r->ds = ds;
		r->es = es;
		r->fs = fs;
		r->gs = gs;
		r->fs_base = read_fs_base();
		r->gs_base = read_gs_base();
		r->vector = sc->trapno;
		r->error = sc->err;
		collect(r);
		current++;
	}
	started = 1;
	if (current == header->cases)
		finish();

	const struct test *t = &tests[current];
	prepare(t);
	sc->rax = t->gpr[0];
	sc->rcx = t->gpr[1];
	sc->rdx = t->gpr[2];
	sc->rbx = t->gpr[3];
	sc->rsp = t->gpr[4];
	sc->rbp = t->gpr[5];
	sc->rsi = t->gpr[6];
	sc->rdi = t->gpr[7];
	sc->r8 = t->gpr[8];
	sc->r9 = t->gpr[9];
	sc->r10 = t->gpr[10];
	sc->r11 = t->gpr[11];
	sc->r12 = t->gpr[12];
	sc->r13 = t->gpr[13];
	sc->r14 = t->gpr[14];
	sc->r15 = t->gpr[15];
	sc->rip = t->rip;
	sc->eflags = t->rflags;
	sc->cs = t->cs;
	sc->ss = t->ss;
	load_segments(t);
}

/* The C library's restorer; the kernel's sigaction wants one. */
void restorer(void);
asm(".globl restorer\nrestorer:\n mov $15,%eax\n syscall\n");

struct kernel_sigaction {
	void *handler;
	u64 flags;
	void *restorer;
	u64 mask;
};

static void handle(int signal)
{
	/* SA_SIGINFO | SA_ONSTACK | SA_RESTORER; everything else masked. */
	struct kernel_sigaction action = { on_signal, 0x4 | 0x08000000 | 0x04000000, restorer, ~0ull };
	if (syscall6(__NR_rt_sigaction, signal, (long)&action, 0, 8, 0, 0))
		die("sigaction failed");
}

/* A segment descriptor as the processor knows it, told to Linux in its own words. */
static void set_descriptor(u32 index, u64 d)
{
	struct user_desc u;
	memset(&u, 0, sizeof(u));
	u.entry_number = index;
	u.base_addr = ((d >> 16) & 0xffffff) | ((d >> 32) & 0xff000000);
	u.limit = (d & 0xffff) | ((d >> 32) & 0xf0000);
	u.seg_32bit = d >> 54;
	u.contents = d >> 42;
	u.read_exec_only = !((d >> 41) & 1);
	u.limit_in_pages = d >> 55;
	u.seg_not_present = !((d >> 47) & 1);
	u.useable = d >> 52;
	if (syscall3(__NR_modify_ldt, 0x11, (long)&u, sizeof(u)))
		die("modify_ldt failed");
}

static u8 *read_all(void)
{
	struct header h;
	u64 have = 0, want;
	while (have < sizeof(h)) {
		long n = syscall3(__NR_read, 0, (long)&h + have, sizeof(h) - have);
		if (n <= 0)
			die("no header");
		have += n;
	}
	if (h.magic != 0x58363853 || h.regions > MAX_REGIONS)
		die("bad header");
	if (h.test_bytes != sizeof(struct test) || h.result_bytes != sizeof(struct result))
		die("the records of the two sides differ");
	want = sizeof(h) + h.regions * sizeof(struct region) + h.descriptors * 8ull + h.cases * (u64)sizeof(struct test);
	/* Regions' bytes are not known yet: room for a generous number of pages. */
	u8 *batch = map(0, (want + 256 * PAGE + PAGE) & ~(u64)(PAGE - 1), 3);
	memcpy(batch, &h, sizeof(h));
	u64 room = want + 256 * PAGE;
	for (;;) {
		long n = syscall3(__NR_read, 0, (long)batch + have, room - have);
		if (n < 0)
			die("read failed");
		if (n == 0)
			return batch;
		have += n;
	}
}

__attribute__((used)) static void start(u64 *stack)
{
	/* arguments, environment, then the auxiliary vector: AT_HWCAP2 bit 1 is FSGSBASE for user code. */
	u64 *p = stack + 1 + stack[0] + 1;
	while (*p)
		p++;
	for (p++; *p; p += 2)
		if (*p == 26)
			has_fsgsbase = (p[1] >> 1) & 1;

	/* Linux keeps the number of the processor in a descriptor that user code can load. */
	u64 first = 1;
	syscall3(__NR_sched_setaffinity, 0, sizeof(first), (long)&first);

	u8 *at = read_all();
	header = (struct header *)at;
	at += sizeof(*header);
	regions = (struct region *)at;
	at += header->regions * sizeof(*regions);
	u64 *descriptors = (u64 *)at;
	at += header->descriptors * 8ull;
	for (u32 i = 0; i < header->regions; i++) {
		u8 *memory = map(regions[i].address, regions[i].bytes, regions[i].prot | 2);
		pristine[i] = at;
		memcpy(memory, at, regions[i].bytes);
		at += regions[i].bytes;
		if (!(regions[i].prot & 2))
			syscall3(__NR_mprotect, (long)memory, regions[i].bytes, regions[i].prot);
	}
	for (u32 i = 0; i < header->descriptors; i++)
		if (descriptors[i])
			set_descriptor(i, descriptors[i]);
	tests = (struct test *)at;
	results = map(0, (header->cases * (u64)sizeof(struct result) + PAGE) & ~(u64)(PAGE - 1), 3);

	struct {
		void *sp;
		int flags;
		u64 size;
	} alternate = { handler_stack, 0, sizeof(handler_stack) };
	syscall3(__NR_sigaltstack, (long)&alternate, 0, 0);
	handle(SIGSEGV);
	handle(SIGBUS);
	handle(SIGILL);
	handle(SIGFPE);
	handle(SIGTRAP);
	/* Into the handler, never to return here. */
	asm volatile("int3");
	die("the first case did not start");
}

asm(".globl _start\n_start:\n mov %rsp,%rdi\n and $-16,%rsp\n call start\n hlt\n");
