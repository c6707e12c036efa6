/* Names: opening by one, and making, moving and taking them away. What they stand for is stat.c's and attr.c's. */
#include "path.h"
#include "proc.h"

/* ---- Open ---- */

static struct inode *create(int dirfd, const char *path, u32 mode, const char *target, int *err)
{
	char name[256];
	struct inode *dir = path_parent(dirfd, path, name, err), *i;

	if (!dir)
		return NULL;
	i = dir_lookup(dir, name, err);
	if (i || *err != -ENOENT) {
		if (i) {
			*err = -EEXIST;
			inode_put(i);
		}
		inode_put(dir);
		return NULL;
	}
	if (dir->iops) {
		i = dir->iops->create(dir, name, mode, 0, target, err);
		inode_put(dir);
		return i;
	}
	i = inode_new(mode);
	*err = i ? dir_add(dir, name, i) : -ENOSPC;
	inode_put(dir);
	if (*err && i) {
		inode_put(i);
		i = NULL;
	}
	return i;
}

static long open_path(int dirfd, const char *path, u32 flags, u32 mode)
{
	int err;
	struct inode *i = path_lookup(dirfd, path, !(flags & O_NOFOLLOW), &err);

	if (i && (flags & O_CREAT) && (flags & O_EXCL)) {
		inode_put(i);
		return -EEXIST;
	}
	if (!i && err == -ENOENT && (flags & O_CREAT))
		i = create(dirfd, path, S_IFREG | (mode & ~current->umask & 07777), NULL, &err);
	if (!i)
		return err;
	err = S_ISLNK(i->mode) ? -ELOOP
	      : S_ISDIR(i->mode) && (flags & (O_ACCMODE | O_CREAT)) ? -EISDIR
	      : !S_ISDIR(i->mode) && (flags & O_DIRECTORY)          ? -ENOTDIR
								    : 0;
	if (err) {
		inode_put(i);
		return err;
	}
	if ((flags & O_TRUNC) && S_ISREG(i->mode) && (flags & O_ACCMODE) && (err = inode_truncate(i, 0))) {
		inode_put(i);
		return err;
	}
	struct file *f = file_open(i, flags & ~O_CLOEXEC, &err);
	if (!f)
		return err;
	int fd = fd_install(f, flags & O_CLOEXEC);
	if (fd < 0)
		file_put(f);
	return fd;
}

long sys_openat(int dirfd, const char *user, u32 flags, u32 mode)
{
	GET_PATH(p, user);
	return open_path(dirfd, p.s, flags, mode);
}
long sys_open(const char *user, u32 flags, u32 mode) { return sys_openat(AT_FDCWD, user, flags, mode); }
long sys_creat(const char *user, u32 mode) { return sys_openat(AT_FDCWD, user, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* ---- Names ---- */

static long make(int dirfd, const char *user, u32 mode, const char *target, struct inode **out)
{
	int err;
	GET_PATH(p, user);
	struct inode *i = create(dirfd, p.s, mode, target, &err);
	if (!i)
		return err;
	if (out)
		*out = i;
	else
		inode_put(i);
	return 0;
}

long sys_mkdirat(int dirfd, const char *user, u32 mode)
{
	return make(dirfd, user, S_IFDIR | (mode & ~current->umask & 07777), NULL, NULL);
}
long sys_mkdir(const char *user, u32 mode) { return sys_mkdirat(AT_FDCWD, user, mode); }

long sys_symlink(const char *target, const char *user)
{
	struct inode *i = NULL;
	GET_PATH(t, target);
	long r = make(AT_FDCWD, user, S_IFLNK | 0777, t.s, &i);
	if (r)
		return r;
	if (i->iops) {
		inode_put(i);
		return 0;
	}
	ulong pfn = inode_page(i, 0, true);
	if (pfn) {
		i->size = strlen(t.s);
		memcpy(pfn_to_va(pfn), t.s, i->size);
	}
	inode_put(i);
	return pfn ? 0 : -ENOSPC;
}

long sys_readlink(const char *user, char *buf, ulong size)
{
	char target[256];
	int err;
	GET_PATH(p, user);
	struct inode *i = path_lookup(AT_FDCWD, p.s, false, &err);
	if (!i)
		return err;
	long n = S_ISLNK(i->mode) ? inode_read(i, 0, target, min(size, (ulong)sizeof(target))) : -EINVAL;
	inode_put(i);
	return n < 0 ? n : copy_to_user(buf, target, n) ? -EFAULT : n;
}

long sys_link(const char *from, const char *to)
{
	char name[256];
	int err;
	GET_PATH(p, from);
	GET_PATH(q, to);
	struct inode *i = path_lookup(AT_FDCWD, p.s, false, &err);
	if (!i)
		return err;
	struct inode *dir = S_ISDIR(i->mode) ? (err = -EPERM, NULL) : path_parent(AT_FDCWD, q.s, name, &err);
	if (dir) {
		struct inode *there = dir_find(dir, name);
		err = there ? -EEXIST : dir->iops != i->iops || dir->dev != i->dev ? -EXDEV : dir_add(dir, name, i);
		if (there)
			inode_put(there);
		inode_put(dir);
	}
	inode_put(i);
	return err;
}

static long remove(int dirfd, const char *user, bool directory)
{
	char name[256];
	int err;
	GET_PATH(p, user);
	struct inode *dir = path_parent(dirfd, p.s, name, &err);
	if (!dir)
		return err;
	struct inode *i = dir_lookup(dir, name, &err);
	if (!i)
		;
	else if (!strcmp(name, ".") || !strcmp(name, ".."))
		err = directory ? -EINVAL : -EISDIR;
	else if (directory != S_ISDIR(i->mode))
		err = directory ? -ENOTDIR : -EISDIR;
	else if (i->covers)
		err = -EBUSY;
	else if (dir->iops)
		err = dir->iops->unlink(dir, name, directory);
	else if (directory && (i->entries || i->dops))
		err = i->dops ? -EBUSY : -ENOTEMPTY;
	else
		err = dir_remove(dir, name);
	if (i)
		inode_put(i);
	inode_put(dir);
	return err;
}

long sys_unlinkat(int dirfd, const char *user, u32 flags) { return remove(dirfd, user, flags & AT_REMOVEDIR); }
long sys_unlink(const char *user) { return remove(AT_FDCWD, user, false); }
long sys_rmdir(const char *user) { return remove(AT_FDCWD, user, true); }

/* May directory i become a child of dir? Not if dir lies within i. */
static bool inside(struct inode *dir, struct inode *i)
{
	for (; dir != root_inode; dir = dir->covers ? dir->covers : dir->parent)
		if (dir == i)
			return true;
	return dir == i;
}

long sys_rename(const char *from, const char *to)
{
	char old_name[256], new_name[256];
	int err = 0;
	GET_PATH(p, from);
	GET_PATH(q, to);
	struct inode *old_dir = path_parent(AT_FDCWD, p.s, old_name, &err);
	if (!old_dir)
		return err;
	struct inode *new_dir = path_parent(AT_FDCWD, q.s, new_name, &err);
	if (!new_dir) {
		inode_put(old_dir);
		return err;
	}
	struct inode *i = dir_lookup(old_dir, old_name, &err), *there = i ? dir_lookup(new_dir, new_name, &err) : NULL;
	if (!i || (!there && err != -ENOENT && err))
		;
	else if (i->covers || (there && there->covers) || i == root_inode)
		err = -EBUSY;
	else if (old_dir->iops != new_dir->iops || old_dir->dev != new_dir->dev)
		err = -EXDEV;
	else if (old_dir->dops || new_dir->dops)
		err = -EPERM;
	else if (i == there)
		err = 0;
	else if (S_ISDIR(i->mode) && inside(new_dir, i))
		err = -EINVAL;
	else if (old_dir->iops)
		err = old_dir->iops->rename(old_dir, old_name, new_dir, new_name);
	else if (there && S_ISDIR(there->mode) && (!S_ISDIR(i->mode) || there->entries))
		err = S_ISDIR(i->mode) ? -ENOTEMPTY : -EISDIR;
	else if (there && !S_ISDIR(there->mode) && S_ISDIR(i->mode))
		err = -ENOTDIR;
	else {
		if (there)
			dir_remove(new_dir, new_name);
		err = dir_add(new_dir, new_name, i);
		if (!err)
			dir_remove(old_dir, old_name);
		/* Removing the old name must not leave a moved directory with its old parent. */
		if (!err && S_ISDIR(i->mode))
			i->parent = new_dir;
	}
	if (i)
		inode_put(i);
	if (there)
		inode_put(there);
	inode_put(old_dir);
	inode_put(new_dir);
	return err;
}
