/*
 * Contents of files. What came with the initramfs stays where the boot loader put it, and is read from there; a page
 * gets a frame of its own when a program maps it or somebody writes to it. Pages that nobody wrote are zero and take no
 * memory.
 */
#include "errno.h"
#include "fs.h"
#include "proc.h"

bool inode_pages_room(struct inode *i, ulong index)
{
	if (index < i->pages_size)
		return true;
	ulong size = 8;
	while (size <= index)
		size *= 2;
	if (size > RAMFS_MAX_PAGES)
		return false;
	ulong *bigger = kzalloc(size * sizeof(ulong));
	if (!bigger)
		return false;
	ulong *smaller = i->pages, flags = spin_lock_irqsave(&i->pages_lock);
	if (smaller)
		memcpy(bigger, smaller, i->pages_size * sizeof(ulong));
	i->pages = bigger;
	i->pages_size = size;
	spin_unlock_irqrestore(&i->pages_lock, flags);
	kfree(smaller);
	return true;
}

ulong inode_page_get(struct inode *i, ulong index)
{
	ulong flags = spin_lock_irqsave(&i->pages_lock);
	ulong pfn = index < i->pages_size ? i->pages[index] : 0;

	if (pfn)
		page_get(pfn);
	spin_unlock_irqrestore(&i->pages_lock, flags);
	return pfn;
}

void inode_drop_page(struct inode *i, ulong index)
{
	ulong flags = spin_lock_irqsave(&i->pages_lock), pfn = i->pages[index];

	i->pages[index] = 0;
	spin_unlock_irqrestore(&i->pages_lock, flags);
	if (pfn)
		page_put(pfn);
}

ulong inode_page(struct inode *i, ulong index, bool create)
{
	if (i->iops)
		return i->iops->page(i, index);
	if (index < i->pages_size && i->pages[index])
		return i->pages[index];
	if (!create || !inode_pages_room(i, index))
		return 0;
	ulong pfn = alloc_page();
	if (!pfn)
		return 0;
	u8 *page = pfn_to_va(pfn);
	u64 at = (u64)index << PAGE_SHIFT;
	ulong n = i->image && at < i->size ? min(i->size - at, (u64)PAGE_SIZE) : 0;
	if (n)
		memcpy(page, i->image + at, n);
	memset(page + n, 0, PAGE_SIZE - n);
	/* With its contents, so that whoever finds the one sees the other. */
	__atomic_store_n(&i->pages[index], pfn, __ATOMIC_RELEASE);
	return pfn;
}

/* Where byte `at` can be read, and how many bytes follow it there; NULL: zeroes. */
static const u8 *contents(struct inode *i, u64 at, ulong *n)
{
	ulong pfn = inode_page(i, at >> PAGE_SHIFT, false), offset = at & ~PAGE_MASK;

	*n = PAGE_SIZE - offset;
	if (pfn)
		return (u8 *)pfn_to_va(pfn) + offset;
	return i->image ? i->image + at : NULL;
}

long inode_read(struct inode *i, u64 pos, void *kbuf, size_t n)
{
	size_t done = 0;

	if (i->iops)
		return i->iops->read(i, pos, kbuf, n);
	if (pos >= i->size)
		return 0;
	n = min((u64)n, i->size - pos);
	while (done < n) {
		ulong k;
		const u8 *from = contents(i, pos + done, &k);
		k = min(k, (ulong)(n - done));
		if (from)
			memcpy((u8 *)kbuf + done, from, k);
		else
			memset((u8 *)kbuf + done, 0, k);
		done += k;
	}
	return done;
}

int inode_truncate(struct inode *i, u64 size)
{
	if (i->iops)
		return i->iops->truncate(i, size);
	if (size < i->size) {
		/* What is cut off must read as zeroes should the file grow again. */
		ulong keep = (size + PAGE_SIZE - 1) >> PAGE_SHIFT;
		for (ulong p = keep; p < i->pages_size; p++)
			inode_drop_page(i, p);
		if (size == 0) {
			i->image = NULL;
		} else {
			/* The image ends where the file did; the pages before the cut become real. */
			for (ulong p = 0; i->image && p < keep; p++)
				inode_page(i, p, true);
			i->image = NULL;
			ulong pfn = inode_page(i, keep - 1, true);
			if (pfn && (size & ~PAGE_MASK))
				memset((u8 *)pfn_to_va(pfn) + (size & ~PAGE_MASK), 0, PAGE_SIZE - (size & ~PAGE_MASK));
		}
	} else if (size > i->size && i->image) {
		for (ulong p = 0; p < (i->size + PAGE_SIZE - 1) >> PAGE_SHIFT; p++)
			inode_page(i, p, true);
		i->image = NULL;
	}
	i->size = size;
	return 0;
}

static long ramfs_read(struct file *f, void *buf, size_t n)
{
	struct inode *i = f->inode;
	size_t done = 0;

	if (S_ISDIR(i->mode))
		return -EISDIR;
	if (f->pos >= i->size)
		return 0;
	n = min((u64)n, i->size - f->pos);
	while (done < n) {
		ulong k;
		const u8 *from = contents(i, f->pos, &k);
		k = min(k, (ulong)(n - done));
		if (from ? copy_to_user((u8 *)buf + done, from, k) : clear_user((u8 *)buf + done, k))
			return done ? (long)done : -EFAULT;
		done += k;
		f->pos += k;
	}
	return done;
}

static long ramfs_write(struct file *f, const void *buf, size_t n)
{
	struct inode *i = f->inode;
	size_t done = 0;

	if (f->flags & O_APPEND)
		f->pos = i->size;
	if (n && f->pos > i->size)
		inode_truncate(i, f->pos);
	while (done < n) {
		ulong offset = f->pos & ~PAGE_MASK, k = min(PAGE_SIZE - offset, (ulong)(n - done));
		ulong pfn = f->pos >> PAGE_SHIFT < 1ul << 30 ? inode_page(i, f->pos >> PAGE_SHIFT, true) : 0;
		if (!pfn)
			return done ? (long)done : -ENOSPC;
		if (copy_from_user((u8 *)pfn_to_va(pfn) + offset, (const u8 *)buf + done, k))
			return done ? (long)done : -EFAULT;
		done += k;
		f->pos += k;
		/* The image holds size bytes, no more: growing past it goes by real pages alone. */
		if (f->pos > i->size) {
			for (ulong p = 0; i->image && p < (i->size + PAGE_SIZE - 1) >> PAGE_SHIFT; p++)
				inode_page(i, p, true);
			i->image = NULL;
			i->size = f->pos;
		}
	}
	i->mtime = wall_ns() / NSEC_PER_SEC;
	return done;
}

const struct file_ops ramfs_fops = { .read = ramfs_read, .write = ramfs_write };
