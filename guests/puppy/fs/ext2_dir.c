/*
 * ext2: directories. Each block is filled with entries, one after the other; an entry's length reaches to the next one, so
 * that room is found by shortening an entry that is longer than it needs, and a name is removed by giving its length to
 * the entry before it. An inode number of 0 is no name.
 */
#include "ext2.h"

static const u8 type_of_mode[16] = { [1] = 5, [2] = 3, [4] = 2, [6] = 4, [8] = 1, [10] = 7, [12] = 6 };
static const u8 mode_of_type[8] = { 0, 8, 4, 2, 6, 1, 12, 10 };

static u32 blocks_of(struct ext2_inode *dir) { return dir->i.size >> (10 + dir->super->sb->log_block_size); }

static struct ext2_entry *entry_at(struct super *s, struct buffer *b, u32 at)
{
	struct ext2_entry *e = (void *)(b->data + at);
	u32 left = s->block_size - at;

	if (left < EXT2_ENTRY_HEAD || e->rec_len < EXT2_ENTRY_HEAD || e->rec_len % 4 || e->rec_len > left ||
	    (e->ino && (!e->name_len || ext2_entry_size(e->name_len) > e->rec_len || e->ino > s->sb->inodes_count)))
		return NULL;
	return e;
}

static struct buffer *dir_block(struct ext2_inode *dir, u32 index, int *err)
{
	struct buffer *b = ext2_read_block(dir, index, err);

	if (!b && !*err)
		*err = ext2_corrupt(dir->super, "a directory with a hole", dir->i.ino);
	return b;
}

/* Where a name is: the block, with a reference, its entry, and the one before it in the block, if any. */
struct place {
	struct buffer *b;
	struct ext2_entry *e, *before;
};

static int find(struct ext2_inode *dir, const char *name, struct place *p)
{
	struct super *s = dir->super;
	size_t n = strlen(name);
	int err = 0;

	if (n > EXT2_NAME_MAX)
		return -ENAMETOOLONG;
	for (u32 k = 0; k < blocks_of(dir); k++) {
		struct buffer *b = dir_block(dir, k, &err);
		if (!b)
			return err;
		p->b = b;
		p->before = NULL;
		for (u32 at = 0; at < s->block_size; at += p->e->rec_len) {
			struct ext2_entry *before = at ? p->e : NULL;
			p->e = entry_at(s, b, at);
			p->before = before;
			if (!p->e) {
				buffer_put(b);
				return ext2_corrupt(s, "a directory with a bad entry", dir->i.ino);
			}
			if (p->e->ino && p->e->name_len == n && !memcmp(p->e->name, name, n))
				return 0;
		}
		buffer_put(b);
	}
	return -ENOENT;
}

int ext2_dir_find(struct ext2_inode *dir, const char *name, u32 *ino)
{
	struct place p;
	int err = find(dir, name, &p);

	if (err)
		return err;
	*ino = p.e->ino;
	buffer_put(p.b);
	return 0;
}

int ext2_dir_block(struct ext2_inode *dir, const char *name, u32 *block)
{
	struct place p;
	int err = find(dir, name, &p);

	if (err)
		return err;
	*block = p.b->block;
	buffer_put(p.b);
	return 0;
}

/* ---- Changing ---- */

static void changed(struct ext2_inode *dir, struct buffer *b, u32 *block)
{
	dir->i.mtime = dir->i.ctime = ext2_now();
	dir->flags &= ~EXT2_FL_INDEX; /* its hash trees, if it has any, we do not keep up */
	ext2_idirty(dir);
	buffer_dirty(b, BLK_DIR);
	if (block)
		*block = b->block;
	buffer_put(b);
}

static void fill(struct super *s, struct ext2_entry *e, const char *name, u32 ino, u32 mode)
{
	e->ino = ino;
	e->name_len = strlen(name);
	e->type = ext2_has_filetype(s) ? type_of_mode[mode >> 12 & 15] : 0;
	memcpy(e->name, name, e->name_len);
}

/* Puts the name into the block if it has room. */
static bool insert(struct super *s, struct buffer *b, const char *name, u32 ino, u32 mode, int *err)
{
	u32 need = ext2_entry_size(strlen(name));

	for (u32 at = 0; at < s->block_size;) {
		struct ext2_entry *e = entry_at(s, b, at);
		if (!e) {
			*err = ext2_corrupt(s, "a directory with a bad entry", b->block);
			return false;
		}
		u32 used = e->ino ? ext2_entry_size(e->name_len) : 0;
		if (e->rec_len >= used + need) {
			if (used) {
				struct ext2_entry *rest = (void *)(b->data + at + used);
				rest->rec_len = e->rec_len - used;
				e->rec_len = used;
				e = rest;
			}
			fill(s, e, name, ino, mode);
			return true;
		}
		at += e->rec_len;
	}
	return false;
}

static struct buffer *grow(struct ext2_inode *dir, int *err)
{
	struct super *s = dir->super;
	bool fresh;
	u32 block = ext2_map(dir, blocks_of(dir), true, &fresh, err);
	struct buffer *b = block ? buffer_blank(s->disk, block, err) : NULL;

	if (!b)
		return NULL;
	b->flags |= BUFFER_FRESH;
	((struct ext2_entry *)b->data)->rec_len = s->block_size;
	dir->i.size += s->block_size;
	ext2_idirty(dir);
	return b;
}

int ext2_dir_add(struct ext2_inode *dir, const char *name, u32 ino, u32 mode, bool arrival, u32 *block)
{
	struct super *s = dir->super;
	struct buffer *b;
	int err = 0;

	if (strlen(name) > EXT2_NAME_MAX)
		return -ENAMETOOLONG;
	for (u32 k = 0; k < blocks_of(dir); k++) {
		b = dir_block(dir, k, &err);
		if (!b)
			return err;
		if (!(arrival && ext2_is_late(s, b->block)) && insert(s, b, name, ino, mode, &err)) {
			changed(dir, b, block);
			return 0;
		}
		buffer_put(b);
		if (err)
			return err;
	}
	b = grow(dir, &err);
	if (!b)
		return err;
	insert(s, b, name, ino, mode, &err);
	changed(dir, b, block);
	return 0;
}

int ext2_dir_remove(struct ext2_inode *dir, const char *name, u32 *block)
{
	struct place p;
	int err = find(dir, name, &p);

	if (err)
		return err;
	if (p.before)
		p.before->rec_len += p.e->rec_len;
	else
		p.e->ino = 0;
	changed(dir, p.b, block);
	return 0;
}

/* In one step, so that the name means the one or the other at every moment. */
int ext2_dir_replace(struct ext2_inode *dir, const char *name, u32 ino, u32 mode, u32 *block)
{
	struct place p;
	int err = find(dir, name, &p);

	if (err)
		return err;
	fill(dir->super, p.e, name, ino, mode);
	changed(dir, p.b, block);
	return 0;
}

int ext2_dir_set_parent(struct ext2_inode *dir, u32 parent) { return ext2_dir_replace(dir, "..", parent, S_IFDIR, NULL); }

int ext2_dir_init(struct ext2_inode *dir, u32 parent)
{
	int err = 0;
	struct buffer *b = grow(dir, &err);

	if (!b)
		return err;
	insert(dir->super, b, ".", dir->i.ino, S_IFDIR, &err);
	insert(dir->super, b, "..", parent, S_IFDIR, &err);
	changed(dir, b, NULL);
	return 0;
}

bool ext2_dir_has(struct ext2_inode *dir, enum blk_class class)
{
	int err;

	for (u32 k = 0; k < blocks_of(dir); k++) {
		u32 block = ext2_map(dir, k, false, NULL, &err);
		struct buffer *b = block ? buffer_cached(dir->super->disk, block) : NULL;
		if (!b)
			continue;
		bool has = b->flags & BUFFER_DIRTY && b->class == class;
		buffer_put(b);
		if (has)
			return true;
	}
	return false;
}

/* ---- Looking through ---- */

/* The first name at or behind *pos. The position may be in the middle of an entry by now: its block is read from the
 * start. */
static int next(struct ext2_inode *dir, u64 *pos, char *name, u32 *ino, u32 *mode)
{
	struct super *s = dir->super;
	int err = 0;

	while (*pos < dir->i.size) {
		u32 shift = 10 + s->sb->log_block_size, index = *pos >> shift, from = *pos & (s->block_size - 1);
		struct buffer *b = dir_block(dir, index, &err);
		if (!b)
			return err;
		for (u32 at = 0; at < s->block_size;) {
			struct ext2_entry *e = entry_at(s, b, at);
			if (!e) {
				buffer_put(b);
				return ext2_corrupt(s, "a directory with a bad entry", dir->i.ino);
			}
			u32 here = at;
			at += e->rec_len;
			if (here < from || !e->ino)
				continue;
			*pos = ((u64)index << shift) + at;
			memcpy(name, e->name, e->name_len);
			name[e->name_len] = 0;
			*ino = e->ino;
			*mode = ext2_has_filetype(s) ? mode_of_type[e->type & 7] << 12 : 0;
			buffer_put(b);
			return 1;
		}
		buffer_put(b);
		*pos = (u64)(index + 1) << shift;
	}
	return 0;
}

int ext2_entry(struct inode *inode, u64 *pos, char *name, u32 *ino, u32 *mode)
{
	struct ext2_inode *dir = EXT2(inode);

	ext2_lock(dir->super);
	int r = next(dir, pos, name, ino, mode);
	ext2_unlock(dir->super);
	return r;
}

int ext2_name_of(struct inode *inode, struct inode *child, char *name)
{
	struct ext2_inode *dir = EXT2(inode);
	u64 pos = 0;
	u32 ino, mode;
	int r;

	ext2_lock(dir->super);
	while ((r = next(dir, &pos, name, &ino, &mode)) > 0)
		if (ino == child->ino && strcmp(name, ".") && strcmp(name, ".."))
			break;
	ext2_unlock(dir->super);
	return r > 0 ? 0 : r ? r : -ENOENT;
}

int ext2_dir_empty(struct ext2_inode *dir)
{
	u64 pos = 0;
	u32 ino, mode;
	int r;
	char *name = kmalloc(EXT2_NAME_MAX + 1);

	if (!name)
		return -ENOMEM;
	while ((r = next(dir, &pos, name, &ino, &mode)) > 0)
		if (strcmp(name, ".") && strcmp(name, ".."))
			break;
	kfree(name);
	return r < 0 ? r : r == 0;
}
