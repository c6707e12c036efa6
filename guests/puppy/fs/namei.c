/* System calls that take a path: open, stat, and the making and unmaking of names. */
#include "errno.h"
#include "fs.h"
#include "proc.h"

struct path {
	char s[256];
};

static long get_path(struct path *p, const char *user)
{
	long n = strncpy_from_user(p->s, user, sizeof(p->s));
	return n < 0 ? n : n == sizeof(p->s) ? -ENAMETOOLONG : 0;
}

/* The common start of the functions below: the path, and its parent directory with the last name. */
#define GET_PATH(p, user)                                                                                              \
	struct path p;                                                                                                 \
	do {                                                                                                           \
		long _r = get_path(&p, user);                                                                          \
		if (_r)                                                                                                \
			return _r;                                                                                     \
	} while (0)

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

/* ---- Stat, in the three layouts that Linux has had ---- */

struct stat_native {
#ifdef __x86_64__
	u64 dev, ino, nlink;
	u32 mode, uid, gid, pad;
	u64 rdev, size, blksize, blocks, atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns, unused[3];
#else
	u32 dev, ino;
	u16 mode, nlink, uid, gid;
	u32 rdev, size, blksize, blocks, atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns, unused[2];
#endif
};

struct stat64_i386 {
	u64 dev;
	u32 pad0, ino32, mode, nlink, uid, gid;
	u64 rdev;
	u32 pad3;
	u64 size;
	u32 blksize;
	u64 blocks;
	u32 atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns;
	u64 ino;
} __attribute__((packed));

#define FILL(st, i)                                                                                                    \
	((st).dev = (i)->iops ? (i)->dev : 1, (st).ino = (i)->ino, (st).mode = (i)->mode, (st).nlink = (i)->nlink,      \
	 (st).rdev = (i)->rdev, (st).uid = (i)->uid, (st).gid = (i)->gid, (st).size = (i)->size,                        \
	 (st).blksize = PAGE_SIZE, (st).blocks = (i)->iops ? (i)->sectors : ((i)->size + 511) / 512,                    \
	 (st).atime = (i)->iops ? (i)->atime : (i)->mtime, (st).mtime = (i)->mtime,                                     \
	 (st).ctime = (i)->iops ? (i)->ctime : (i)->mtime)

static long stat_out(struct inode *i, void *out)
{
	struct stat_native st;
	memset(&st, 0, sizeof(st));
	FILL(st, i);
	return copy_to_user(out, &st, sizeof(st));
}

static long stat64_out(struct inode *i, void *out)
{
	struct stat64_i386 st;
	memset(&st, 0, sizeof(st));
	FILL(st, i);
	st.ino32 = i->ino;
	return copy_to_user(out, &st, sizeof(st));
}

typedef long (*stat_fn)(struct inode *, void *);

static long stat_path(int dirfd, const char *user, void *out, bool follow, stat_fn fn)
{
	int err;
	GET_PATH(p, user);
	struct inode *i = path_lookup(dirfd, p.s, follow, &err);
	if (!i)
		return err;
	long r = fn(i, out);
	inode_put(i);
	return r;
}

static long stat_fd(int fd, void *out, stat_fn fn)
{
	struct file *f = fd_get(fd);
	struct inode pipe = { .mode = S_IFIFO | 0600, .nlink = 1 };

	return f ? fn(f->inode ? f->inode : &pipe, out) : -EBADF;
}

#define AT_EMPTY_PATH 0x1000
static long stat_at(int dirfd, const char *user, void *out, u32 flags, stat_fn fn)
{
	char first = 1;

	if ((flags & AT_EMPTY_PATH) && !get_user(first, user) && !first)
		return stat_fd(dirfd, out, fn);
	return stat_path(dirfd, user, out, !(flags & AT_SYMLINK_NOFOLLOW), fn);
}

long sys_stat(const char *user, void *out) { return stat_path(AT_FDCWD, user, out, true, stat_out); }
long sys_lstat(const char *user, void *out) { return stat_path(AT_FDCWD, user, out, false, stat_out); }
long sys_fstat(int fd, void *out) { return stat_fd(fd, out, stat_out); }
long sys_fstatat(int dirfd, const char *user, void *out, u32 flags) { return stat_at(dirfd, user, out, flags, stat_out); }
long sys_stat64(const char *user, void *out) { return stat_path(AT_FDCWD, user, out, true, stat64_out); }
long sys_lstat64(const char *user, void *out) { return stat_path(AT_FDCWD, user, out, false, stat64_out); }
long sys_fstat64(int fd, void *out) { return stat_fd(fd, out, stat64_out); }
long sys_fstatat64(int dirfd, const char *user, void *out, u32 flags) { return stat_at(dirfd, user, out, flags, stat64_out); }

long sys_faccessat(int dirfd, const char *user, u32 mode)
{
	int err;
	GET_PATH(p, user);
	struct inode *i = path_lookup(dirfd, p.s, true, &err);
	if (!i)
		return err;
	/* Everyone is root here: only execution asks for a bit that is set. */
	long r = (mode & 1) && !(i->mode & 0111) ? -EACCES : 0;
	inode_put(i);
	return r;
}
long sys_access(const char *user, u32 mode) { return sys_faccessat(AT_FDCWD, user, mode); }

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

static long change(struct inode *i, const struct attributes *a)
{
	if (i->iops)
		return i->iops->set(i, a);
	if (a->set & SET_UID)
		i->uid = a->uid;
	if (a->set & SET_GID)
		i->gid = a->gid;
	if (a->set & SET_MTIME)
		i->mtime = a->mtime;
	if (a->set & SET_MODE)
		i->mode = (i->mode & S_IFMT) | (a->mode & 07777);
	return 0;
}

static long change_mode(struct inode *i, u32 mode)
{
	return change(i, &(struct attributes){ .set = SET_MODE, .mode = mode });
}

static long change_path(int dirfd, const char *user, bool follow, const struct attributes *a)
{
	int err;
	GET_PATH(p, user);
	struct inode *i = path_lookup(dirfd, p.s, follow, &err);
	if (!i)
		return err;
	long r = change(i, a);
	inode_put(i);
	return r;
}

long sys_chmod(const char *user, u32 mode)
{
	return change_path(AT_FDCWD, user, true, &(struct attributes){ .set = SET_MODE, .mode = mode });
}

long sys_fchmod(int fd, u32 mode)
{
	struct file *f = fd_get(fd);
	return !f || !f->inode ? -EBADF : change_mode(f->inode, mode);
}

static struct attributes owner(u32 uid, u32 gid)
{
	/* -1: as it is */
	return (struct attributes){ .set = (uid != ~0u ? SET_UID : 0) | (gid != ~0u ? SET_GID : 0), .uid = uid, .gid = gid };
}

long sys_chown(const char *user, u32 uid, u32 gid)
{
	struct attributes a = owner(uid, gid);
	return change_path(AT_FDCWD, user, true, &a);
}
long sys_lchown(const char *user, u32 uid, u32 gid)
{
	struct attributes a = owner(uid, gid);
	return change_path(AT_FDCWD, user, false, &a);
}
long sys_fchown(int fd, u32 uid, u32 gid)
{
	struct file *f = fd_get(fd);
	struct attributes a = owner(uid, gid);
	return !f || !f->inode ? -EBADF : change(f->inode, &a);
}

#define UTIME_NOW 0x3fffffff
#define UTIME_OMIT 0x3ffffffe

/* Seconds and nanoseconds, of which we keep the seconds; or none at all: now. */
static long set_times(int dirfd, const char *user, bool follow, const u64 t[4])
{
	u32 now = wall_ns() / NSEC_PER_SEC;
	struct attributes a = { .set = SET_ATIME | SET_MTIME, .atime = now, .mtime = now };

	if (t) {
		a.set = (t[1] != UTIME_OMIT ? SET_ATIME : 0) | (t[3] != UTIME_OMIT ? SET_MTIME : 0);
		a.atime = t[1] == UTIME_NOW ? now : (u32)t[0];
		a.mtime = t[3] == UTIME_NOW ? now : (u32)t[2];
	}
	if (!user) {
		struct file *f = fd_get(dirfd);
		return !f || !f->inode ? -EBADF : change(f->inode, &a);
	}
	return change_path(dirfd, user, follow, &a);
}

long sys_utimensat(int dirfd, const char *user, const long *times, u32 flags)
{
	long in[4] = { 0 };
	if (times && copy_from_user(in, times, sizeof(in)))
		return -EFAULT;
	u64 t[4] = { in[0], in[1], in[2], in[3] };
	return set_times(dirfd, user, !(flags & AT_SYMLINK_NOFOLLOW), times ? t : NULL);
}

long sys_utimes(const char *user, const long *times)
{
	long in[4] = { 0 };
	if (times && copy_from_user(in, times, sizeof(in)))
		return -EFAULT;
	u64 t[4] = { in[0], 0, in[2], 0 };
	return set_times(AT_FDCWD, user, true, times ? t : NULL);
}

long sys_utime(const char *user, const long *times)
{
	long in[2] = { 0 };
	if (times && copy_from_user(in, times, sizeof(in)))
		return -EFAULT;
	u64 t[4] = { in[0], 0, in[1], 0 };
	return set_times(AT_FDCWD, user, true, times ? t : NULL);
}

static long truncate_inode(struct inode *i, s64 size)
{
	if (size < 0)
		return -EINVAL;
	if (!S_ISREG(i->mode))
		return S_ISDIR(i->mode) ? -EISDIR : -EINVAL;
	return inode_truncate(i, size);
}

static long truncate_path(const char *user, s64 size)
{
	int err;
	GET_PATH(p, user);
	struct inode *i = path_lookup(AT_FDCWD, p.s, true, &err);
	if (!i)
		return err;
	long r = truncate_inode(i, size);
	inode_put(i);
	return r;
}

long sys_truncate(const char *user, long size) { return truncate_path(user, size); }

static long truncate_fd(int fd, s64 size)
{
	struct file *f = fd_get(fd);
	return !f || !f->inode ? -EBADF : (f->flags & O_ACCMODE) == 0 ? -EINVAL : truncate_inode(f->inode, size);
}
long sys_truncate64(const char *user, ulong low, ulong high) { return truncate_path(user, (s64)((u64)high << 32 | low)); }
long sys_ftruncate(int fd, long size) { return truncate_fd(fd, size); }
long sys_ftruncate64(int fd, ulong low, ulong high) { return truncate_fd(fd, (s64)((u64)high << 32 | low)); }

/* ---- The working directory ---- */

static long change_dir(struct inode *i)
{
	if (!S_ISDIR(i->mode)) {
		inode_put(i);
		return -ENOTDIR;
	}
	inode_put(current->cwd);
	current->cwd = i;
	return 0;
}

long sys_chdir(const char *user)
{
	int err;
	GET_PATH(p, user);
	struct inode *i = path_lookup(AT_FDCWD, p.s, true, &err);
	return i ? change_dir(i) : err;
}

long sys_fchdir(int fd)
{
	struct file *f = fd_get(fd);
	return !f || !f->inode ? -EBADF : change_dir(inode_get(f->inode));
}

/* The name of a directory in its parent. */
static const char *name_of(struct inode *i, char buf[256])
{
	if (i->parent->iops)
		return i->parent->iops->name_of(i->parent, i, buf) ? "?" : buf;
	for (struct dirent *d = i->parent->entries; d; d = d->next)
		if (d->inode == i)
			return d->name;
	return "?";
}

long sys_getcwd(char *buf, ulong size)
{
	char path[512], buffer[256], *at = path + sizeof(path) - 1;

	*at = 0;
	for (struct inode *i = current->cwd; i != root_inode; i = i->parent) {
		while (i->covers)
			i = i->covers;
		const char *name = name_of(i, buffer);
		size_t n = strlen(name);
		if (at - path < (long)n + 1)
			return -ENAMETOOLONG;
		at -= n;
		memcpy(at, name, n);
		*--at = '/';
	}
	if (!*at)
		*--at = '/';
	ulong n = path + sizeof(path) - at;
	return n > size ? -ERANGE : copy_to_user(buf, at, n) ? -EFAULT : (long)n;
}
