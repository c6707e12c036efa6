/* Inodes, directories, and the way from a path to an inode. */
#include "errno.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"

struct inode *root_inode;
static u32 next_ino = 1;

struct inode *inode_new(u32 mode)
{
	struct inode *i = kzalloc(sizeof(*i));

	if (!i)
		return NULL;
	i->ino = __atomic_fetch_add(&next_ino, 1, __ATOMIC_RELAXED);
	i->mode = mode;
	i->refs = 1;
	i->mtime = wall_ns() / NSEC_PER_SEC;
	i->fops = &ramfs_fops;
	return i;
}

/* ---- The file system's lock ---- */

static struct mutex lock;
static u32 depth;

void fs_lock(void)
{
	if (READ_ONCE(lock.owner) != current)
		mutex_lock(&lock);
	depth++;
}

void fs_unlock(void)
{
	if (--depth == 0)
		mutex_unlock(&lock);
}

struct inode *inode_get(struct inode *i)
{
	__atomic_fetch_add(&i->refs, 1, __ATOMIC_RELAXED);
	return i;
}

/* Gives a reference back unless it is the last one. */
static bool put_one(struct inode *i)
{
	u32 refs = READ_ONCE(i->refs);

	while (refs > 1)
		if (__atomic_compare_exchange_n(&i->refs, &refs, refs - 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return true;
	return false;
}

static void put_last(struct inode *i);

/* The last reference to a nameless inode frees it and its contents. */
void inode_put(struct inode *i)
{
	if (i->iops) {
		i->iops->put(i);
		return;
	}
	if (put_one(i))
		return;
	fs_lock();
	put_last(i);
	fs_unlock();
}

static void put_last(struct inode *i)
{
	if (__atomic_sub_fetch(&i->refs, 1, __ATOMIC_ACQ_REL) || i->nlink)
		return;
	if (S_ISREG(i->mode) || S_ISLNK(i->mode))
		inode_truncate(i, 0);
	kfree(i->pages);
	kfree(i);
}

void fs_init(void)
{
	root_inode = inode_new(S_IFDIR | 0755);
	if (!root_inode)
		panic("no memory for the file system");
	root_inode->nlink = 2;
	root_inode->parent = root_inode;
}

/* ---- Directories ---- */

static struct inode *find_here(struct inode *dir, const char *name, int *err)
{
	*err = -ENOENT;
	if (!strcmp(name, "."))
		return inode_get(dir);
	if (!strcmp(name, "..")) {
		/* Up from a root leads to the parent of what it covers. */
		while (dir->covers)
			dir = dir->covers;
		return inode_get(dir->parent);
	}
	if (dir->iops)
		return dir->iops->lookup(dir, name, err);
	if (dir->dops)
		return dir->dops->lookup(dir, name);
	for (struct dirent *d = dir->entries; d; d = d->next)
		if (!strcmp(d->name, name))
			return inode_get(d->inode);
	return NULL;
}

struct inode *dir_lookup(struct inode *dir, const char *name, int *err)
{
	struct inode *i = find_here(dir, name, err), *root;

	while (i && (root = i->mounted)) {
		inode_get(root);
		inode_put(i);
		i = root;
	}
	return i;
}

struct inode *dir_find(struct inode *dir, const char *name)
{
	int err;
	return dir_lookup(dir, name, &err);
}

int dir_add(struct inode *dir, const char *name, struct inode *inode)
{
	struct dirent **p = &dir->entries;

	if (dir->iops)
		return dir->iops->link(dir, name, inode);
	if (dir->dops)
		return -EPERM;
	struct dirent *d = kmalloc(sizeof(*d) + strlen(name) + 1);
	if (!d)
		return -ENOSPC;
	strlcpy(d->name, name, strlen(name) + 1);
	d->inode = inode;
	d->next = NULL;
	/* At the end: names appear in the order in which they were made. */
	while (*p)
		p = &(*p)->next;
	*p = d;
	inode->nlink++;
	if (S_ISDIR(inode->mode)) {
		inode->parent = dir;
		inode->nlink++;
		dir->nlink++;
	}
	dir->mtime = wall_ns() / NSEC_PER_SEC;
	return 0;
}

int dir_remove(struct inode *dir, const char *name)
{
	if (dir->iops)
		return -EXDEV;
	for (struct dirent **p = &dir->entries; *p; p = &(*p)->next) {
		struct dirent *d = *p;
		if (strcmp(d->name, name))
			continue;
		*p = d->next;
		d->inode->nlink--;
		if (S_ISDIR(d->inode->mode)) {
			d->inode->nlink--;
			dir->nlink--;
		}
		/* Borrow a reference and give it back: frees the inode if the name was all that held it. */
		inode_put(inode_get(d->inode));
		kfree(d);
		dir->mtime = wall_ns() / NSEC_PER_SEC;
		return 0;
	}
	return dir->dops ? -EPERM : -ENOENT;
}

/* ---- Paths ---- */

#define MAX_LINKS 8

static struct inode *start_of(int dirfd, const char *path, int *err)
{
	if (*path == '/')
		return inode_get(root_inode);
	if (dirfd == AT_FDCWD)
		return inode_get(current->cwd);
	struct file *f = fd_get(dirfd);
	if (!f) {
		*err = -EBADF;
		return NULL;
	}
	if (!f->inode || !S_ISDIR(f->inode->mode)) {
		*err = -ENOTDIR;
		return NULL;
	}
	return inode_get(f->inode);
}

static struct inode *walk(struct inode *at, const char *path, bool follow, bool parent, char *last, int links, int *err);

/* Replaces a symbolic link by what it names. */
static struct inode *follow_link(struct inode *dir, struct inode *link, int links, int *err)
{
	struct inode *found = NULL;
	char *target;

	if (links >= MAX_LINKS) {
		*err = -ELOOP;
		return NULL;
	}
	/* Not on the stack: links to links come back here, and the kernel's stack is small. */
	target = kmalloc(256);
	if (!target) {
		*err = -ENOMEM;
		return NULL;
	}
	long n = inode_read(link, 0, target, 255);
	target[max(n, 0l)] = 0;
	if (n > 0)
		found = walk(inode_get(*target == '/' ? root_inode : dir), target, true, false, NULL, links + 1, err);
	else
		*err = -ENOENT;
	kfree(target);
	return found;
}

/* Consumes the reference to `at`. With `parent` it stops before the last part and copies that to `last`. */
static struct inode *walk(struct inode *at, const char *path, bool follow, bool parent, char *last, int links, int *err)
{
	char name[256];

	*err = -ENOENT;
	if (!*path)
		goto fail;
	for (;;) {
		while (*path == '/')
			path++;
		if (!*path) {
			if (parent)
				strlcpy(last, ".", 256);
			return at;
		}
		size_t n = 0;
		while (path[n] && path[n] != '/')
			n++;
		if (n >= sizeof(name)) {
			*err = -ENAMETOOLONG;
			goto fail;
		}
		memcpy(name, path, n);
		name[n] = 0;
		path += n;
		const char *rest = path;
		while (*rest == '/')
			rest++;
		if (!S_ISDIR(at->mode)) {
			*err = -ENOTDIR;
			goto fail;
		}
		if (parent && !*rest) {
			strlcpy(last, name, 256);
			return at;
		}
		struct inode *next = dir_lookup(at, name, err);
		if (!next)
			goto fail;
		if (S_ISLNK(next->mode) && (*rest || follow)) {
			struct inode *target = follow_link(at, next, links, err);
			inode_put(next);
			if (!target)
				goto fail;
			next = target;
		}
		if (*path == '/' && !*rest && !S_ISDIR(next->mode)) {
			inode_put(next);
			*err = -ENOTDIR;
			goto fail;
		}
		inode_put(at);
		at = next;
		path = rest;
	}
fail:
	inode_put(at);
	return NULL;
}

struct inode *path_lookup(int dirfd, const char *path, bool follow, int *err)
{
	struct inode *at = start_of(dirfd, path, err);
	return at ? walk(at, path, follow, false, NULL, 0, err) : NULL;
}

struct inode *path_parent(int dirfd, const char *path, char name[256], int *err)
{
	struct inode *at = start_of(dirfd, path, err);
	return at ? walk(at, path, true, true, name, 0, err) : NULL;
}
