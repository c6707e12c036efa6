/* ext2: mounting, what is refused and why, unmounting. */
#include "ext2.h"

static u32 blocks_per_group_of(struct super *s) { return s->sb->blocks_per_group; }

struct ext2_group *ext2_group(struct super *s, u32 group)
{
	u32 each = s->block_size / sizeof(struct ext2_group);
	return (struct ext2_group *)s->group_buffers[group / each]->data + group % each;
}

void ext2_group_dirty(struct super *s, u32 group)
{
	u32 each = s->block_size / sizeof(struct ext2_group);

	buffer_dirty(s->group_buffers[group / each], BLK_META);
	buffer_dirty(s->super_buffer, BLK_META);
	s->metadata_dirty = true;
}

int ext2_corrupt(struct super *s, const char *what, u32 number)
{
	pr_err("%s: %s (%u): run fsck.ext2 on it\n", s->disk->name, what, number);
	/* Whoever checks file systems at boot sees by this that it must be looked at. */
	if (!s->read_only && !(s->sb->state & EXT2_ERROR)) {
		s->sb->state |= EXT2_ERROR;
		buffer_dirty(s->super_buffer, BLK_META);
	}
	return -EIO;
}

/* ---- Mounting ---- */

static int refuse(struct disk *d, const char *why, u32 number)
{
	pr_notice("%s: not mounted: %s (%#x)\n", d->name, why, number);
	return -EINVAL;
}

/* Everything that later code takes for granted. */
static int check(struct disk *d, const struct ext2_super_block *sb, u32 *block_size)
{
	if (sb->magic != EXT2_MAGIC)
		return refuse(d, "no ext2 file system", sb->magic);
	if (sb->rev > 1)
		return refuse(d, "unknown revision", sb->rev);
	if (sb->rev && sb->incompat & ~EXT2_INCOMPAT_FILETYPE)
		return refuse(d, "incompatible features", sb->incompat & ~EXT2_INCOMPAT_FILETYPE);
	if (sb->log_block_size > 2)
		return refuse(d, "blocks of more than 4096 bytes", sb->log_block_size);
	u32 size = *block_size = 1024u << sb->log_block_size;
	if (size < d->sector_size)
		return refuse(d, "blocks smaller than the disk's", size);
	u32 inode_size = sb->rev ? sb->inode_size : EXT2_OLD_INODE_SIZE;
	if (inode_size < EXT2_OLD_INODE_SIZE || inode_size > size || inode_size & (inode_size - 1))
		return refuse(d, "a strange size of inodes", inode_size);
	if (!sb->blocks_per_group || sb->blocks_per_group > size * 8 || !sb->inodes_per_group ||
	    sb->inodes_per_group > size * 8 || sb->inodes_per_group % (size / inode_size))
		return refuse(d, "strange groups", sb->blocks_per_group);
	if (sb->first_data_block != (size == 1024) || sb->blocks_count <= sb->first_data_block)
		return refuse(d, "strange first block", sb->first_data_block);
	if (sb->blocks_count > d->sectors / (size / SECTOR_SIZE))
		return refuse(d, "larger than the disk", sb->blocks_count);
	u32 groups = (sb->blocks_count - sb->first_data_block - 1) / sb->blocks_per_group + 1;
	if ((u64)groups * sb->inodes_per_group != sb->inodes_count)
		return refuse(d, "inodes that do not fit the groups", sb->inodes_count);
	return 0;
}

static bool inside(struct super *s, u32 block)
{
	return block >= s->sb->first_data_block && block < s->sb->blocks_count;
}

static int read_groups(struct super *s)
{
	u32 each = s->block_size / sizeof(struct ext2_group), n = (s->groups + each - 1) / each;
	int err = 0, order = 0;

	/* Three tables of pointers, one for each group at most. */
	while ((PAGE_SIZE << order) < 3 * s->groups * sizeof(void *))
		order++;
	if (order > 10 || !(s->frozen_pfn = alloc_pages(order)))
		return -ENOMEM;
	s->frozen_order = order;
	void **tables = pfn_to_va(s->frozen_pfn);
	memset(tables, 0, PAGE_SIZE << order);
	s->frozen_blocks = (u8 **)tables;
	s->frozen_inodes = (u8 **)tables + s->groups;
	s->group_buffers = (struct buffer **)tables + 2 * s->groups;
	for (u32 i = 0; i < n; i++)
		if (!(s->group_buffers[i] = buffer_read(s->disk, s->sb->first_data_block + 1 + i, &err)))
			return err;
	u32 table_blocks = s->sb->inodes_per_group * s->inode_size / s->block_size;
	for (u32 g = 0; g < s->groups; g++) {
		struct ext2_group *d = ext2_group(s, g);
		if (!inside(s, d->block_bitmap) || !inside(s, d->inode_bitmap) || !inside(s, d->inode_table) ||
		    !inside(s, d->inode_table + table_blocks - 1))
			return refuse(s->disk, "a group's tables lie outside", g);
	}
	return 0;
}

static void release(struct super *s)
{
	if (s->group_buffers)
		for (u32 i = 0; i < s->groups && s->group_buffers[i]; i++)
			buffer_put(s->group_buffers[i]);
	if (s->frozen_pfn) {
		for (u32 g = 0; g < s->groups; g++) {
			kfree(s->frozen_blocks[g]);
			kfree(s->frozen_inodes[g]);
		}
		free_pages_order(s->frozen_pfn, s->frozen_order);
	}
	if (s->super_buffer)
		buffer_put(s->super_buffer);
	kfree(s);
}

/* Writes the superblock by itself, and waits until it is there for good. */
static int set_state(struct super *s, bool valid)
{
	s->sb->state = (s->sb->state & ~EXT2_VALID) | (valid && s->was_valid ? EXT2_VALID : 0);
	s->sb->wtime = ext2_now();
	buffer_dirty(s->super_buffer, BLK_META);
	int err = buffer_write(s->disk, BLK_META);
	return err ? err : blk_flush(s->disk);
}

static int begin_writing(struct super *s)
{
	struct ext2_super_block *sb = s->sb;

	if (s->disk->read_only)
		return -EROFS;
	if (sb->rev && sb->ro_compat & ~EXT2_RO_KNOWN) {
		pr_notice("%s: features that can only be read (%#x)\n", s->disk->name, sb->ro_compat & ~EXT2_RO_KNOWN);
		return -EROFS;
	}
	if (!(sb->state & EXT2_VALID) || sb->state & EXT2_ERROR) {
		pr_notice("%s: was not unmounted, or has errors: run fsck.ext2 on it\n", s->disk->name);
		return -EROFS;
	}
	s->was_valid = true;
	sb->mnt_count++;
	sb->mtime = ext2_now();
	/* From here on the disk says that it is in use, before anything else on it changes. */
	return set_state(s, false);
}

static int read_super(struct super *s, struct disk *d)
{
	u32 size = 0;
	int err;
	/* Found with whatever size of blocks the cache has; then with its own. */
	struct buffer *b = buffer_read(d, EXT2_SUPER_AT / d->block_size, &err);
	if (!b)
		return err;
	err = check(d, (void *)(b->data + EXT2_SUPER_AT % d->block_size), &size);
	buffer_put(b);
	if (err || (err = buffer_set_size(d, size)))
		return err;
	s->super_buffer = buffer_read(d, EXT2_SUPER_AT / size, &err);
	if (!s->super_buffer)
		return err;
	s->sb = (void *)(s->super_buffer->data + EXT2_SUPER_AT % size);
	s->disk = d;
	s->block_size = size;
	s->pointers = size / sizeof(u32);
	s->inode_size = s->sb->rev ? s->sb->inode_size : EXT2_OLD_INODE_SIZE;
	s->first_ino = s->sb->rev ? s->sb->first_ino : EXT2_OLD_FIRST_INO;
	s->groups = (s->sb->blocks_count - s->sb->first_data_block - 1) / blocks_per_group_of(s) + 1;
	return read_groups(s);
}

struct super *ext2_mount(struct disk *d, bool read_only, int *err)
{
	struct super *s = kzalloc(sizeof(*s));

	*err = -ENOMEM;
	if (!s)
		return NULL;
	s->read_only = true;
	*err = read_super(s, d);
	if (!*err && !read_only) {
		*err = begin_writing(s);
		/* As Linux does, what cannot be written is mounted for reading. */
		s->read_only = *err;
		if (*err == -EROFS)
			*err = 0;
	}
	struct ext2_inode *root = *err ? NULL : ext2_iget(s, EXT2_ROOT_INO, err);
	if (root && !S_ISDIR(root->i.mode)) {
		ext2_iput(root);
		*err = refuse(d, "its root is no directory", root->i.mode);
	}
	if (*err) {
		ext2_prune(s);
		release(s);
		return NULL;
	}
	s->root = &root->i;
	root->i.parent = &root->i;
	d->mounted = s;
	return s;
}

/* ---- The end ---- */

static int end_writing(struct super *s)
{
	if (s->read_only)
		return 0;
	int err = ext2_checkpoint(s, true);
	if (!err)
		err = set_state(s, true);
	if (!err)
		s->read_only = true;
	return err;
}

static bool busy(struct super *s)
{
	for (int h = 0; h < EXT2_HASH; h++)
		for (struct ext2_inode *i = s->hash[h]; i; i = i->same_hash)
			if (READ_ONCE(i->i.refs) > (&i->i == s->root))
				return true;
	return false;
}

int ext2_umount(struct super *s)
{
	ext2_prune(s);
	if (s->root->mounted)
		return -EBUSY;
	int err = ext2_checkpoint(s, true);
	if (err)
		return err;
	ext2_prune(s);
	if (busy(s))
		return -EBUSY;
	err = end_writing(s);
	if (err)
		return err;
	struct disk *d = s->disk;
	s->read_only = true;
	s->root->parent = NULL;
	ext2_iput(EXT2(s->root));
	ext2_prune(s);
	d->mounted = NULL;
	release(s);
	buffer_drop(d);
	return 0;
}

int ext2_remount(struct super *s, bool read_only)
{
	if (read_only == s->read_only)
		return 0;
	if (read_only)
		return end_writing(s);
	int err = begin_writing(s);
	if (!err)
		s->read_only = false;
	return err;
}

void ext2_down(struct super *s)
{
	/* Files without names that are still open would be lost to everyone: they go now. */
	if (!s->read_only)
		for (int h = 0; h < EXT2_HASH; h++)
			for (struct ext2_inode *i = s->hash[h]; i; i = i->same_hash)
				if (!i->i.nlink && !i->gone)
					ext2_idelete(i);
	if (end_writing(s))
		pr_err("%s: could not be written to the end\n", s->disk->name);
}

void ext2_usage(struct inode *i, struct fs_usage *u)
{
	struct super *s = EXT2(i)->super;
	u32 table = s->sb->inodes_per_group * s->inode_size / s->block_size;

	*u = (struct fs_usage){ .type = EXT2_MAGIC, .block_size = s->block_size, .name_max = EXT2_NAME_MAX,
				/* As Linux counts: without what the file system needs for itself, roughly. */
				.blocks = s->sb->blocks_count - s->sb->first_data_block - s->groups * (table + 2),
				.blocks_free = s->sb->free_blocks_count, .inodes = s->sb->inodes_count,
				.inodes_free = s->sb->free_inodes_count, .read_only = s->read_only };
}
