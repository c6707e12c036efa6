/* ext2: names moved. The new name first, then the old one away, and so on the disk. */
#include "ext2.h"

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
		return ext2_may_remove(m->there, true);
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
		/* What is replaced may have been given another name to live on by: the disk must have that first. */
		bool other = !S_ISDIR(m->there->i.mode) && m->there->i.nlink > 1 && m->there->dirty;
		wait = other || ext2_is_late(s, to) || (S_ISDIR(m->there->i.mode) && ext2_dir_has(m->there, BLK_DIR_LATE));
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
		ext2_lose_name(m->to_dir, m->there);
	m->i->i.ctime = ext2_now();
	ext2_idirty(m->i);
	if (directory && m->from_dir != m->to_dir) {
		err = ext2_dir_set_parent(m->i, m->to_dir->i.ino);
		m->from_dir->i.nlink -= m->from_dir->i.nlink > 2;
		m->to_dir->i.nlink++;
		ext2_idirty(m->from_dir);
		ext2_idirty(m->to_dir);
		ext2_adopt(m->to_dir, m->i);
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

	m->i = ext2_iget_name(m->from_dir, m->from, &err);
	if (!m->i)
		return err;
	m->there = ext2_iget_name(m->to_dir, m->to, &err);
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

int ext2_rename(struct inode *from_dir, const char *from, struct inode *to_dir, const char *to)
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
