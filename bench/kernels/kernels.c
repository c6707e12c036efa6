/* The benchmark kernels: what compiled C looks like to a simulator, one habit of programs at a time. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long word;

#define WORD_BITS (8 * (int)sizeof(word))
#define noinline __attribute__((noinline))

/* Arithmetic in registers: shifts, rotates, adds, multiplies, no memory, one branch a round. */
static noinline u32 integer(u32 n)
{
	word a = 0x9e3779b9, b = 12345, c = 1;
	while (n--) {
		a ^= a << 13;
		a ^= a >> 7;
		a ^= a << 17;
		b = b * 1103515245u + 12345;
		c += (a ^ b) + ((b << 5) | (b >> (WORD_BITS - 5)));
		c ^= c >> 3;
		a -= c & 0xff;
	}
	return (u32)(a + b + c);
}

#define WORDS (1 << 16)
static u32 data[WORDS];
static u8 bytes[WORDS];

/* Loads and stores over 320 KiB: in order, with a stride, by bytes, and by string instructions. */
static noinline u32 memory(u32 n)
{
	u32 sum = 0;
	while (n--) {
		for (u32 i = 0; i < WORDS; i++)
			data[i] += i ^ sum;
		for (u32 i = 0; i < WORDS; i++)
			sum += data[(i * 4099) & (WORDS - 1)];
		for (u32 i = 1; i < WORDS; i++)
			bytes[i] = (u8)(bytes[i - 1] + data[i]);
	}
	return sum + bytes[WORDS - 1];
}

/* Branches that depend on data: Collatz lengths, and a jump table. */
static noinline u32 branchy(u32 n)
{
	u32 total = 0, state = 0;
	for (u32 i = 1; i <= n; i++) {
		u32 x = i;
		while (x != 1) {
			if (x & 1) {
				if (x > 0x50000000) {
					x >>= 2;
					continue;
				}
				x = 3 * x + 1;
			} else
				x >>= 1;
			switch ((x ^ state) & 7) {
			case 0: state += 1; break;
			case 1: state ^= x; break;
			case 2: state -= 3; break;
			case 3: state = state << 1 | 1; break;
			case 4: state += x; break;
			case 5: state = ~state; break;
			case 6: state ^= state >> 3; break;
			default: total++;
			}
			total++;
		}
	}
	return total + state;
}

/* Calls and returns: recursion, and functions through pointers. */
static noinline u32 fib(u32 n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}
static noinline u32 twice(u32 x) { return 2 * x; }
static noinline u32 next(u32 x) { return x + 1; }
static noinline u32 mix(u32 x) { return x ^ (x >> 5); }
static u32 (*volatile const table[4])(u32) = { twice, next, mix, next };

static noinline u32 calls(u32 n)
{
	u32 x = 1;
	while (n--) {
		x += fib(16);
		for (u32 i = 0; i < 500; i++)
			x = table[i & 3](x);
	}
	return x;
}

/* ------------------------------------------------------------------------------------------------ the machine */
extern char syscall_entry[], page_fault_entry[], kernel_stack_top[];
u32 bare_loop(u32), syscall_rounds(u32);

static inline void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
void serial(u32 c) { outb(0x3f8, (u8)c); }

void finish(u32 sum)
{
	for (int shift = 28; shift >= 0; shift -= 4)
		serial("0123456789abcdef"[(sum >> shift) & 15]);
	serial('\n');
}

#define aligned(n) __attribute__((aligned(n)))
#define FAULT_AREA 0x40000000ul /* 1 GiB: far from the identity map that follows */
#define FAULT_PAGES 512
u8 scratch_page[4096] aligned(4096);
u32 faults;

struct gate { u16 low, selector; u8 ist, type; u16 high;
#ifdef __x86_64__
	u32 top, reserved;
#endif
};
static struct gate idt[256] aligned(16);
static u64 gdt[8] aligned(16);

#ifdef __x86_64__
static u64 pml4[512] aligned(4096), pdpt[512] aligned(4096), low[512] aligned(4096), high[512] aligned(4096);
u64 fault_table[512] aligned(4096);
static void wrmsr(u32 msr, u32 lo, u32 hi) { __asm__ volatile("wrmsr" : : "c"(msr), "a"(lo), "d"(hi)); }
#else
static u32 tss[26] aligned(16);
static u32 directory[1024] aligned(4096);
u32 fault_table[1024] aligned(4096);
#endif

static void set_gate(int vector, char *entry, int dpl)
{
	word at = (word)entry;
	idt[vector] = (struct gate){ .low = (u16)at, .selector = 0x10, .type = (u8)(0x8e | dpl << 5), .high = (u16)(at >> 16) };
}

static void load_cr3(void)
{
#ifdef __x86_64__
	__asm__ volatile("mov %0, %%cr3" : : "r"((word)pml4) : "memory");
#else
	__asm__ volatile("mov %0, %%cr3" : : "r"((word)directory) : "memory");
#endif
}

/* Own descriptor tables, and own page tables: 1 GiB mapped to itself, for ring 3 too, and the area that faults. */
void machine_setup(void)
{
	struct { u16 limit; word base; } __attribute__((packed)) r;
#ifdef __x86_64__
	gdt[2] = 0x00af9b000000ffff;
	gdt[5] = 0x00affb000000ffff;
#else
	gdt[2] = 0x00cf9b000000ffff;
	gdt[5] = 0x00cffb000000ffff;
#endif
	gdt[3] = 0x00cf93000000ffff;
	gdt[4] = 0x00cff3000000ffff;
	r.limit = sizeof gdt - 1;
	r.base = (word)gdt;
	__asm__ volatile("lgdt %0" : : "m"(r));
#ifdef __x86_64__
	__asm__ volatile("pushq $0x10; pushq $1f; lretq; 1:" : : : "memory");
#else
	word t = (word)tss;
	gdt[6] = 0x0000890000000000 | (sizeof tss - 1) | (u64)(t & 0xffffff) << 16 | (u64)(t >> 24) << 56;
	tss[1] = (word)kernel_stack_top;
	tss[2] = 0x18;
	__asm__ volatile("ljmp $0x10, $1f; 1:" : : : "memory");
#endif
	__asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss" : : "r"(0x18) : "memory");
	r.limit = sizeof idt - 1;
	r.base = (word)idt;
	set_gate(14, page_fault_entry, 0);
#ifndef __x86_64__
	set_gate(0x80, syscall_entry, 3);
	__asm__ volatile("ltr %w0" : : "r"(0x30));
#endif
	__asm__ volatile("lidt %0" : : "m"(r));
#ifdef __x86_64__
	for (u32 i = 0; i < 512; i++)
		low[i] = (u64)i << 21 | 0x87;
	pml4[0] = (word)pdpt | 7;
	pdpt[0] = (word)low | 7;
	pdpt[1] = (word)high | 7;
	high[0] = (word)fault_table | 7;
	load_cr3();
	wrmsr(0xc0000080, 0x501, 0);
	wrmsr(0xc0000081, 0, 0x10 | 0x18 << 16);
	wrmsr(0xc0000082, (u32)(word)syscall_entry, 0);
	wrmsr(0xc0000084, 0x200, 0);
#else
	for (u32 i = 0; i < 256; i++)
		directory[i] = i << 22 | 0x87;
	directory[256] = (word)fault_table | 7;
	load_cr3();
	word cr;
	__asm__ volatile("mov %%cr4, %0; or $0x10, %0; mov %0, %%cr4" : "=&r"(cr));
	__asm__ volatile("mov %%cr0, %0; or $0x80010000, %0; mov %0, %%cr0" : "=&r"(cr) : : "memory");
#endif
}

/* n page faults: touch a page, have it mapped by the handler, and start over with an empty table. */
static noinline u32 page_faults(u32 n)
{
	while (n > 0) {
		for (u32 i = 0; i < FAULT_PAGES && n > 0; i++, n--)
			(void)*(volatile u32 *)(FAULT_AREA + i * 4096);
		for (u32 i = 0; i < FAULT_PAGES; i++)
			fault_table[i] = 0;
		load_cr3();
	}
	return faults;
}

/* n address space switches, each followed by what any program does next: a few pages are touched again. */
static noinline u32 cr3_loads(u32 n)
{
	u32 sum = 0;
	while (n--) {
		load_cr3();
		sum += data[0] + data[1024] + data[2048] + data[3072];
	}
	return sum;
}

u32 (*const kernels[])(u32) = {
	bare_loop, integer, memory, branchy, calls, syscall_rounds, page_faults, cr3_loads,
};
