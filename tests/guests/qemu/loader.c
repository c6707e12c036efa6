/* See loader.S. Runs at 32 bits without paging; lies high (0x4000000) so that the kernel's memory at 1 MiB is free. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct multiboot_info {
	u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
};
struct module {
	u32 start, end, cmdline, reserved;
};
struct mmap_entry {
	u32 size;
	u64 addr, length;
	u32 type;
} __attribute__((packed));

u32 long_mode, page_tables = 0x8000, boot_params_address = 0x2000;
#define CMDLINE ((char *)0x3000)

static void copy(u32 to, const u8 *from, u32 n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
}
static void zero(u32 to, u32 n)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory");
}

static u32 load_elf(const u8 *image)
{
	long_mode = image[4] == 2;
	u32 phoff = long_mode ? *(u64 *)(image + 32) : *(u32 *)(image + 28);
	u32 count = *(u16 *)(image + (long_mode ? 56 : 44));
	for (u32 i = 0; i < count; i++) {
		const u8 *p = image + phoff + i * (long_mode ? 56 : 32);
		if (*(u32 *)p != 1)
			continue;
		u32 offset = long_mode ? *(u64 *)(p + 8) : *(u32 *)(p + 4);
		u32 paddr = long_mode ? *(u64 *)(p + 24) : *(u32 *)(p + 12);
		u32 filesz = long_mode ? *(u64 *)(p + 32) : *(u32 *)(p + 16);
		u32 memsz = long_mode ? *(u64 *)(p + 40) : *(u32 *)(p + 20);
		copy(paddr, image + offset, filesz);
		zero(paddr + filesz, memsz - filesz);
	}
	return *(u32 *)(image + 24);
}

u32 load(struct multiboot_info *info)
{
	struct module *mods = (void *)info->mods_addr;
	u8 *bp = (u8 *)boot_params_address;

	zero(boot_params_address, 4096);
	/* The command line: what follows the file's name in the module's string. */
	const char *s = (const char *)mods[0].cmdline;
	while (*s && *s != ' ')
		s++;
	char *d = CMDLINE;
	for (s += *s == ' '; *s;)
		*d++ = *s++;
	*d = 0;
	*(u32 *)(bp + 0x228) = (u32)CMDLINE;
	bp[0x210] = 0xff;
	if (info->mods_count > 1) {
		*(u32 *)(bp + 0x218) = mods[1].start;
		*(u32 *)(bp + 0x21c) = mods[1].end - mods[1].start;
	}
	/* mem=N: pretend that the machine has N MiB. The initramfs then goes to the end of them. */
	u64 limit = ~0ull;
	for (const char *c = CMDLINE; *c; c++)
		if (c[0] == 'm' && c[1] == 'e' && c[2] == 'm' && c[3] == '=')
			for (limit = 0, c += 4; *c >= '0' && *c <= '9'; c++)
				limit = limit * 10 + ((u64)(*c - '0') << 20);
	u32 size = *(u32 *)(bp + 0x21c), top = (u32)limit - ((size + 4095) & ~4095u);
	if (limit != ~0ull) {
		copy(top, (u8 *)mods[1].start, size);
		*(u32 *)(bp + 0x218) = top;
	}
	u8 *e = bp + 0x2d0;
	for (u32 at = info->mmap_addr; at < info->mmap_addr + info->mmap_length;) {
		struct mmap_entry *m = (void *)at;
		if (m->addr < limit) {
			copy((u32)e, (u8 *)&m->addr, 20);
			if (m->addr + m->length > limit)
				*(u64 *)(e + 8) = limit - m->addr;
			e += 20;
			bp[0x1e8]++;
		}
		at += m->size + 4;
	}
	/* 4 GiB mapped to themselves with 2 MiB pages: PML4, PDPT, four directories. */
	u64 *table = (u64 *)page_tables;
	zero(page_tables, 6 * 4096);
	table[0] = page_tables + 4096 + 3;
	for (u32 i = 0; i < 4; i++)
		table[512 + i] = page_tables + (2 + i) * 4096 + 3;
	for (u64 i = 0; i < 2048; i++)
		table[1024 + i] = i << 21 | 0x83;
	return load_elf((u8 *)mods[0].start);
}
