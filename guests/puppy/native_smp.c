/*
 * Other processors of a bare machine: found in the table that the firmware left (Intel MultiProcessor Specification 1.4,
 * chapter 4), started and interrupted through the local APIC (Intel SDM vol. 3, chapter 10). Where there is no table, or one
 * processor in it, the APIC is left alone. Devices keep their 8259s, whose interrupts go to processor 0.
 */
#include "native_smp.h"
#include "printk.h"
#include "proc.h"

/* ---- The table ---- */

struct mp_pointer {
	char signature[4]; /* "_MP_" */
	u32 table;
	u8 length, revision, checksum; /* length in units of 16 bytes */
	u8 features[5];                /* the first one: 0, or the number of a default configuration without a table */
} __attribute__((packed));

struct mp_table {
	char signature[4]; /* "PCMP" */
	u16 length;
	u8 revision, checksum;
	char oem[20];
	u32 oem_table;
	u16 oem_length, entries;
	u32 local_apic;
	u16 extended_length;
	u8 extended_checksum, reserved;
} __attribute__((packed));

struct mp_processor {
	u8 type, apic_id, apic_version, flags;
	u32 signature, features, reserved[2];
} __attribute__((packed));
enum { MP_PROCESSOR = 0, MP_LAST_TYPE = 4 };
enum { MP_ENABLED = 1, MP_BOOT = 2 };

static u32 apic_ids[MAX_CPUS]; /* the boot processor's first */
static volatile u32 *apic;

static bool sums_to_zero(const void *p, size_t n)
{
	u8 sum = 0;

	for (const u8 *b = p; n--;)
		sum += *b++;
	return !sum;
}

/* Memory that the firmware speaks of, which may be anything; NULL: not in the direct map. */
static const void *firmware(ulong pa, ulong size)
{
	ulong end = mem_pfns << PAGE_SHIFT;

#ifndef __x86_64__
	end = min(end, (ulong)LOWMEM_MAX);
#endif
	end = max(end, 1 * MiB);
	return pa < end && size <= end - pa ? pa_to_va(pa) : NULL;
}

static const struct mp_pointer *scan(ulong pa, ulong size)
{
	const u8 *at = firmware(pa, size);

	for (ulong i = 0; at && i + sizeof(struct mp_pointer) <= size; i += 16) {
		const struct mp_pointer *p = (const void *)(at + i);
		if (!memcmp(p->signature, "_MP_", 4) && p->length == 1 && sums_to_zero(p, sizeof(*p)))
			return p;
	}
	return NULL;
}

#define BDA_EBDA 0x40e /* segment of the extended BIOS data area */
#define BDA_MEMORY 0x413 /* KiB of memory below it */

static const struct mp_pointer *find_pointer(void)
{
	const u16 *ebda = firmware(BDA_EBDA, 2), *memory = firmware(BDA_MEMORY, 2);
	const struct mp_pointer *p = NULL;

	if (ebda && *ebda)
		p = scan((ulong)*ebda << 4, KiB);
	if (!p && memory && *memory)
		p = scan((ulong)(*memory - 1) * KiB, KiB);
	return p ? p : scan(0xf0000, 64 * KiB);
}

/* The processors of the table. Its numbers are the firmware's: nothing beyond its own length is read. */
static int read_table(const struct mp_table *t)
{
	const u8 *at = (const u8 *)(t + 1), *end = (const u8 *)t + t->length;
	int count = 1;

	for (int i = 0; i < t->entries && at < end && *at <= MP_LAST_TYPE; i++) {
		const struct mp_processor *p = (const void *)at;
		if (*at != MP_PROCESSOR) {
			at += 8;
			continue;
		}
		if (at + sizeof(*p) > end)
			break;
		at += sizeof(*p);
		if (!(p->flags & MP_ENABLED))
			continue;
		if (p->flags & MP_BOOT)
			apic_ids[0] = p->apic_id;
		else if (count < MAX_CPUS)
			apic_ids[count++] = p->apic_id;
	}
	return count;
}

/* ---- The local APIC ---- */

enum {
	APIC_ID = 0x20, APIC_TASK_PRIORITY = 0x80, APIC_EOI = 0xb0, APIC_SPURIOUS = 0xf0, APIC_COMMAND = 0x300,
	APIC_COMMAND_HIGH = 0x310, APIC_LINT0 = 0x350, APIC_LINT1 = 0x360,
};
#define APIC_DEFAULT 0xfee00000u
#define APIC_ENABLE 0x100u
#define LVT_MASKED 0x10000u
#define LVT_EXTINT 0x700u
#define LVT_NMI 0x400u
#define COMMAND_INIT 0x500u
#define COMMAND_STARTUP 0x600u
#define COMMAND_ASSERT 0x4000u
#define COMMAND_LEVEL 0x8000u
#define COMMAND_PENDING 0x1000u
#define SPURIOUS_VECTOR (FIRST_EXTERNAL_VECTOR + EXTERNAL_VECTORS - 1)

static u32 apic_read(u32 reg) { return apic[reg / 4]; }
static void apic_write(u32 reg, u32 v) { apic[reg / 4] = v; }

/* The 8259s' interrupts come in at LINT0, to processor 0 alone. */
static void apic_start(bool boot)
{
	apic_write(APIC_TASK_PRIORITY, 0);
	apic_write(APIC_LINT0, boot ? LVT_EXTINT : LVT_MASKED);
	apic_write(APIC_LINT1, boot ? LVT_NMI : LVT_MASKED);
	apic_write(APIC_SPURIOUS, APIC_ENABLE | SPURIOUS_VECTOR);
	this_cpu()->apic_id = apic_read(APIC_ID) >> 24;
}

static void command(u32 apic_id, u32 what)
{
	ulong flags = irq_save();

	while (apic_read(APIC_COMMAND) & COMMAND_PENDING)
		cpu_relax();
	apic_write(APIC_COMMAND_HIGH, apic_id << 24);
	apic_write(APIC_COMMAND, what);
	irq_restore(flags);
}

void native_send_ipi(u32 mask)
{
	for (; mask; mask &= mask - 1)
		command(cpus[__builtin_ctz(mask)]->apic_id, COMMAND_ASSERT | (FIRST_EXTERNAL_VECTOR + NATIVE_IPI_LINE));
}

void native_ipi_done(void) { apic_write(APIC_EOI, 0); }

/* ---- Finding and starting ---- */

extern char trampoline_start[], trampoline_end[], trampoline_parameters[];
extern ulong boot_tables[]; /* head_*.S: the first 4 MiB as they are, for the lowest top-level entry */

/* Still free to use? The allocator does not have it (page_init), but is it memory at all? */
static bool trampoline_is_memory(void)
{
	for (int i = 0; i < boot.e820_entries; i++)
		if (boot.e820[i].type == 1 && boot.e820[i].addr <= TRAMPOLINE &&
		    boot.e820[i].addr + boot.e820[i].size >= TRAMPOLINE + PAGE_SIZE)
			return true;
	return false;
}

int native_find_cpus(void)
{
	const struct mp_pointer *p = find_pointer();
	ulong address = APIC_DEFAULT;
	int count = 0;

	if (!p || !trampoline_is_memory())
		return 1;
	if (p->features[0]) {
		/* Default configurations are of two processors, numbered 0 and 1. */
		apic_ids[1] = 1;
		count = 2;
	} else {
		const struct mp_table *t = firmware(p->table, sizeof(*t));
		if (!t || memcmp(t->signature, "PCMP", 4) || !firmware(p->table, t->length) || !sums_to_zero(t, t->length)) {
			pr_warn("smp: the firmware's table at %lx is damaged\n", (ulong)p->table);
			return 1;
		}
		count = read_table(t);
		address = t->local_apic;
	}
	if (count > 1) {
		apic = ioremap(address, PAGE_SIZE);
		if (!apic)
			return 1;
		apic_start(true);
	}
	return count;
}

static void wait_us(u32 us)
{
	for (u64 end = now_ns() + us * 1000ull; now_ns() < end;)
		cpu_relax();
}

struct trampoline_parameters {
	u32 cr3, cr4;
	ulong stack;
	struct cpu_area *area;
	void (*entry)(struct cpu_area *area);
};

/* On the new processor, at its real address, on page tables that also map the trampoline to itself. */
static void native_secondary(struct cpu_area *area)
{
	__asm__ volatile("mov %0,%%cr3" ::"r"(va_to_pa(kernel_pgd)) : "memory");
	secondary_start(area);
}

void native_secondary_init(void)
{
	if (this_cpu()->cpu)
		apic_start(false);
}

void native_start_cpu(struct cpu_area *area, ulong stack)
{
	static ulong pgd[PAGE_SIZE / sizeof(ulong)] __attribute__((aligned(4096)));
	u8 *page = pa_to_va(TRAMPOLINE);
	u32 id = apic_ids[area->pc.cpu];
	struct trampoline_parameters parameters = {
		/* Until it is at its address: the kernel's tables, and what the boot processor began with. */
		.cr3 = va_to_pa(pgd), .cr4 = read_cr4() & ~CR4_PGE, .stack = stack, .area = area, .entry = native_secondary,
	};

	memcpy(pgd, kernel_pgd, sizeof(pgd));
	pgd[0] = va_to_pa(boot_tables) | PTE_KERNEL;
	memcpy(page, trampoline_start, trampoline_end - trampoline_start);
	memcpy(page + (trampoline_parameters - trampoline_start), &parameters, sizeof(parameters));
	/* The sequence of the SDM, vol. 3, 8.4.4: INIT, 10 ms, and one or two STARTUPs with the page's number. */
	command(id, COMMAND_INIT | COMMAND_ASSERT | COMMAND_LEVEL);
	command(id, COMMAND_INIT | COMMAND_LEVEL);
	wait_us(10000);
	for (int i = 0; i < 2 && !(READ_ONCE(online_mask) >> area->pc.cpu & 1); i++) {
		command(id, COMMAND_STARTUP | TRAMPOLINE >> PAGE_SHIFT);
		wait_us(200);
	}
}
