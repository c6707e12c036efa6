/*
 * ext2: blocks and inodes given out and taken back. Each group of blocks has a bitmap of its blocks and one of its inodes;
 * counts of what is free are kept by group and in the superblock. What is taken back is free by the bitmaps at once, and
 * "frozen" until a checkpoint is complete: on the disk something still points at it until then (ext2_sync.c).
 */
#include "ext2.h"

static bool test_bit(const u8 *map, u32 n) { return map[n / 8] >> n % 8 & 1; }
static void set_bit(u8 *map, u32 n) { map[n / 8] |= 1 << n % 8; }
static void clear_bit(u8 *map, u32 n) { map[n / 8] &= ~(1 << n % 8); }

/* The first bit from `from` that is clear in both; `size`: none. */
static u32 find_clear(const u8 *map, const u8 *frozen, u32 from, u32 size)
{
	while (from < size) {
		u8 taken = map[from / 8] | (frozen ? frozen[from / 8] : 0);
		if (taken == 0xff) {
			from = (from / 8 + 1) * 8;
			continue;
		}
		if (!(taken >> from % 8 & 1))
			return from;
		from++;
	}
	return size;
}

static bool can_freeze(struct super *s, u8 **frozen, u32 group)
{
	if (!frozen[group])
		frozen[group] = kzalloc(s->block_size);
	return frozen[group];
}

static u32 blocks_in(struct super *s, u32 group)
{
	u32 start = s->sb->first_data_block + group * s->sb->blocks_per_group;
	return min(s->sb->blocks_per_group, s->sb->blocks_count - start);
}

static void count_blocks(struct super *s, u32 group, int change)
{
	ext2_group(s, group)->free_blocks += change;
	s->sb->free_blocks_count += change;
	ext2_group_dirty(s, group);
}

/* ---- Blocks ---- */

static u32 take_from(struct super *s, u32 group, u32 from, int *err)
{
	struct ext2_group *d = ext2_group(s, group);
	u32 size = blocks_in(s, group);

	if (!d->free_blocks)
		return 0;
	struct buffer *map = buffer_read(s->disk, d->block_bitmap, err);
	if (!map)
		return 0;
	u32 bit = find_clear(map->data, s->frozen_blocks[group], from, size);
	if (bit == size && from)
		bit = find_clear(map->data, s->frozen_blocks[group], 0, size);
	u32 block = 0;
	if (bit < size) {
		set_bit(map->data, bit);
		buffer_dirty(map, BLK_META);
		count_blocks(s, group, -1);
		block = s->sb->first_data_block + group * s->sb->blocks_per_group + bit;
	}
	buffer_put(map);
	return block;
}

u32 ext2_new_block(struct super *s, u32 goal, int *err)
{
	if (goal < s->sb->first_data_block || goal >= s->sb->blocks_count)
		goal = s->sb->first_data_block;
	u32 first = (goal - s->sb->first_data_block) / s->sb->blocks_per_group;
	u32 bit = (goal - s->sb->first_data_block) % s->sb->blocks_per_group;

	*err = 0;
	for (u32 n = 0; n < s->groups && !*err; n++) {
		u32 block = take_from(s, (first + n) % s->groups, n ? 0 : bit, err);
		if (block)
			return block;
	}
	if (!*err)
		*err = -ENOSPC;
	return 0;
}

static void give_back(struct super *s, u32 block, bool freeze)
{
	int err;

	if (block <= s->sb->first_data_block || block >= s->sb->blocks_count) {
		ext2_corrupt(s, "a block that is none", block);
		return;
	}
	u32 group = (block - s->sb->first_data_block) / s->sb->blocks_per_group;
	u32 bit = (block - s->sb->first_data_block) % s->sb->blocks_per_group;
	struct buffer *map = buffer_read(s->disk, ext2_group(s, group)->block_bitmap, &err);
	if (!map)
		return;
	if (test_bit(map->data, bit)) {
		/* Without memory to remember it in, it is lost until fsck: better than used too early. */
		if (!freeze || can_freeze(s, s->frozen_blocks, group)) {
			clear_bit(map->data, bit);
			buffer_dirty(map, BLK_META);
			count_blocks(s, group, 1);
		}
		if (freeze && s->frozen_blocks[group]) {
			set_bit(s->frozen_blocks[group], bit);
			s->frozen = true;
		}
		buffer_forget(s->disk, block);
	} else {
		ext2_corrupt(s, "a block freed that was free", block);
	}
	buffer_put(map);
}

void ext2_free_block(struct super *s, u32 block) { give_back(s, block, true); }
void ext2_unnew_block(struct super *s, u32 block) { give_back(s, block, false); }

/* ---- Inodes ---- */

static void count_inodes(struct super *s, u32 group, int change, bool directory)
{
	struct ext2_group *d = ext2_group(s, group);

	d->free_inodes += change;
	s->sb->free_inodes_count += change;
	if (directory)
		d->used_dirs -= change;
	ext2_group_dirty(s, group);
}

static u32 take_inode(struct super *s, u32 group, bool directory, int *err)
{
	struct ext2_group *d = ext2_group(s, group);
	u32 size = s->sb->inodes_per_group;

	if (!d->free_inodes)
		return 0;
	struct buffer *map = buffer_read(s->disk, d->inode_bitmap, err);
	if (!map)
		return 0;
	u32 reserved = group * size < s->first_ino - 1 ? min(s->first_ino - 1 - group * size, size) : 0;
	u32 bit = find_clear(map->data, s->frozen_inodes[group], reserved, size);
	if (bit < size) {
		set_bit(map->data, bit);
		buffer_dirty(map, BLK_META);
		count_inodes(s, group, -1, directory);
	}
	buffer_put(map);
	return bit < size ? group * size + bit + 1 : 0;
}

/* Files go near their directory, a new directory where there is most room. */
u32 ext2_new_inode(struct super *s, u32 parent_group, bool directory, int *err)
{
	u32 first = parent_group;

	if (directory)
		for (u32 g = 0; g < s->groups; g++)
			if (ext2_group(s, g)->free_inodes && ext2_group(s, g)->free_blocks > ext2_group(s, first)->free_blocks)
				first = g;
	*err = 0;
	for (u32 n = 0; n < s->groups && !*err; n++) {
		u32 ino = take_inode(s, (first + n) % s->groups, directory, err);
		if (ino)
			return ino;
	}
	if (!*err)
		*err = -ENOSPC;
	return 0;
}

bool ext2_can_free_inode(struct super *s, u32 ino)
{
	return can_freeze(s, s->frozen_inodes, (ino - 1) / s->sb->inodes_per_group);
}

void ext2_free_inode(struct super *s, u32 ino, bool directory)
{
	u32 group = (ino - 1) / s->sb->inodes_per_group, bit = (ino - 1) % s->sb->inodes_per_group;
	int err;
	/* One that could not be cleared in the table would still have its blocks there. */
	if (!ext2_can_free_inode(s, ino))
		return;
	struct buffer *map = buffer_read(s->disk, ext2_group(s, group)->inode_bitmap, &err);

	if (!map)
		return;
	if (test_bit(map->data, bit)) {
		clear_bit(map->data, bit);
		buffer_dirty(map, BLK_META);
		count_inodes(s, group, 1, directory);
		set_bit(s->frozen_inodes[group], bit);
		s->frozen = true;
	} else {
		ext2_corrupt(s, "an inode freed that was free", ino);
	}
	buffer_put(map);
}
