/* Open files and descriptors, and the system calls that go through a descriptor. */
#include "errno.h"
#include "fs.h"
#include "proc.h"

struct file *file_new(struct inode *i, const struct file_ops *ops, u32 flags)
{
	struct file *f = kzalloc(sizeof(*f));

	if (f) {
		f->refs = 1;
		f->flags = flags;
		f->inode = i;
		f->fops = ops;
		/* Files in memory; whatever else there is has locks of its own, and may wait. */
		f->under_fs_lock = i && !i->iops && (S_ISREG(i->mode) || S_ISDIR(i->mode));
	}
	return f;
}

/* Takes over the caller's reference to the inode, on failure too. */
struct file *file_open(struct inode *i, u32 flags, int *err)
{
	struct file *f = file_new(i, i->fops, flags);

	*err = -ENOMEM;
	if (f && (!i->fops->open || !(*err = i->fops->open(f))))
		return f;
	kfree(f);
	inode_put(i);
	return NULL;
}

void file_get(struct file *f) { __atomic_fetch_add(&f->refs, 1, __ATOMIC_RELAXED); }

void file_put(struct file *f)
{
	if (__atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (f->fops->release)
		f->fops->release(f);
	if (f->inode)
		inode_put(f->inode);
	kfree(f);
}

struct file *fd_get(int fd) { return (u32)fd < NOFILE ? current->files[fd] : NULL; }

static int install_from(int lowest, struct file *f, bool cloexec)
{
	struct task *t = current;

	for (int fd = lowest; fd < NOFILE; fd++)
		if (!t->files[fd]) {
			t->files[fd] = f;
			t->cloexec &= ~(1ull << fd);
			t->cloexec |= (u64)cloexec << fd;
			return fd;
		}
	return -EMFILE;
}

int fd_install(struct file *f, bool cloexec) { return install_from(0, f, cloexec); }

void files_fork(struct task *to, struct task *from)
{
	for (int fd = 0; fd < NOFILE; fd++)
		if ((to->files[fd] = from->files[fd]))
			file_get(to->files[fd]);
	to->cloexec = from->cloexec;
}

void files_close(struct task *t, bool exec_only)
{
	for (int fd = 0; fd < NOFILE; fd++) {
		struct file *f = t->files[fd];
		if (!f || (exec_only && !(t->cloexec >> fd & 1)))
			continue;
		t->files[fd] = NULL;
		file_put(f);
	}
}

/* ---- Reading and writing ---- */

static long readable(struct file *f) { return !f ? -EBADF : (f->flags & O_ACCMODE) == O_WRONLY ? -EBADF : !f->fops->read ? -EINVAL : 0; }
static long writable(struct file *f) { return !f ? -EBADF : (f->flags & O_ACCMODE) == 0 ? -EBADF : !f->fops->write ? -EINVAL : 0; }

#define MAX_IO 0x7ffff000ul

static __attribute__((noinline)) long locked(struct file *f, void *buf, size_t n, long (*io)(struct file *, void *, size_t))
{
	fs_lock();
	long r = io(f, buf, n);
	fs_unlock();
	return r;
}

static inline long in_file(struct file *f, void *buf, size_t n, long (*io)(struct file *, void *, size_t))
{
	return f->under_fs_lock ? locked(f, buf, n, io) : io(f, buf, n);
}

long sys_read(int fd, void *buf, size_t n)
{
	struct file *f = fd_get(fd);
	long r = readable(f);

	n = min(n, MAX_IO);
	return r ? r : !access_ok(buf, n) ? -EFAULT : in_file(f, buf, n, f->fops->read);
}

long sys_write(int fd, const void *buf, size_t n)
{
	struct file *f = fd_get(fd);
	long r = writable(f);

	n = min(n, MAX_IO);
	return r ? r : !access_ok(buf, n) ? -EFAULT : in_file(f, (void *)buf, n, (long (*)(struct file *, void *, size_t))f->fops->write);
}

struct iovec {
	void *base;
	ulong len;
};

static long each_vector(int fd, const struct iovec *vec, ulong count, long (*io)(int, void *, size_t))
{
	long total = 0;

	if (count > 1024)
		return -EINVAL;
	for (ulong i = 0; i < count; i++) {
		struct iovec v;
		if (get_user(v, &vec[i]))
			return total ? total : -EFAULT;
		if (!v.len)
			continue;
		long r = io(fd, v.base, v.len);
		if (r < 0)
			return total ? total : r;
		total += r;
		if ((ulong)r < v.len)
			break;
	}
	return total;
}

long sys_readv(int fd, const struct iovec *vec, ulong count) { return each_vector(fd, vec, count, sys_read); }
long sys_writev(int fd, const struct iovec *vec, ulong count)
{
	return each_vector(fd, vec, count, (long (*)(int, void *, size_t))sys_write);
}

static u64 offset_argument(ulong low, ulong high)
{
#ifdef __x86_64__
	(void)high;
	return low;
#else
	return (u64)high << 32 | low;
#endif
}

static long at_offset(int fd, void *buf, size_t n, u64 pos, long (*io)(int, void *, size_t))
{
	struct file *f = fd_get(fd);

	if (!f)
		return -EBADF;
	if (!f->inode || (!S_ISREG(f->inode->mode) && !S_ISBLK(f->inode->mode)))
		return -ESPIPE;
	fs_lock();
	u64 saved = f->pos;
	f->pos = pos;
	long r = io(fd, buf, n);
	f->pos = saved;
	fs_unlock();
	return r;
}

long sys_pread64(int fd, void *buf, size_t n, ulong low, ulong high)
{
	return at_offset(fd, buf, n, offset_argument(low, high), sys_read);
}
long sys_pwrite64(int fd, void *buf, size_t n, ulong low, ulong high)
{
	return at_offset(fd, buf, n, offset_argument(low, high), (long (*)(int, void *, size_t))sys_write);
}

static s64 seek(int fd, s64 offset, int whence)
{
	struct file *f = fd_get(fd);

	if (!f)
		return -EBADF;
	if (!f->inode || S_ISCHR(f->inode->mode))
		return -ESPIPE;
	if (whence == 1)
		offset += f->pos;
	else if (whence == 2)
		offset += f->inode->size;
	else if (whence != 0)
		return -EINVAL;
	if (offset < 0)
		return -EINVAL;
	return f->pos = offset;
}

long sys_lseek(int fd, long offset, int whence) { return seek(fd, offset, whence); }

long sys_llseek(int fd, ulong high, ulong low, u64 *result, int whence)
{
	s64 r = seek(fd, (s64)((u64)high << 32 | low), whence);
	return r < 0 ? (long)r : put_user((u64)r, result);
}

/* ---- Descriptors ---- */

long sys_close(int fd)
{
	struct file *f = fd_get(fd);

	if (!f)
		return -EBADF;
	current->files[fd] = NULL;
	file_put(f);
	return 0;
}

long sys_dup(int fd)
{
	struct file *f = fd_get(fd);
	int r;

	if (!f)
		return -EBADF;
	r = fd_install(f, false);
	if (r >= 0)
		file_get(f);
	return r;
}

long sys_dup3(int from, int to, u32 flags)
{
	struct file *f = fd_get(from);

	if (!f || (u32)to >= NOFILE)
		return -EBADF;
	if (from == to)
		return -EINVAL;
	file_get(f);
	if (current->files[to])
		file_put(current->files[to]);
	current->files[to] = f;
	current->cloexec &= ~(1ull << to);
	current->cloexec |= (u64)!!(flags & O_CLOEXEC) << to;
	return to;
}

long sys_dup2(int from, int to) { return from == to ? (fd_get(from) ? to : -EBADF) : sys_dup3(from, to, 0); }

#define F_DUPFD 0
#define F_GETFD 1
#define F_SETFD 2
#define F_GETFL 3
#define F_SETFL 4
#define F_DUPFD_CLOEXEC 1030

long sys_fcntl(int fd, int cmd, ulong arg)
{
	struct file *f = fd_get(fd);

	if (!f)
		return -EBADF;
	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC: {
		if (arg >= NOFILE)
			return -EINVAL;
		int r = install_from(arg, f, cmd == F_DUPFD_CLOEXEC);
		if (r >= 0)
			file_get(f);
		return r;
	}
	case F_GETFD:
		return current->cloexec >> fd & 1;
	case F_SETFD:
		current->cloexec &= ~(1ull << fd);
		current->cloexec |= (u64)(arg & 1) << fd;
		return 0;
	case F_GETFL:
		return f->flags;
	case F_SETFL:
		f->flags = (f->flags & ~(O_APPEND | O_NONBLOCK)) | (arg & (O_APPEND | O_NONBLOCK));
		return 0;
	}
	return -EINVAL;
}

long sys_ioctl(int fd, ulong cmd, ulong arg)
{
	struct file *f = fd_get(fd);
	return !f ? -EBADF : f->fops->ioctl ? f->fops->ioctl(f, cmd, arg) : -ENOTTY;
}

/* ---- Directories by descriptor ---- */

struct dirent64 {
	u64 ino, offset;
	u16 reclen;
	u8 type;
	char name[];
} __attribute__((packed));

/* The entry at *pos, by its number unless a file system knows better, and the next position: 1, 0, or an error. */
static int next_entry(struct inode *dir, u64 *pos, char *name, u32 *ino, u32 *mode)
{
	if (dir->iops)
		return dir->iops->entry(dir, pos, name, ino, mode);
	ulong n = (*pos)++;
	if (n < 2) {
		struct inode *i = n ? dir->parent : dir;
		strlcpy(name, n ? ".." : ".", 256);
		*ino = i->ino;
		*mode = i->mode;
		return 1;
	}
	n -= 2;
	if (dir->dops)
		return dir->dops->entry(dir, n, name, ino, mode);
	struct dirent *d = dir->entries;
	while (d && n--)
		d = d->next;
	if (!d)
		return 0;
	strlcpy(name, d->name, 256);
	*ino = d->inode->ino;
	*mode = d->inode->mode;
	return 1;
}

long sys_getdents64(int fd, u8 *buf, ulong size)
{
	struct file *f = fd_get(fd);
	u8 space[sizeof(struct dirent64) + 256];
	struct dirent64 *e = (void *)space;
	ulong done = 0;
	u32 ino, mode;

	if (!f)
		return -EBADF;
	if (!f->inode || !S_ISDIR(f->inode->mode))
		return -ENOTDIR;
	for (;;) {
		u64 next = f->pos;
		int r = next_entry(f->inode, &next, e->name, &ino, &mode);
		if (r < 0 && !done)
			return r;
		if (r <= 0)
			break;
		ulong len = ALIGN_UP(sizeof(*e) + strlen(e->name) + 1, 8ul);
		if (done + len > size)
			return done ? (long)done : -EINVAL;
		e->ino = ino;
		e->offset = next;
		e->reclen = len;
		e->type = (mode & S_IFMT) >> 12;
		if (copy_to_user(buf + done, e, len))
			return done ? (long)done : -EFAULT;
		done += len;
		f->pos = next;
	}
	return done;
}

/* ---- Mapping files ---- */

long do_mmap(ulong addr, ulong len, ulong prot, ulong flags, long fd, u64 offset);

long sys_mmap(ulong addr, ulong len, ulong prot, ulong flags, ulong fd, ulong offset)
{
	return do_mmap(addr, len, prot, flags, (int)fd, offset);
}
/* i386: the offset in pages; and the first mmap of all, whose arguments did not fit registers. */
long sys_mmap2(ulong addr, ulong len, ulong prot, ulong flags, ulong fd, ulong page)
{
	return do_mmap(addr, len, prot, flags, (int)fd, (u64)page << PAGE_SHIFT);
}
long sys_old_mmap(const ulong *args)
{
	ulong a[6];
	return copy_from_user(a, args, sizeof(a)) ? -EFAULT : do_mmap(a[0], a[1], a[2], a[3], (int)a[4], a[5]);
}
