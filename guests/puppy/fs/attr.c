/* What can be changed of a file without writing to it: rights, owner, times, length. */
#include "path.h"
#include "proc.h"

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
