/* /dev/vda and its siblings: a disk as one large file. What is written stays in the cache until fsync, sync or close. */
#include "buffer.h"
#include "errno.h"
#include "fs.h"
#include "printk.h"

#define MAJOR 254 /* virtblk's, on many a Linux */
#define MINORS_EACH 16

static const struct file_ops blkdev_fops;
static int blkdev_sync(struct file *f);

struct disk *disk_of(struct inode *i) { return i && S_ISBLK(i->mode) && i->fops == &blkdev_fops ? (struct disk *)i->info : NULL; }

static u64 bytes_of(struct disk *d)
{
	u64 sectors = d->sectors - d->sectors % (d->block_size / SECTOR_SIZE);
	return sectors << SECTOR_SHIFT;
}

/* The block that byte f->pos is in, its part from there, at most n. The lock is not held while a user's memory is
 * touched: that may fault, and the page may have to come from this disk. */
static long blkdev_read(struct file *f, void *to, size_t n)
{
	struct disk *d = disk_of(f->inode);
	size_t done = 0;
	int err = 0;

	while (done < n) {
		mutex_lock(&d->lock);
		u64 end = bytes_of(d);
		u32 size = d->block_size, offset = f->pos % size;
		size_t k = f->pos < end ? min((size_t)(size - offset), n - done) : 0;
		struct buffer *b = NULL;
		if (k) {
			u32 block = f->pos / size, ahead[BLK_PIECES];
			int want = min((n - done + offset + size - 1) / size, (size_t)BLK_PIECES);
			want = min((u64)want, end / size - block);
			for (int i = 0; i < want; i++)
				ahead[i] = block + i;
			if (want > 1)
				buffer_prefetch(d, ahead + (block == 0), want - (block == 0));
			b = buffer_read(d, block, &err);
		}
		mutex_unlock(&d->lock);
		if (!b)
			break;
		bool fault = copy_to_user((u8 *)to + done, b->data + offset, k);
		mutex_lock(&d->lock);
		buffer_put(b);
		mutex_unlock(&d->lock);
		if (fault) {
			err = -EFAULT;
			break;
		}
		done += k;
		f->pos += k;
	}
	return done ? (long)done : err;
}

static int write_part(struct disk *d, u64 pos, const u8 *from, size_t k)
{
	int err = 0;

	if (pos >= bytes_of(d))
		return -ENOSPC;
	if (d->read_only)
		return -EROFS;
	if (d->mounted)
		return -EBUSY; /* its file system would not know */
	buffer_balance(d);
	struct buffer *b = k == d->block_size ? buffer_blank(d, pos / d->block_size, &err) :
						buffer_read(d, pos / d->block_size, &err);
	if (!b)
		return err;
	memcpy(b->data + pos % d->block_size, from, k);
	buffer_dirty(b, BLK_DATA);
	buffer_put(b);
	return 0;
}

static long blkdev_write(struct file *f, const void *from, size_t n)
{
	struct disk *d = disk_of(f->inode);
	size_t done = 0;
	int err = 0;
	u8 *page = kmalloc(PAGE_SIZE);

	if (!page)
		return -ENOMEM;
	while (done < n && !err) {
		u32 size = READ_ONCE(d->block_size);
		size_t k = min((size_t)(size - f->pos % size), n - done);
		err = copy_from_user(page, (const u8 *)from + done, k);
		if (err)
			break;
		mutex_lock(&d->lock);
		/* Whole blocks of a size that a mount has just changed are for the next round. */
		if (d->block_size == size) {
			err = write_part(d, f->pos, page, k);
			if (!err) {
				done += k;
				f->pos += k;
			}
		}
		mutex_unlock(&d->lock);
	}
	kfree(page);
	if (!err && f->flags & O_DSYNC)
		err = blkdev_sync(f);
	return done ? (long)done : err;
}

/* A mounted disk is its file system's to write. */
static int blkdev_sync(struct file *f)
{
	struct disk *d = disk_of(f->inode);
	int err = 0;

	mutex_lock(&d->lock);
	if (!d->mounted)
		err = buffer_sync(d);
	mutex_unlock(&d->lock);
	return err;
}

static void blkdev_release(struct file *f)
{
	if (f->flags & O_ACCMODE)
		blkdev_sync(f);
}

#define BLKROGET 0x125e
#define BLKFLSBUF 0x1261
#define BLKSSZGET 0x1268
#define BLKGETSIZE64 (sizeof(ulong) == 8 ? 0x80081272ul : 0x80041272ul)

static long blkdev_ioctl(struct file *f, ulong cmd, ulong arg)
{
	struct disk *d = disk_of(f->inode);

	if (cmd == BLKGETSIZE64)
		return put_user((u64)(d->sectors << SECTOR_SHIFT), (u64 *)arg);
	switch (cmd) {
	case BLKROGET:
		return put_user((int)d->read_only, (int *)arg);
	case BLKSSZGET:
		return put_user((int)d->sector_size, (int *)arg);
	case BLKFLSBUF:
		return blkdev_sync(f);
	}
	return -ENOTTY;
}

static const struct file_ops blkdev_fops = {
	.read = blkdev_read, .write = blkdev_write, .ioctl = blkdev_ioctl, .release = blkdev_release, .sync = blkdev_sync,
};

void blkdev_add(struct disk *d, int number)
{
	struct inode *dev = dir_find(root_inode, "dev"), *i = inode_new(S_IFBLK | 0600);

	if (!dev || !i || dir_add(dev, d->name, i))
		panic("no memory for /dev/%s", d->name);
	i->rdev = MAJOR << 8 | number * MINORS_EACH;
	i->fops = &blkdev_fops;
	i->info = (ulong)d;
	i->size = d->sectors << SECTOR_SHIFT;
	inode_put(i);
	inode_put(dev);
}
