/* ext2: names made, moved and taken away. The order in which the disk learns of it is ext2_sync.c's. */
#include "ext2.h"

/* A directory that is in memory holds on to the one it is in: ".." needs no look at the disk. */
static void adopt(struct ext2_inode *dir, struct ext2_inode *child)
{
	if (!S_ISDIR(child->i.mode) || child->i.parent == &dir->i)
		return;
	struct inode *old = child->i.parent;
	child->i.parent = inode_get(&dir->i);
	if (old)
		ext2_iput(EXT2(old));
}

static struct ext2_inode *get_by_name(struct ext2_inode *dir, const char *name, int *err)
{
	u32 ino;

	*err = ext2_dir_find(dir, name, &ino);
	struct ext2_inode *i = *err ? NULL : ext2_iget(dir->super, ino, err);
	if (i)
		adopt(dir, i);
	return i;
}

static struct inode *lookup(struct inode *inode, const char *name, int *err)
{
	struct ext2_inode *dir = EXT2(inode), *i;

	ext2_lock(dir->super);
	i = get_by_name(dir, name, err);
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
		adopt(dir, i);
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

static void lose_name(struct ext2_inode *dir, struct ext2_inode *i)
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

static int may_remove(struct ext2_inode *i, bool directory)
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
	struct ext2_inode *i = get_by_name(dir, name, &err);

	if (!i)
		return err;
	/* Another name may have been made to take this one's place: then this one goes after that. What a directory had that
	 * has moved elsewhere must be there before the directory goes. */
	bool departure = !directory && i->i.nlink > 1;
	err = may_remove(i, directory);
	if (!err)
		err = ext2_dir_block(dir, name, &block);
	if (!err && ((departure && ext2_is_arrival(s, block)) || (directory && ext2_dir_has(i, BLK_DIR_LATE))))
		err = ext2_checkpoint(s, false);
	if (!err)
		err = ext2_dir_remove(dir, name, &block);
	if (!err) {
		lose_name(dir, i);
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

/* ---- Moving: the new name first, then the old one away, and so on the disk ---- */

struct move {
	struct ext2_inode *from_dir, *to_dir, *i, *there;
	const char *from, *to;
};

static int may_move(struct move *m)
{
	if (!m->to_dir->i.nlink)
		return -ENOENT;
	if (m->there && S_ISDIR(m->there->i.mode) != S_ISDIR(m->i->i.mode))
		return S_ISDIR(m->there->i.mode) ? -EISDIR : -ENOTDIR;
	if (m->there && S_ISDIR(m->there->i.mode))
		return may_remove(m->there, true);
	if (S_ISDIR(m->i->i.mode) && m->from_dir != m->to_dir && m->to_dir->i.nlink >= EXT2_LINK_MAX)
		return -EMLINK;
	return 0;
}

/* Before anything changes: what this move would have to come both before and after is brought to the disk. */
static int settle(struct move *m)
{
	struct super *s = m->i->super;
	u32 from, to;
	int err = ext2_dir_block(m->from_dir, m->from, &from);
	bool wait = false;

	if (err)
		return err;
	if (m->there) {
		err = ext2_dir_block(m->to_dir, m->to, &to);
		if (err)
			return err;
		wait = ext2_is_late(s, to) || (S_ISDIR(m->there->i.mode) && ext2_dir_has(m->there, BLK_DIR_LATE));
	}
	return wait || ext2_is_arrival(s, from) ? ext2_checkpoint(s, false) : 0;
}

static int do_move(struct move *m)
{
	struct super *s = m->i->super;
	bool directory = S_ISDIR(m->i->i.mode);
	u32 from, to;
	int err;

	if (m->there)
		err = ext2_dir_replace(m->to_dir, m->to, m->i->i.ino, m->i->i.mode, &to);
	else
		err = ext2_dir_add(m->to_dir, m->to, m->i->i.ino, m->i->i.mode, true, &to);
	if (err)
		return err;
	err = ext2_dir_remove(m->from_dir, m->from, &from);
	if (err)
		return err;
	if (m->there)
		lose_name(m->to_dir, m->there);
	m->i->i.ctime = ext2_now();
	ext2_idirty(m->i);
	if (directory && m->from_dir != m->to_dir) {
		err = ext2_dir_set_parent(m->i, m->to_dir->i.ino);
		m->from_dir->i.nlink -= m->from_dir->i.nlink > 2;
		m->to_dir->i.nlink++;
		ext2_idirty(m->from_dir);
		ext2_idirty(m->to_dir);
		adopt(m->to_dir, m->i);
	}
	if (!err && from != to) {
		err = ext2_arrived(s, to);
		if (!err)
			err = ext2_departed(s, from);
	}
	return err;
}

static int rename_locked(struct move *m)
{
	int err;

	m->i = get_by_name(m->from_dir, m->from, &err);
	if (!m->i)
		return err;
	m->there = get_by_name(m->to_dir, m->to, &err);
	if (m->there || err == -ENOENT) {
		err = m->there == m->i ? 0 : may_move(m);
		if (!err && m->there != m->i) {
			err = settle(m);
			if (!err)
				err = do_move(m);
		}
	}
	if (m->there)
		ext2_iput(m->there);
	ext2_iput(m->i);
	return err;
}

static int rename(struct inode *from_dir, const char *from, struct inode *to_dir, const char *to)
{
	struct move m = { .from_dir = EXT2(from_dir), .to_dir = EXT2(to_dir), .from = from, .to = to };
	struct super *s = m.from_dir->super;

	if (!strcmp(from, ".") || !strcmp(from, "..") || !strcmp(to, ".") || !strcmp(to, ".."))
		return -EBUSY;
	ext2_lock(s);
	int err = ext2_begin(s);
	if (!err)
		err = rename_locked(&m);
	if (err && ext2_retry(s, err))
		err = rename_locked(&m);
	ext2_unlock(s);
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
	.rename = rename,
	.truncate = ext2_truncate,
	.set = set,
	.read = ext2_kread,
	.page = ext2_page,
	.entry = ext2_entry,
	.name_of = ext2_name_of,
	.usage = ext2_usage,
	.put = put,
};
