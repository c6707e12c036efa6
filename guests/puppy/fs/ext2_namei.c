/* ext2: names made and taken away. The order in which the disk learns of it is ext2_sync.c's. */
#include "ext2.h"

/* A directory that is in memory holds on to the one it is in: ".." needs no look at the disk. */
void ext2_adopt(struct ext2_inode *dir, struct ext2_inode *child)
{
	if (!S_ISDIR(child->i.mode) || child->i.parent == &dir->i)
		return;
	struct inode *old = child->i.parent;
	child->i.parent = inode_get(&dir->i);
	if (old)
		ext2_iput(EXT2(old));
}

struct ext2_inode *ext2_iget_name(struct ext2_inode *dir, const char *name, int *err)
{
	u32 ino;

	*err = ext2_dir_find(dir, name, &ino);
	struct ext2_inode *i = *err ? NULL : ext2_iget(dir->super, ino, err);
	if (i)
		ext2_adopt(dir, i);
	return i;
}

static struct inode *lookup(struct inode *inode, const char *name, int *err)
{
	struct ext2_inode *dir = EXT2(inode), *i;

	ext2_lock(dir->super);
	i = ext2_iget_name(dir, name, err);
	ext2_unlock(dir->super);
	return i ? &i->i : NULL;
}

static void put(struct inode *inode)
{
	/* The reference may be what keeps the inode, and the file system, from going. */
	struct super *s = EXT2(inode)->super;
	struct disk *d = s->disk;

	mutex_lock(&d->lock);
	ext2_iput(EXT2(inode));
	mutex_unlock(&d->lock);
}

/* ---- Making ---- */

static int write_target(struct ext2_inode *i, const char *target)
{
	size_t n = strlen(target);
	int err = 0;

	if (n < sizeof(i->block)) {
		memcpy(i->block, target, n);
		i->i.size = n;
		return 0;
	}
	if (n > i->super->block_size)
		return -ENAMETOOLONG;
	u32 block = ext2_map(i, 0, true, NULL, &err);
	struct buffer *b = block ? buffer_blank(i->super->disk, block, &err) : NULL;
	if (!b)
		return err;
	memcpy(b->data, target, n);
	buffer_dirty(b, BLK_DATA);
	buffer_put(b);
	i->i.size = n;
	return 0;
}

static int new_inode(struct ext2_inode *dir, u32 mode, struct ext2_inode **out)
{
	struct super *s = dir->super;
	static u32 generation;
	int err;
	u32 ino = ext2_new_inode(s, (dir->i.ino - 1) / s->sb->inodes_per_group, S_ISDIR(mode), &err);

	if (!ino)
		return err;
	struct ext2_inode *i = *out = ext2_inode_make(s, ino);
	if (!i) {
		ext2_free_inode(s, ino, S_ISDIR(mode));
		return -ENOMEM;
	}
	i->made = true;
	i->i.mode = mode;
	i->i.atime = i->i.mtime = i->i.ctime = ext2_now();
	i->generation = ++generation ^ i->i.mtime << 8;
	ext2_idirty(i);
	return 0;
}

static int make(struct ext2_inode *dir, const char *name, u32 mode, u32 rdev, const char *target, struct ext2_inode **out)
{
	u32 ino;
	int err = dir->i.nlink ? ext2_dir_find(dir, name, &ino) : -EROFS;

	*out = NULL;
	if (err != -ENOENT)
		return !dir->i.nlink ? -ENOENT : err ? err : -EEXIST;
	if (S_ISDIR(mode) && dir->i.nlink >= EXT2_LINK_MAX)
		return -EMLINK;
	struct ext2_inode *i = NULL;
	err = new_inode(dir, mode, &i);
	if (err)
		return err;
	if (S_ISDIR(mode))
		err = ext2_dir_init(i, dir->i.ino);
	else if (S_ISLNK(mode))
		err = write_target(i, target);
	else if (!S_ISREG(mode))
		i->i.rdev = i->block[0] = rdev;
	if (!err)
		err = ext2_dir_add(dir, name, i->i.ino, mode, false, NULL);
	if (err) {
		/* Nameless and unused, it goes the way of all such. */
		ext2_iput(i);
		return err;
	}
	i->i.nlink = 1;
	if (S_ISDIR(mode)) {
		i->i.nlink++;
		dir->i.nlink++;
		ext2_idirty(dir);
		ext2_adopt(dir, i);
	}
	ext2_idirty(i);
	*out = i;
	return 0;
}

static struct inode *create(struct inode *inode, const char *name, u32 mode, u32 rdev, const char *target, int *err)
{
	struct ext2_inode *dir = EXT2(inode), *i = NULL;

	ext2_lock(dir->super);
	*err = ext2_begin(dir->super);
	if (!*err)
		*err = make(dir, name, mode, rdev, target, &i);
	if (*err && ext2_retry(dir->super, *err))
		*err = make(dir, name, mode, rdev, target, &i);
	ext2_unlock(dir->super);
	return i ? &i->i : NULL;
}

static int add_link(struct ext2_inode *dir, const char *name, struct ext2_inode *i)
{
	u32 ino, block;
	int err = dir->i.nlink && i->i.nlink ? ext2_dir_find(dir, name, &ino) : 0;

	if (!dir->i.nlink || !i->i.nlink)
		return -ENOENT;
	if (err != -ENOENT)
		return err ? err : -EEXIST;
	if (i->i.nlink >= EXT2_LINK_MAX)
		return -EMLINK;
	err = ext2_dir_add(dir, name, i->i.ino, i->i.mode, true, &block);
	if (err)
		return err;
	i->i.nlink++;
	i->i.ctime = ext2_now();
	ext2_idirty(i);
	return ext2_arrived(dir->super, block);
}

static int link(struct inode *inode, const char *name, struct inode *i)
{
	struct ext2_inode *dir = EXT2(inode);

	ext2_lock(dir->super);
	int err = ext2_begin(dir->super);
	if (!err)
		err = add_link(dir, name, EXT2(i));
	if (err && ext2_retry(dir->super, err))
		err = add_link(dir, name, EXT2(i));
	ext2_unlock(dir->super);
	return err;
}

/* ---- Taking away ---- */

void ext2_lose_name(struct ext2_inode *dir, struct ext2_inode *i)
{
	i->i.ctime = ext2_now();
	if (S_ISDIR(i->i.mode)) {
		i->i.nlink = 0;
		dir->i.nlink -= dir->i.nlink > 2;
		ext2_idirty(dir);
	} else if (i->i.nlink) {
		i->i.nlink--;
	}
	ext2_idirty(i);
}

int ext2_may_remove(struct ext2_inode *i, bool directory)
{
	if (directory != S_ISDIR(i->i.mode))
		return directory ? -ENOTDIR : -EISDIR;
	if (!directory)
		return 0;
	if (i->i.mounted)
		return -EBUSY;
	int empty = ext2_dir_empty(i);
	return empty < 0 ? empty : empty ? 0 : -ENOTEMPTY;
}

static int remove_name(struct ext2_inode *dir, const char *name, bool directory)
{
	struct super *s = dir->super;
	int err;
	u32 block;
	struct ext2_inode *i = ext2_iget_name(dir, name, &err);

	if (!i)
		return err;
	/* Another name may have been made to take this one's place: then this one goes after that. What a directory had that
	 * has moved elsewhere must be there before the directory goes. */
	bool departure = !directory && i->i.nlink > 1;
	err = ext2_may_remove(i, directory);
	if (!err)
		err = ext2_dir_block(dir, name, &block);
	if (!err && ((departure && ext2_is_arrival(s, block)) || (directory && ext2_dir_has(i, BLK_DIR_LATE))))
		err = ext2_checkpoint(s, false);
	if (!err)
		err = ext2_dir_remove(dir, name, &block);
	if (!err) {
		ext2_lose_name(dir, i);
		if (departure)
			err = ext2_departed(s, block);
	}
	ext2_iput(i);
	return err;
}

static int unlink(struct inode *inode, const char *name, bool directory)
{
	struct ext2_inode *dir = EXT2(inode);

	ext2_lock(dir->super);
	int err = ext2_begin(dir->super);
	if (!err)
		err = remove_name(dir, name, directory);
	ext2_unlock(dir->super);
	return err;
}

/* ---- The rest ---- */

static int set(struct inode *i, const struct attributes *a)
{
	struct super *s = EXT2(i)->super;

	ext2_lock(s);
	int err = ext2_begin(s);
	if (!err) {
		if (a->set & SET_MODE)
			i->mode = (i->mode & S_IFMT) | (a->mode & 07777);
		if (a->set & SET_UID)
			i->uid = a->uid;
		if (a->set & SET_GID)
			i->gid = a->gid;
		if (a->set & SET_ATIME)
			i->atime = a->atime;
		if (a->set & SET_MTIME)
			i->mtime = a->mtime;
		i->ctime = ext2_now();
		ext2_idirty(EXT2(i));
	}
	ext2_unlock(s);
	return err;
}

const struct inode_ops ext2_iops = {
	.lookup = lookup,
	.create = create,
	.link = link,
	.unlink = unlink,
	.rename = ext2_rename,
	.truncate = ext2_truncate,
	.set = set,
	.read = ext2_kread,
	.page = ext2_page,
	.entry = ext2_entry,
	.name_of = ext2_name_of,
	.usage = ext2_usage,
	.put = put,
};
