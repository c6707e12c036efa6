/*
 * ext2: which block of the disk holds which block of a file. The first twelve are in the inode; behind them one block of
 * pointers, then one of pointers to such blocks, then one of pointers to those. A pointer of 0 is a hole.
 */
#include "ext2.h"

#define MAX_DEPTH 3

/* The way to a block: a slot in the inode, then one in each block of pointers. The number of those, or -1: too far. */
static int path_to(struct super *s, u64 index, u32 slots[MAX_DEPTH + 1])
{
	u64 p = s->pointers, span = 1;

	if (index < EXT2_DIRECT) {
		slots[0] = index;
		return 0;
	}
	index -= EXT2_DIRECT;
	for (int depth = 1; depth <= MAX_DEPTH; depth++) {
		span *= p;
		if (index < span) {
			slots[0] = EXT2_DIRECT + depth - 1;
			for (int k = depth; k > 0; k--) {
				slots[k] = index & (p - 1);
				index = (u64)index >> (s->block_size == 1024 ? 8 : s->block_size == 2048 ? 9 : 10);
			}
			return depth;
		}
		index -= span;
	}
	return -1;
}

static bool valid(struct super *s, u32 block)
{
	return block > s->sb->first_data_block && block < s->sb->blocks_count;
}

/* The k-th block of pointers on the way, of depth: what class it is written in. */
static enum blk_class class_of(int depth, int k) { return BLK_INDIRECT + depth - k; }

static u32 goal_of(struct ext2_inode *i)
{
	struct super *s = i->super;

	if (i->last_block)
		return i->last_block + 1;
	return s->sb->first_data_block + (i->i.ino - 1) / s->sb->inodes_per_group * s->sb->blocks_per_group;
}

/* Allocates what is missing from the k-th pointer on: blocks of pointers, each leading to the next, and the data's. Nothing
 * points at the first of them yet, so that on failure all can be taken back. */
static int branch(struct ext2_inode *i, int depth, int k, const u32 *slots, u32 *blocks)
{
	struct super *s = i->super;
	int n, err = 0, count = depth - k + 1;
	u32 goal = goal_of(i);

	for (n = 0; n < count; n++) {
		blocks[n] = ext2_new_block(s, goal, &err);
		if (!blocks[n])
			goto fail;
		goal = blocks[n] + 1;
	}
	for (int m = 0; m < count - 1; m++) {
		struct buffer *b = buffer_blank(s->disk, blocks[m], &err);
		if (!b)
			goto fail;
		b->flags |= BUFFER_FRESH;
		((u32 *)b->data)[slots[k + m + 1]] = blocks[m + 1];
		buffer_dirty(b, class_of(depth, k + m + 1));
		buffer_put(b);
	}
	i->last_block = blocks[count - 1];
	i->i.sectors += count * (s->block_size / SECTOR_SIZE);
	return 0;
fail:
	while (n-- > 0)
		ext2_unnew_block(s, blocks[n]);
	return err;
}

u32 ext2_map(struct ext2_inode *i, u32 index, bool create, bool *fresh, int *err)
{
	struct super *s = i->super;
	u32 slots[MAX_DEPTH + 1], blocks[MAX_DEPTH + 1], found = 0;
	struct buffer *table = NULL;
	u32 *pointers = i->block;
	int depth = path_to(s, index, slots);

	*err = depth < 0 ? -EFBIG : 0;
	if (fresh)
		*fresh = false;
	for (int k = 0; !*err && k <= depth; k++) {
		u32 *slot = &pointers[slots[k]];
		if (!*slot && create) {
			*err = branch(i, depth, k, slots, blocks);
			if (*err)
				break;
			*slot = blocks[0];
			if (table)
				buffer_dirty(table, class_of(depth, k));
			ext2_idirty(i);
			if (fresh)
				*fresh = true;
			found = blocks[depth - k];
			break;
		}
		if (!*slot)
			break;
		u32 next = *slot;
		if (!valid(s, next)) {
			*err = ext2_corrupt(s, "an inode with a block that is none", i->i.ino);
			break;
		}
		if (k == depth) {
			found = next;
			break;
		}
		struct buffer *b = buffer_read(s->disk, next, err);
		if (table)
			buffer_put(table);
		table = b;
		if (b)
			pointers = (u32 *)b->data;
	}
	if (table)
		buffer_put(table);
	return found;
}

/* ---- Shortening ---- */

static void give_back(struct ext2_inode *i, u32 block)
{
	ext2_free_block(i->super, block);
	i->i.sectors -= min(i->i.sectors, (u64)(i->super->block_size / SECTOR_SIZE));
}

/* Frees what lies under a pointer but its first `keep` blocks of data. True: nothing is left, the pointer is to be 0. */
static bool free_tree(struct ext2_inode *i, u32 block, int level, u64 keep)
{
	struct super *s = i->super;
	u64 span = 1;
	int err;

	if (!valid(s, block)) {
		ext2_corrupt(s, "an inode with a block that is none", i->i.ino);
		return true;
	}
	if (level == 0) {
		give_back(i, block);
		return true;
	}
	int shift = s->block_size == 1024 ? 8 : s->block_size == 2048 ? 9 : 10;
	span <<= shift * (level - 1);
	struct buffer *b = buffer_read(s->disk, block, &err);
	if (!b)
		return keep == 0; /* what it pointed at is lost until fsck */
	u32 *pointers = (u32 *)b->data;
	bool changed = false;
	for (u32 e = keep >> shift * (level - 1); e < s->pointers; e++) {
		u64 kept = (u64)e << shift * (level - 1) < keep ? keep - ((u64)e << shift * (level - 1)) : 0;
		if (pointers[e] && free_tree(i, pointers[e], level - 1, min(kept, span)) && keep) {
			pointers[e] = 0;
			changed = true;
		}
	}
	if (changed)
		buffer_dirty(b, BLK_INDIRECT + level - 1);
	buffer_put(b);
	if (!keep)
		give_back(i, block);
	return !keep;
}

static bool has_blocks(struct ext2_inode *i)
{
	return S_ISREG(i->i.mode) || S_ISDIR(i->i.mode) || (S_ISLNK(i->i.mode) && i->i.size >= sizeof(i->block));
}

int ext2_shorten(struct ext2_inode *i, u64 size)
{
	struct super *s = i->super;
	u64 keep = (size + s->block_size - 1) >> (10 + s->sb->log_block_size), base = EXT2_DIRECT, span = 1;

	if (!has_blocks(i))
		return 0;
	for (u64 n = keep; n < EXT2_DIRECT; n++)
		if (i->block[n]) {
			free_tree(i, i->block[n], 0, 0);
			i->block[n] = 0;
		}
	for (int level = 1; level <= MAX_DEPTH; level++, base += span) {
		span *= s->pointers;
		u32 *slot = &i->block[EXT2_DIRECT + level - 1];
		if (*slot && keep < base + span && free_tree(i, *slot, level, keep > base ? keep - base : 0))
			*slot = 0;
	}
	i->last_block = 0;
	ext2_idirty(i);
	return 0;
}
