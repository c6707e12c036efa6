/*
 * The initramfs: a cpio archive in the "newc" form. Each member is a header of hexadecimal fields, a name and the
 * contents, padded to four bytes; the last is called TRAILER!!!. The contents are not copied: files point at them.
 */
#include "errno.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"

struct cpio_header {
	char magic[6], ino[8], mode[8], uid[8], gid[8], nlink[8], mtime[8], size[8], devmajor[8], devminor[8], rdevmajor[8],
		rdevminor[8], namesize[8], check[8];
};

static u32 hex(const char s[8])
{
	u32 v = 0;

	for (int i = 0; i < 8; i++) {
		char c = s[i] | 0x20;
		v = v << 4 | (c >= 'a' ? c - 'a' + 10 : c - '0');
	}
	return v;
}

/* Directories on the way that the archive forgot to mention are made. */
static struct inode *parent_of(char *name, char **last)
{
	struct inode *dir = inode_get(root_inode);
	char *slash;

	while (*name == '/' || (name[0] == '.' && name[1] == '/'))
		name++;
	while ((slash = strchr(name, '/'))) {
		*slash = 0;
		struct inode *next = dir_find(dir, name);
		if (!next) {
			next = inode_new(S_IFDIR | 0755);
			if (!next || dir_add(dir, name, next))
				panic("initramfs: no memory");
		}
		inode_put(dir);
		dir = next;
		name = slash + 1;
	}
	*last = name;
	return dir;
}

static void add(char *name, const struct cpio_header *h, const u8 *data, u32 size)
{
	char *last;
	struct inode *dir = parent_of(name, &last);
	u32 mode = hex(h->mode);

	if (!*last || !strcmp(last, ".")) {
		inode_put(dir);
		return;
	}
	struct inode *there = dir_find(dir, last);
	if (there) {
		/* A device or directory that the kernel made already; a file that comes twice: the later one counts. */
		if (!S_ISREG(there->mode) || !S_ISREG(mode)) {
			inode_put(there);
			inode_put(dir);
			return;
		}
		inode_put(there);
		dir_remove(dir, last);
	}
	struct inode *i = inode_new(mode);
	if (!i || dir_add(dir, last, i))
		panic("initramfs: no memory");
	i->mtime = hex(h->mtime);
	if (S_ISREG(mode) || S_ISLNK(mode)) {
		i->size = size;
		i->image = data;
	}
	inode_put(i);
	inode_put(dir);
}

void cpio_unpack(ulong pa, ulong size)
{
	const u8 *start, *p, *end;
	int files = 0;
	char name[256];

	if (pa + size < pa || (pa + size - 1) >> PAGE_SHIFT >= mem_pfns)
		panic("initramfs at %lx, %lu bytes, is not in memory", pa, size);
	start = p = pa_to_va(pa);
	end = p + size;
	for (;;) {
		const struct cpio_header *h = (const void *)p;
		if ((size_t)(end - p) < sizeof(*h) || memcmp(h->magic, "070701", 6))
			panic("initramfs: no cpio header at byte %lu", (ulong)(p - start));
		u32 namesize = hex(h->namesize), bytes = hex(h->size);
		const u8 *data = start + ALIGN_UP((ulong)(p - start) + sizeof(*h) + namesize, 4ul);
		if (namesize > (size_t)(end - p) - sizeof(*h) || data > end || bytes > (size_t)(end - data))
			panic("initramfs: truncated at byte %lu", (ulong)(p - start));
		if (!namesize || namesize > sizeof(name))
			panic("initramfs: a name of %u bytes at byte %lu", namesize, (ulong)(p - start));
		memcpy(name, p + sizeof(*h), namesize);
		name[namesize - 1] = 0;
		if (!strcmp(name, "TRAILER!!!"))
			break;
		add(name, h, data, bytes);
		files++;
		p = start + ALIGN_UP((ulong)(data - start) + bytes, 4ul);
	}
	pr_info("initramfs: %d members, %lu KiB\n", files, size / KiB);
}
