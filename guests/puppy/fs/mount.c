/* What is mounted where, and the system calls about whole file systems. */
#include "ext2.h"

static struct super *mounts;
static struct mutex mounts_lock;

#define MS_RDONLY 1
#define MS_REMOUNT 32

/* ---- mount, umount ---- */

static int copy_path(char path[64], const char *user)
{
	long n = strncpy_from_user(path, user, 64);
	return n < 0 ? n : n == 64 ? -ENAMETOOLONG : n == 0 ? -ENOENT : 0;
}

static int attach(struct disk *d, struct inode *dir, const char *where, bool read_only)
{
	int err = -EBUSY;
	struct super *s = NULL;

	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	if (dir->covers || dir->mounted || dir == root_inode || dir->dops)
		return -EBUSY;
	mutex_lock(&d->lock);
	if (!d->mounted)
		s = ext2_mount(d, read_only, &err);
	mutex_unlock(&d->lock);
	if (!s)
		return err;
	strlcpy(s->where, where, sizeof(s->where));
	s->root->dev = 254 << 8 | (d->name[2] - 'a') * 16;
	s->root->covers = inode_get(dir);
	dir->mounted = s->root;
	s->next = mounts;
	mounts = s;
	return 0;
}

static int mount(const char *device, const char *where, ulong flags)
{
	int err;
	struct inode *node = path_lookup(AT_FDCWD, device, true, &err);
	if (!node)
		return err;
	struct disk *d = disk_of(node);
	inode_put(node);
	if (!d)
		return -ENODEV;
	struct inode *dir = path_lookup(AT_FDCWD, where, true, &err);
	if (!dir)
		return err;
	if (!(flags & MS_REMOUNT)) {
		err = attach(d, dir, where, flags & MS_RDONLY);
	} else if (!d->mounted || d->mounted->root != dir) {
		err = -EINVAL;
	} else {
		mutex_lock(&d->lock);
		err = ext2_remount(d->mounted, flags & MS_RDONLY);
		mutex_unlock(&d->lock);
	}
	inode_put(dir);
	return err;
}

long sys_mount(const char *user_device, const char *user_where, const char *user_type, ulong flags, const char *options)
{
	char device[64], where[64], type[64] = "ext2";
	int err = copy_path(device, user_device);

	(void)options;
	if (!err)
		err = copy_path(where, user_where);
	if (!err && user_type)
		err = copy_path(type, user_type);
	if (err)
		return err;
	if (strcmp(type, "ext2"))
		return -ENODEV;
	mutex_lock(&mounts_lock);
	err = mount(device, where, flags);
	mutex_unlock(&mounts_lock);
	return err;
}

static int detach(struct super *s)
{
	struct disk *d = s->disk;
	struct inode *dir = s->root->covers;

	/* No way leads in any more; whoever is inside holds references. */
	dir->mounted = NULL;
	mutex_lock(&d->lock);
	int err = ext2_umount(s);
	mutex_unlock(&d->lock);
	if (err)
		dir->mounted = s->root;
	else
		inode_put(dir);
	return err;
}

/* By the directory it is mounted on, or by the disk. */
static struct super *mounted_at(const char *path, int *err)
{
	struct inode *i = path_lookup(AT_FDCWD, path, true, err);
	struct super *s = NULL;

	if (!i)
		return NULL;
	struct disk *d = disk_of(i);
	if (i->covers)
		s = EXT2(i)->super;
	else if (d)
		s = d->mounted;
	inode_put(i);
	*err = s ? 0 : -EINVAL;
	return s;
}

long sys_umount2(const char *user, int flags)
{
	char path[64];
	int err = copy_path(path, user);

	if (err || flags)
		return err ? err : -EINVAL;
	mutex_lock(&mounts_lock);
	struct super *s = mounted_at(path, &err);
	if (s) {
		/* Taken off the list first: afterwards it may be gone. */
		struct super **p = &mounts;
		while (*p != s)
			p = &(*p)->next;
		*p = s->next;
		err = detach(s);
		if (err) {
			s->next = mounts;
			mounts = s;
		}
	}
	mutex_unlock(&mounts_lock);
	return err;
}
long sys_umount(const char *user) { return sys_umount2(user, 0); }

int mounts_text(char *buf, int size)
{
	int n = snprintf(buf, size, "rootfs / rootfs rw 0 0\nproc /proc proc rw 0 0\n");

	mutex_lock(&mounts_lock);
	for (struct super *s = mounts; s && n < size - 160; s = s->next)
		n += snprintf(buf + n, size - n, "/dev/%s %s ext2 %s 0 0\n", s->disk->name, s->where, s->read_only ? "ro" : "rw");
	mutex_unlock(&mounts_lock);
	return n;
}

/* ---- Everything to the disks ---- */

static int sync_disk(struct disk *d, bool all)
{
	mutex_lock(&d->lock);
	int err = d->mounted ? ext2_checkpoint(d->mounted, all) : buffer_sync(d);
	mutex_unlock(&d->lock);
	return err;
}

long sys_sync(void)
{
	for (int n = 0; n < disk_count; n++)
		sync_disk(disks[n], true);
	return 0;
}

long sys_syncfs(int fd)
{
	struct file *f = fd_get(fd);

	if (!f)
		return -EBADF;
	return f->inode && f->inode->iops ? sync_disk(EXT2(f->inode)->super->disk, true) : 0;
}

long sys_fsync(int fd)
{
	struct file *f = fd_get(fd);

	if (!f)
		return -EBADF;
	if (!f->inode || S_ISCHR(f->inode->mode))
		return -EINVAL;
	return f->fops->sync ? f->fops->sync(f) : 0;
}

void filesystems_down(void)
{
	for (int n = 0; n < disk_count; n++) {
		struct disk *d = disks[n];
		mutex_lock(&d->lock);
		if (d->mounted)
			ext2_down(d->mounted);
		else
			buffer_sync(d);
		mutex_unlock(&d->lock);
	}
}

static bool is_dirty(struct disk *d)
{
	mutex_lock(&d->lock);
	bool dirty = d->dirty_count || (d->mounted && d->mounted->dirty_inodes);
	mutex_unlock(&d->lock);
	return dirty;
}

/* What nobody asks for gets to the disk too, after a while. */
#define FLUSH_INTERVAL (5 * NSEC_PER_SEC)

static void flush_thread(void)
{
	static struct waitq wait;
	struct timeout t;

	strlcpy(current->comm, "flush", sizeof(current->comm));
	for (;;) {
		timeout_start(&t, &wait, now_ns() + FLUSH_INTERVAL);
		wait_until(&wait, READ_ONCE(t.expired));
		timeout_end(&t);
		for (int n = 0; n < disk_count; n++)
			if (is_dirty(disks[n]))
				sync_disk(disks[n], true);
	}
}

void flush_init(void)
{
	if (disk_count)
		kernel_task(flush_thread);
}

/* ---- statfs, in three layouts ---- */

struct statfs_native {
	long type, bsize;
	ulong blocks, bfree, bavail, files, ffree;
	int fsid[2];
	long namelen, frsize, flags, spare[4];
};

struct statfs64_i386 {
	u32 type, bsize;
	u64 blocks, bfree, bavail, files, ffree;
	int fsid[2];
	u32 namelen, frsize, flags, spare[4];
} __attribute__((packed));

#define RAMFS_MAGIC 0x858458f6
#define ST_RDONLY 1
#define ST_VALID 0x20

static void usage(struct inode *i, struct fs_usage *u)
{
	if (i && i->iops)
		i->iops->usage(i, u);
	else
		*u = (struct fs_usage){ .type = RAMFS_MAGIC, .block_size = PAGE_SIZE, .name_max = 255, .blocks = mem_total,
					.blocks_free = page_free_count() };
}

#define FILL_STATFS(st, u)                                                                                             \
	((st).type = (u).type, (st).bsize = (st).frsize = (u).block_size, (st).blocks = (u).blocks,                     \
	 (st).bfree = (st).bavail = (u).blocks_free, (st).files = (u).inodes, (st).ffree = (u).inodes_free,              \
	 (st).namelen = (u).name_max, (st).flags = ST_VALID | ((u).read_only ? ST_RDONLY : 0))

static long statfs_out(struct inode *i, void *out, bool wide)
{
	struct fs_usage u;

	usage(i, &u);
	if (wide) {
		struct statfs64_i386 st;
		memset(&st, 0, sizeof(st));
		FILL_STATFS(st, u);
		return copy_to_user(out, &st, sizeof(st));
	}
	struct statfs_native st;
	memset(&st, 0, sizeof(st));
	FILL_STATFS(st, u);
	return copy_to_user(out, &st, sizeof(st));
}

static long statfs_path(const char *user, void *out, bool wide)
{
	char path[256];
	long n = strncpy_from_user(path, user, sizeof(path));
	int err;

	if (n < 0 || n == sizeof(path))
		return n < 0 ? n : -ENAMETOOLONG;
	struct inode *i = path_lookup(AT_FDCWD, path, true, &err);
	if (!i)
		return err;
	long r = statfs_out(i, out, wide);
	inode_put(i);
	return r;
}

static long statfs_fd(int fd, void *out, bool wide)
{
	struct file *f = fd_get(fd);
	return f ? statfs_out(f->inode, out, wide) : -EBADF;
}

long sys_statfs(const char *user, void *out) { return statfs_path(user, out, false); }
long sys_fstatfs(int fd, void *out) { return statfs_fd(fd, out, false); }
long sys_statfs64(const char *user, ulong size, void *out)
{
	return size == sizeof(struct statfs64_i386) ? statfs_path(user, out, true) : -EINVAL;
}
long sys_fstatfs64(int fd, ulong size, void *out)
{
	return size == sizeof(struct statfs64_i386) ? statfs_fd(fd, out, true) : -EINVAL;
}
