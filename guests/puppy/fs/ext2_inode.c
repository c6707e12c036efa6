/*
 * ext2: inodes. One that is in use, or that has changed since the last checkpoint, is in memory, and there is the truth;
 * the inode table's block gets a copy when the order of writing allows it. So a block of the table that is written for one
 * inode never takes a neighbour along that points at what the disk does not have yet.
 */
#include "ext2.h"

static struct ext2_inode **bucket(struct super *s, u32 ino) { return &s->hash[ino % EXT2_HASH]; }

struct buffer *ext2_table_block(struct super *s, u32 ino, struct ext2_disk_inode **at, int *err)
{
	u32 group = (ino - 1) / s->sb->inodes_per_group, index = (ino - 1) % s->sb->inodes_per_group;
	u32 each = s->block_size / s->inode_size;
	struct buffer *b = buffer_read(s->disk, ext2_group(s, group)->inode_table + index / each, err);

	if (b)
		*at = (void *)(b->data + index % each * s->inode_size);
	return b;
}

struct ext2_inode *ext2_inode_make(struct super *s, u32 ino)
{
	struct ext2_inode *i = kzalloc(sizeof(*i));

	if (!i)
		return NULL;
	i->super = s;
	i->i.ino = ino;
	i->i.refs = 1;
	i->i.iops = &ext2_iops;
	i->i.fops = &ext2_fops;
	i->i.dev = s->root ? s->root->dev : 0;
	i->same_hash = *bucket(s, ino);
	*bucket(s, ino) = i;
	return i;
}

static void fill(struct ext2_inode *i, const struct ext2_disk_inode *d)
{
	i->i.mode = d->mode;
	i->i.uid = d->uid | (u32)d->uid_high << 16;
	i->i.gid = d->gid | (u32)d->gid_high << 16;
	i->i.nlink = d->links;
	i->i.atime = d->atime;
	i->i.mtime = d->mtime;
	i->i.ctime = d->ctime;
	i->i.sectors = d->sectors;
	i->i.size = d->size | (S_ISREG(d->mode) ? (u64)d->size_high << 32 : 0);
	i->flags = d->flags;
	i->file_acl = d->file_acl;
	i->generation = d->generation;
	memcpy(i->block, d->block, sizeof(i->block));
	if (S_ISCHR(d->mode) || S_ISBLK(d->mode))
		i->i.rdev = d->block[0] ? d->block[0] : d->block[1];
}

static void remove_from_hash(struct ext2_inode *i)
{
	struct ext2_inode **p = bucket(i->super, i->i.ino);

	while (*p != i)
		p = &(*p)->same_hash;
	*p = i->same_hash;
}

struct ext2_inode *ext2_iget(struct super *s, u32 ino, int *err)
{
	struct ext2_disk_inode *d;

	if (!ino || ino > s->sb->inodes_count || (ino < s->first_ino && ino != EXT2_ROOT_INO)) {
		*err = ext2_corrupt(s, "an inode that is none", ino);
		return NULL;
	}
	for (struct ext2_inode *i = *bucket(s, ino); i; i = i->same_hash)
		if (i->i.ino == ino && !i->gone) {
			inode_get(&i->i);
			return i;
		}
	struct buffer *b = ext2_table_block(s, ino, &d, err);
	if (!b)
		return NULL;
	struct ext2_inode *i = NULL;
	if (!d->links || !d->mode)
		*err = ext2_corrupt(s, "a name of an inode that is free", ino);
	else if ((i = ext2_inode_make(s, ino)))
		fill(i, d);
	else
		*err = -ENOMEM;
	buffer_put(b);
	return i;
}

void ext2_idirty(struct ext2_inode *i)
{
	if (i->dirty)
		return;
	i->dirty = true;
	i->super->dirty_inodes++;
}

static void clean(struct ext2_inode *i)
{
	if (i->dirty)
		i->super->dirty_inodes--;
	i->dirty = false;
}

int ext2_iwrite(struct ext2_inode *i, bool gone)
{
	struct super *s = i->super;
	struct ext2_disk_inode *d;
	int err;
	struct buffer *b = ext2_table_block(s, i->i.ino, &d, &err);

	if (!b)
		return err;
	if (i->made) {
		memset(d, 0, s->inode_size);
		if (s->inode_size >= EXT2_OLD_INODE_SIZE + EXT2_EXTRA_SIZE) {
			d->extra_size = EXT2_EXTRA_SIZE;
			d->crtime = i->i.ctime;
		}
		i->made = false;
	}
	d->mode = i->i.mode;
	d->uid = i->i.uid;
	d->uid_high = i->i.uid >> 16;
	d->gid = i->i.gid;
	d->gid_high = i->i.gid >> 16;
	d->links = gone ? 0 : i->i.nlink;
	d->dtime = gone ? ext2_now() : 0;
	d->atime = i->i.atime;
	d->mtime = i->i.mtime;
	d->ctime = i->i.ctime;
	d->sectors = i->i.sectors;
	d->size = i->i.size;
	d->size_high = S_ISREG(i->i.mode) ? i->i.size >> 32 : 0;
	d->flags = i->flags;
	d->file_acl = i->file_acl;
	d->generation = i->generation;
	memcpy(d->block, i->block, sizeof(d->block));
	/* Nanoseconds, and centuries after 2106, which we do not keep. */
	if (s->inode_size >= EXT2_OLD_INODE_SIZE + EXT2_EXTRA_SIZE && d->extra_size >= EXT2_EXTRA_SIZE - 8)
		d->ctime_extra = d->mtime_extra = d->atime_extra = 0;
	buffer_dirty(b, BLK_INODE);
	buffer_put(b);
	clean(i);
	return 0;
}

/* ---- References ---- */

static void forget(struct ext2_inode *i)
{
	clean(i);
	remove_from_hash(i);
	ext2_drop_pages(&i->i, 0, ~0ul);
	kfree(i->i.pages);
	kfree(i);
}

/* An unused inode that need not stay is forgotten, which may leave the directory it is in unused, and so on up. */
static void unused(struct ext2_inode *i)
{
	while (i && !READ_ONCE(i->i.refs)) {
		if (!i->i.nlink && !i->gone && !i->super->read_only)
			ext2_idelete(i);
		if (i->dirty && !i->gone)
			return;
		struct inode *up = i->i.parent;
		bool held = up && up != &i->i;
		forget(i);
		i = held ? EXT2(up) : NULL;
		if (i)
			__atomic_sub_fetch(&i->i.refs, 1, __ATOMIC_ACQ_REL);
	}
}

void ext2_iput(struct ext2_inode *i)
{
	if (!__atomic_sub_fetch(&i->i.refs, 1, __ATOMIC_ACQ_REL))
		unused(i);
}

void ext2_prune(struct super *s)
{
	/* Forgetting one may take its neighbour on the list along. */
	for (int h = 0; h < EXT2_HASH; h++)
	again:
		for (struct ext2_inode *i = s->hash[h]; i; i = i->same_hash)
			if (!READ_ONCE(i->i.refs) && (!i->dirty || i->gone)) {
				unused(i);
				goto again;
			}
}

static void free_attributes(struct ext2_inode *i)
{
	int err;
	u32 block = i->file_acl;
	struct buffer *b = block ? buffer_read(i->super->disk, block, &err) : NULL;

	i->file_acl = 0;
	if (!b)
		return;
	struct ext2_xattr_header *h = (void *)b->data;
	if (h->magic == EXT2_XATTR_MAGIC && h->refcount > 1) {
		h->refcount--;
		buffer_dirty(b, BLK_META);
		buffer_put(b);
		return;
	}
	buffer_put(b);
	ext2_free_block(i->super, block);
}

void ext2_idelete(struct ext2_inode *i)
{
	bool directory = S_ISDIR(i->i.mode);

	/* Later, then: it stays in memory, and the table learns that it has no name. */
	if (!ext2_can_free_inode(i->super, i->i.ino)) {
		ext2_idirty(i);
		return;
	}
	free_attributes(i);
	ext2_shorten(i, 0);
	i->i.size = 0;
	ext2_free_inode(i->super, i->i.ino, directory);
	/* The table's inode is cleared with all that are frozen; see ext2_checkpoint. */
	i->gone = true;
	clean(i);
}
