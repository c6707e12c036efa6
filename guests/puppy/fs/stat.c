/* What is known of a file: stat, in the three layouts that Linux has had, and access. */
#include "path.h"
#include "proc.h"

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
