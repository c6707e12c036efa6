/*
 * ext2: contents of files, block by block through the disk's cache. The disk's lock is not held while a user's memory is
 * touched: that may fault, and the page may have to come from this very disk.
 */
#include "ext2.h"

struct buffer *ext2_read_block(struct ext2_inode *i, u32 index, int *err)
{
	u32 block = ext2_map(i, index, false, NULL, err);
	return block ? buffer_read(i->super->disk, block, err) : NULL;
}

static u32 shift_of(struct super *s) { return 10 + s->sb->log_block_size; }

/* ---- Reading ---- */

static bool cached(struct ext2_inode *i, u32 index)
{
	int err;
	u32 block = ext2_map(i, index, false, NULL, &err);
	struct buffer *b = block ? buffer_cached(i->super->disk, block) : NULL;

	if (b)
		buffer_put(b);
	return b || !block;
}

/* Who reads from the start, or where the last read ended, will want what follows. */
static void read_ahead(struct ext2_inode *i, u32 index)
{
	u32 blocks[BLK_PIECES], end = (i->i.size + i->super->block_size - 1) >> shift_of(i->super);
	int n = 0, err;

	if (cached(i, index) || (index && !cached(i, index - 1)))
		return;
	for (; n < BLK_PIECES && index + n < end; n++)
		blocks[n] = ext2_map(i, index + n, false, NULL, &err);
	buffer_prefetch(i->super->disk, blocks, n);
}

static long ext2_read(struct file *f, void *to, size_t n)
{
	struct ext2_inode *i = EXT2(f->inode);
	struct super *s = i->super;
	size_t done = 0;
	int err = 0;

	if (S_ISDIR(i->i.mode))
		return -EISDIR;
	while (done < n) {
		struct buffer *b = NULL;
		ext2_lock(s);
		u32 offset = f->pos & (s->block_size - 1), index = f->pos >> shift_of(s);
		size_t k = f->pos < i->i.size ? min((u64)min((size_t)(s->block_size - offset), n - done), i->i.size - f->pos) : 0;
		if (k) {
			read_ahead(i, index);
			b = ext2_read_block(i, index, &err);
		}
		ext2_unlock(s);
		if (!k || err)
			break;
		bool fault = b ? copy_to_user((u8 *)to + done, b->data + offset, k) : clear_user((u8 *)to + done, k);
		if (b) {
			ext2_lock(s);
			buffer_put(b);
			ext2_unlock(s);
		}
		if (fault) {
			err = -EFAULT;
			break;
		}
		done += k;
		f->pos += k;
	}
	return done ? (long)done : err;
}

/* For the kernel itself; the lock is held or not needed by the caller's own doing. */
static long read_locked(struct ext2_inode *i, u64 pos, u8 *to, size_t n)
{
	struct super *s = i->super;
	size_t done = 0;
	int err = 0;

	if (S_ISLNK(i->i.mode) && i->i.size < sizeof(i->block)) {
		n = pos < i->i.size ? min((u64)n, i->i.size - pos) : 0;
		memcpy(to, (u8 *)i->block + pos, n);
		return n;
	}
	while (done < n && pos < i->i.size) {
		u32 offset = pos & (s->block_size - 1);
		size_t k = min((u64)min((size_t)(s->block_size - offset), n - done), i->i.size - pos);
		struct buffer *b = ext2_read_block(i, pos >> shift_of(s), &err);
		if (err)
			break;
		if (b) {
			memcpy(to + done, b->data + offset, k);
			buffer_put(b);
		} else {
			memset(to + done, 0, k);
		}
		done += k;
		pos += k;
	}
	return done ? (long)done : err;
}

long ext2_kread(struct inode *inode, u64 pos, void *to, size_t n)
{
	struct ext2_inode *i = EXT2(inode);

	ext2_lock(i->super);
	long r = read_locked(i, pos, to, n);
	ext2_unlock(i->super);
	return r;
}

/* ---- Pages for mappings: copies, thrown away when the file is written to. Who has mapped one keeps it ---- */

void ext2_drop_pages(struct inode *i, ulong first, ulong last)
{
	for (ulong p = first; p < i->pages_size && p <= last; p++)
		inode_drop_page(i, p);
}

ulong ext2_page(struct inode *inode, ulong index)
{
	struct ext2_inode *i = EXT2(inode);
	ulong pfn = 0;

	ext2_lock(i->super);
	if (inode_pages_room(inode, index) && !(pfn = inode->pages[index]) && (pfn = alloc_page())) {
		u8 *page = pfn_to_va(pfn);
		memset(page, 0, PAGE_SIZE);
		read_ahead(i, (u64)index << PAGE_SHIFT >> shift_of(i->super));
		if (read_locked(i, (u64)index << PAGE_SHIFT, page, PAGE_SIZE) < 0) {
			page_put(pfn);
			pfn = 0;
		}
		inode->pages[index] = pfn;
	}
	ext2_unlock(i->super);
	return pfn;
}

/* ---- Writing ---- */

static u64 largest(struct super *s)
{
	/* Without revision 1, sizes are of 31 bits; sectors of 512 bytes are counted in 32. */
	u64 p = s->pointers, blocks = EXT2_DIRECT + p + p * p + p * p * p;
	return s->sb->rev ? min(blocks << shift_of(s), 0xfffffffeull << SECTOR_SHIFT) : 0x7fffffff;
}

static void set_size(struct ext2_inode *i, u64 size)
{
	struct ext2_super_block *sb = i->super->sb;

	i->i.size = size;
	if (size > 0x7fffffff && S_ISREG(i->i.mode) && !(sb->ro_compat & EXT2_RO_LARGE_FILE)) {
		sb->ro_compat |= EXT2_RO_LARGE_FILE;
		buffer_dirty(i->super->super_buffer, BLK_META);
	}
	ext2_idirty(i);
}

/* Within one block. */
static int write_part(struct ext2_inode *i, u64 pos, const u8 *from, u32 k)
{
	struct super *s = i->super;
	u32 offset = pos & (s->block_size - 1);
	bool fresh;
	int err;

	if (pos + k > largest(s))
		return -EFBIG;
	u32 block = ext2_map(i, pos >> shift_of(s), true, &fresh, &err);
	if (!block)
		return err;
	struct buffer *b = fresh || k == s->block_size ? buffer_blank(s->disk, block, &err) : buffer_read(s->disk, block, &err);
	if (!b)
		return err;
	memcpy(b->data + offset, from, k);
	buffer_dirty(b, BLK_DATA);
	buffer_put(b);
	if (pos + k > i->i.size)
		set_size(i, pos + k);
	i->i.mtime = i->i.ctime = ext2_now();
	ext2_idirty(i);
	if (i->i.pages)
		ext2_drop_pages(&i->i, pos >> PAGE_SHIFT, pos >> PAGE_SHIFT);
	return 0;
}

static long ext2_write(struct file *f, const void *from, size_t n)
{
	struct ext2_inode *i = EXT2(f->inode);
	struct super *s = i->super;
	size_t done = 0;
	int err = 0;
	u8 *copy = kmalloc(PAGE_SIZE);

	if (!copy)
		return -ENOMEM;
	while (done < n && !err) {
		/* At most to the end of a block; where an appending write goes is known under the lock alone. */
		size_t most = min((size_t)s->block_size, n - done), k = most;
		if (!(f->flags & O_APPEND))
			k = min(most, (size_t)(s->block_size - (f->pos & (s->block_size - 1))));
		err = copy_from_user(copy, (const u8 *)from + done, k);
		if (err)
			break;
		ext2_lock(s);
		if (f->flags & O_APPEND) {
			f->pos = i->i.size;
			k = min(most, (size_t)(s->block_size - (f->pos & (s->block_size - 1))));
		}
		err = ext2_begin(s);
		if (!err)
			err = write_part(i, f->pos, copy, k);
		if (err && ext2_retry(s, err))
			err = write_part(i, f->pos, copy, k);
		ext2_unlock(s);
		if (!err) {
			done += k;
			f->pos += k;
		}
	}
	kfree(copy);
	if (done && f->flags & O_DSYNC) {
		int e = ext2_fsync(f);
		if (e)
			return e;
	}
	return done ? (long)done : err;
}

int ext2_truncate(struct inode *inode, u64 size)
{
	struct ext2_inode *i = EXT2(inode);
	struct super *s = i->super;

	ext2_lock(s);
	int err = ext2_begin(s);
	if (!err && size > largest(s))
		err = -EFBIG;
	if (!err && size < i->i.size) {
		u32 rest = size & (s->block_size - 1);
		/* What is cut off must read as zeroes should the file grow again. */
		struct buffer *b = rest ? ext2_read_block(i, size >> shift_of(s), &err) : NULL;
		if (b) {
			memset(b->data + rest, 0, s->block_size - rest);
			buffer_dirty(b, BLK_DATA);
			buffer_put(b);
		}
		if (!err)
			err = ext2_shorten(i, size);
		ext2_drop_pages(inode, size >> PAGE_SHIFT, ~0ul);
	}
	if (!err) {
		set_size(i, size);
		i->i.mtime = i->i.ctime = ext2_now();
	}
	ext2_unlock(s);
	return err;
}

const struct file_ops ext2_fops = { .read = ext2_read, .write = ext2_write, .sync = ext2_fsync };
