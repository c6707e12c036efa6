/*
 * ext2: in which order the disk learns of changes. There is no journal; after a crash fsck.ext2 finds what the disk has,
 * and must come to the same conclusions as we would. What the kernel promises: once fsync has returned, the file is at its
 * path with all that was written to it, whatever happens next, until somebody changes it. The rules:
 *
 *  1. Nothing on the disk points at what has not been filled: a file's data and a directory's new blocks go first, then
 *     blocks of pointers, the innermost level first, then inodes, then the directories' old blocks, which name them.
 *  2. Nothing that the disk still points at is used for anything else: blocks and inodes that have been freed stay frozen
 *     (ext2_alloc.c) until the disk has the inode without the block, the directory without the name. So no block has two
 *     owners on the disk, among whom fsck would have to choose, and no name leads to an inode that means something else.
 *  3. A name that moves is at its new place before it leaves the old one. A block of a directory in which a name has
 *     arrived is not also written late, and one that a name has left is written late, after all arrivals; where one block
 *     would have to be both, a checkpoint comes in between. A name that is replaced is so in one block, in one write.
 *  4. A file whose last name is gone is cleared in the inode table only after the name is gone from the disk: before that,
 *     the name of a replaced file has its new meaning.
 *  5. Inodes in memory are copied to the inode table's blocks only when all that they point at is there, so no inode that
 *     is not ready is written because it has a neighbour that is.
 *  6. Bitmaps and counts come last, or not at all: fsck works them out from the rest. The superblock says from the first
 *     moment to the last that fsck is needed.
 *
 * A checkpoint brings everything to the disk in this order, one class of blocks after the other, each flushed before the
 * next begins, so that no cache on the way can mix them. It happens between operations, never in the middle of one. fsync
 * is a checkpoint: what the file needs (its directories, up to the root) is then there too.
 */
#include "ext2.h"

/* ---- Rule 3 ---- */

bool ext2_is_late(struct super *s, u32 block)
{
	struct buffer *b = buffer_cached(s->disk, block);
	bool late = b && b->flags & BUFFER_DIRTY && b->class == BLK_DIR_LATE;

	if (b)
		buffer_put(b);
	return late;
}

bool ext2_is_arrival(struct super *s, u32 block)
{
	struct buffer *b = buffer_cached(s->disk, block);
	bool arrival = b && b->flags & BUFFER_DIRTY && b->flags & BUFFER_ARRIVAL;

	if (b)
		buffer_put(b);
	return arrival;
}

static int mark(struct super *s, u32 block, u8 flag, enum blk_class class)
{
	int err;
	struct buffer *b = buffer_read(s->disk, block, &err);

	if (!b)
		return err;
	b->flags |= flag;
	buffer_dirty(b, class);
	buffer_put(b);
	return 0;
}

int ext2_arrived(struct super *s, u32 block) { return mark(s, block, BUFFER_ARRIVAL, BLK_DIR); }
int ext2_departed(struct super *s, u32 block) { return mark(s, block, 0, BLK_DIR_LATE); }

/* ---- Checkpoints ---- */

static int stage(struct super *s, enum blk_class class)
{
	int err = buffer_write(s->disk, class);
	return err ? err : blk_flush(s->disk);
}

/* Copies inodes to the table: those that have names, or those that have none and are still open. */
static int write_inodes(struct super *s, bool nameless)
{
	int err = 0;

	for (int h = 0; h < EXT2_HASH; h++)
		for (struct ext2_inode *i = s->hash[h]; i && !err; i = i->same_hash)
			if (i->dirty && !i->gone && !i->i.nlink == nameless)
				err = ext2_iwrite(i, nameless);
	return err;
}

/* The freed ones; fsck knows them by the time of their deletion. */
static int clear_inodes(struct super *s)
{
	u32 each = s->sb->inodes_per_group;
	struct ext2_disk_inode *d;
	int err = 0;

	for (u32 g = 0; g < s->groups; g++)
		for (u32 bit = 0; s->frozen_inodes[g] && bit < each && !err; bit++) {
			if (!(s->frozen_inodes[g][bit / 8] >> bit % 8 & 1))
				continue;
			struct buffer *b = ext2_table_block(s, g * each + bit + 1, &d, &err);
			if (!b)
				break;
			u32 generation = d->generation;
			memset(d, 0, s->inode_size);
			d->generation = generation;
			d->dtime = ext2_now();
			buffer_dirty(b, BLK_INODE);
			buffer_put(b);
		}
	return err;
}

static void thaw(struct super *s)
{
	for (u32 g = 0; g < s->groups; g++) {
		kfree(s->frozen_blocks[g]);
		kfree(s->frozen_inodes[g]);
		s->frozen_blocks[g] = s->frozen_inodes[g] = NULL;
	}
	s->frozen = false;
}

static int end_checkpoint(struct super *s)
{
	int err = write_inodes(s, true);

	if (!err)
		err = clear_inodes(s);
	if (!err)
		err = stage(s, BLK_INODE);
	if (!err)
		err = stage(s, BLK_META);
	if (err)
		return err;
	thaw(s);
	s->metadata_dirty = false;
	return 0;
}

int ext2_checkpoint(struct super *s, bool all)
{
	int err = 0;

	if (s->read_only)
		return 0;
	for (int class = BLK_DATA; class <= BLK_TRIPLE && !err; class++)
		err = stage(s, class);
	if (!err)
		err = write_inodes(s, false);
	for (int class = BLK_INODE; class <= BLK_DIR_LATE && !err; class++)
		err = stage(s, class);
	if (err)
		return err;
	buffer_fresh_done(s->disk);
	if (all || s->frozen)
		err = end_checkpoint(s);
	ext2_prune(s);
	return err;
}

/* ---- Between operations ---- */

#define DIRTY_INODES_MAX 256

int ext2_begin(struct super *s)
{
	if (s->read_only)
		return -EROFS;
	if (buffer_balance(s->disk) || s->dirty_inodes > DIRTY_INODES_MAX)
		return ext2_checkpoint(s, true);
	return 0;
}

bool ext2_retry(struct super *s, int err) { return err == -ENOSPC && s->frozen && !ext2_checkpoint(s, true); }

int ext2_fsync(struct file *f)
{
	struct super *s = EXT2(f->inode)->super;

	ext2_lock(s);
	int err = ext2_checkpoint(s, false);
	ext2_unlock(s);
	return err;
}
