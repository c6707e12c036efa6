/*
 * G:040 An indirect call in place of every CLI would be a high price for being prepared to be a guest. So nobody pays
 * it.
 *
 * Patching: code that overwrites itself, once, when it knows which machine this is.
 *
 * The recorded calls through pv_ops become what they stand for. A backend offers for an operation either a template, a few
 * instructions between two labels, or the function in its table, which is then called directly. And where there is one
 * processor, what is for several is jumped over.
 */
#include "alternative.h"
#include "pv.h"
#include "printk.h"
#include "string.h"

struct pv_site {
	s32 address; /* relative to this field */
	u32 op;
};
extern const struct pv_site pv_sites_start[], pv_sites_end[];

/* The manual's recommended no-operations of 1 to 9 bytes (Intel SDM vol. 2, NOP), and with more prefixes up to 11 (AMD's
 * optimization guides): what is left of a site should be one instruction. */
static const u8 nops[][11] = {
	{ 0x90 },
	{ 0x66, 0x90 },
	{ 0x0f, 0x1f, 0x00 },
	{ 0x0f, 0x1f, 0x40, 0x00 },
	{ 0x0f, 0x1f, 0x44, 0x00, 0x00 },
	{ 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00 },
	{ 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00 },
	{ 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 },
	{ 0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 },
	{ 0x66, 0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 },
	{ 0x66, 0x66, 0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 },
};

static void fill_nops(u8 *p, size_t n)
{
	while (n) {
		size_t k = min(n, ARRAY_SIZE(nops));
		memcpy(p, nops[k - 1], k);
		p += k;
		n -= k;
	}
}

/* CPUID serialises: no processor may go on with instructions that it fetched before (Intel SDM vol. 3, 8.1.3). */
static void refetch(void)
{
	u32 a, b, c, d;

	cpuid(0, &a, &b, &c, &d);
}

/* CALL or JMP to the function in the table. */
static size_t direct(u8 *code, const u8 *site, u32 op)
{
	s32 distance = (s32)((ulong)pv_ops.patchable[op] - ((ulong)site + 5));
	code[0] = op == PV_IRET ? 0xe9 : 0xe8;
	memcpy(code + 1, &distance, 4);
	return 5;
}

void pv_patch(void)
{
	int patched = 0;

	for (const struct pv_site *s = pv_sites_start; s < pv_sites_end; s++) {
		u8 *site = (u8 *)&s->address + s->address;
		const struct pv_template *t = &pv_ops.templates[s->op];
		u8 code[PV_SITE_SIZE];
		size_t n;

		if (t->start) {
			n = t->end - t->start;
			if (n > PV_SITE_SIZE)
				panic("pv: template of %d bytes for operation %d does not fit", (int)n, (int)s->op);
			memcpy(code, t->start, n);
		} else if (pv_ops.patchable[s->op]) {
			n = direct(code, site, s->op);
		} else {
			continue;
		}
		fill_nops(code + n, PV_SITE_SIZE - n);
		memcpy(site, code, PV_SITE_SIZE);
		patched++;
	}
	refetch();
	printk(LOG_NOTICE, "pv: patched %d sites for %s\n", patched, pv_ops.name);
}

/* ---- The way to the host ---- */

struct door_site {
	s32 address; /* relative to this field */
	u32 size;
};
extern const struct door_site doors_start[], doors_end[];

void replace_doors(const u8 *start, const u8 *end)
{
	size_t n = end - start;

	for (const struct door_site *d = doors_start; d < doors_end; d++) {
		u8 *site = (u8 *)&d->address + d->address;
		/* Nobody can be told yet; an invalid opcode at least ends it. */
		if (n > d->size)
			__builtin_trap();
		memcpy(site, start, n);
		fill_nops(site + n, d->size - n);
	}
	refetch();
}

/* ---- One processor ---- */

struct smp_site {
	s32 address, alone; /* relative to each field: five bytes, and where they are to jump to */
};
extern const struct smp_site smp_sites_start[], smp_sites_end[];

void forget_other_cpus(void)
{
	ulong flags = irq_save();

	for (const struct smp_site *s = smp_sites_start; s < smp_sites_end; s++) {
		u8 *site = (u8 *)&s->address + s->address, code[5] = { 0xe9 };
		s32 distance = (s32)((ulong)&s->alone + s->alone - ((ulong)site + 5));
		memcpy(code + 1, &distance, 4);
		memcpy(site, code, sizeof(code));
	}
	refetch();
	irq_restore(flags);
	pr_info("smp: one processor, %d places are jumped over\n", (int)(smp_sites_end - smp_sites_start));
}
