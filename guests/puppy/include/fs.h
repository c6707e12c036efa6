/* Files: inodes in memory, open files, descriptors. */
#pragma once
#include "spinlock.h"

struct file;
struct inode;
struct task;

#define S_IFMT 0170000
#define S_IFIFO 0010000
#define S_IFCHR 0020000
#define S_IFDIR 0040000
#define S_IFBLK 0060000
#define S_IFREG 0100000
#define S_IFLNK 0120000
#define S_ISDIR(m) (((m)&S_IFMT) == S_IFDIR)
#define S_ISREG(m) (((m)&S_IFMT) == S_IFREG)
#define S_ISLNK(m) (((m)&S_IFMT) == S_IFLNK)
#define S_ISCHR(m) (((m)&S_IFMT) == S_IFCHR)
#define S_ISBLK(m) (((m)&S_IFMT) == S_IFBLK)

#define O_ACCMODE 3
#define O_WRONLY 1
#define O_RDWR 2
#define O_CREAT 0100
#define O_EXCL 0200
#define O_TRUNC 01000
#define O_APPEND 02000
#define O_NONBLOCK 04000
#define O_DSYNC 010000 /* set in O_SYNC too */
#define O_DIRECTORY 0200000
#define O_NOFOLLOW 0400000
#define O_CLOEXEC 02000000

#define AT_FDCWD -100
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_REMOVEDIR 0x200

struct dirent {
	struct dirent *next;
	struct inode *inode;
	char name[];
};

/* buf is a user address in all of these. */
struct file_ops {
	int (*open)(struct file *f);
	long (*read)(struct file *f, void *buf, size_t n);
	long (*write)(struct file *f, const void *buf, size_t n);
	long (*ioctl)(struct file *f, ulong cmd, ulong arg);
	int (*sync)(struct file *f); /* fsync; NULL: nothing to be done */
	void (*release)(struct file *f);
	u32 (*poll)(struct file *f); /* what would not wait, as POLL bits; NULL: nothing ever does */
};

/* fs/poll.c */
enum { POLLIN = 1, POLLOUT = 4, POLLERR = 8, POLLHUP = 0x10, POLLNVAL = 0x20, POLLRDNORM = 0x40, POLLWRNORM = 0x100,
       POLLRDHUP = 0x2000 };
void poll_wake(void); /* some file's answer may have changed */

/* A directory whose entries are made up as they are asked for: /proc. */
struct dir_ops {
	struct inode *(*lookup)(struct inode *dir, const char *name); /* with a reference; NULL: none */
	/* The index-th name, from 0; false: no more. */
	bool (*entry)(struct inode *dir, ulong index, char *name, u32 *ino, u32 *mode);
};

enum { SET_MODE = 1, SET_UID = 2, SET_GID = 4, SET_ATIME = 8, SET_MTIME = 16 };
struct attributes {
	u32 set; /* which of these */
	u32 mode, uid, gid, atime, mtime;
};

struct fs_usage {
	u32 type, block_size, name_max;
	u64 blocks, blocks_free, inodes, inodes_free;
	bool read_only;
};

/*
 * What a file system on a disk does with its inodes; memory's own (fs/inode.c, fs/ramfs.c) has none of these. Each is one
 * step that is done whole or not at all, with respect to others and to a full disk. Inodes come with a reference.
 */
struct inode_ops {
	struct inode *(*lookup)(struct inode *dir, const char *name, int *err);
	/* target: of a symbolic link, else NULL */
	struct inode *(*create)(struct inode *dir, const char *name, u32 mode, u32 rdev, const char *target, int *err);
	int (*link)(struct inode *dir, const char *name, struct inode *i);
	int (*unlink)(struct inode *dir, const char *name, bool directory);
	int (*rename)(struct inode *from_dir, const char *from, struct inode *to_dir, const char *to);
	int (*truncate)(struct inode *i, u64 size);
	int (*set)(struct inode *i, const struct attributes *a);
	long (*read)(struct inode *i, u64 pos, void *kbuf, size_t n);
	ulong (*page)(struct inode *i, ulong index); /* frame that stays until the inode goes; 0: none */
	/* The entry at *pos, or the next one, and the position of what follows it. 1, 0: no more, or an error. */
	int (*entry)(struct inode *dir, u64 *pos, char *name, u32 *ino, u32 *mode);
	int (*name_of)(struct inode *dir, struct inode *child, char *name);
	void (*usage)(struct inode *i, struct fs_usage *u);
	void (*put)(struct inode *i); /* one reference less */
};

struct inode {
	u32 ino, mode, nlink, rdev;
	u32 refs; /* open files, mappings, working directories */
	u32 atime, mtime, ctime; /* memory's inodes keep mtime alone */
	u32 uid, gid, dev;
	u64 size;
	u64 sectors;               /* taken up, of 512 bytes; memory's inodes: by their size */
	const struct inode_ops *iops; /* NULL: in memory */
	struct inode *mounted;     /* the root of what is mounted on this directory */
	struct inode *covers;      /* the directory that this root is mounted on */
	const struct file_ops *fops;
	const struct dir_ops *dops;
	struct inode *parent;     /* of a directory */
	struct dirent *entries;   /* of a directory */
	const u8 *image;          /* where the initramfs holds the contents, until they are written to */
	spinlock_t pages_lock;    /* pages, which page faults look up without the file system's lock */
	ulong *pages;             /* frame numbers of the contents, 0: not there (then it is in image, or zero) */
	u32 pages_size;           /* entries allocated */
	ulong info;               /* /proc: the process */
};

struct file {
	u32 refs, flags;
	u64 pos;
	struct inode *inode;
	const struct file_ops *fops;
	bool under_fs_lock; /* read and write are called with it */
	void *priv;
};

/*
 * One lock for all of the file system: names, inodes, contents, positions in files. Its holder may sleep (a disk), and may
 * take it again. Reference counts go without it, and so do pipes, devices and sockets.
 */
void fs_lock(void);
void fs_unlock(void);

/* fs/inode.c */
extern struct inode *root_inode;
void fs_init(void);
struct inode *inode_new(u32 mode);
struct inode *inode_get(struct inode *i);
void inode_put(struct inode *i);
struct inode *dir_find(struct inode *dir, const char *name); /* NULL: no such name */
struct inode *dir_lookup(struct inode *dir, const char *name, int *err);
int dir_add(struct inode *dir, const char *name, struct inode *inode);
int dir_remove(struct inode *dir, const char *name);
/* Path to inode with a reference; error as a negative number in *err. */
struct inode *path_lookup(int dirfd, const char *path, bool follow, int *err);
/* The directory that holds (or would hold) the last part, which is copied to name. */
struct inode *path_parent(int dirfd, const char *path, char name[256], int *err);

/* fs/ramfs.c; these do what the inode's file system does. */
#define RAMFS_MAX_PAGES (2 * PAGE_SIZE / sizeof(ulong)) /* of one file: their numbers are one object */
ulong inode_page(struct inode *i, ulong index, bool create); /* frame of a page of the contents; 0: no memory */
ulong inode_page_get(struct inode *i, ulong index); /* the same with a reference, and only if it is there; any time */
long inode_read(struct inode *i, u64 pos, void *kbuf, size_t n);
int inode_truncate(struct inode *i, u64 size);
void inode_drop_page(struct inode *i, ulong index); /* below i->pages_size */
bool inode_pages_room(struct inode *i, ulong index); /* i->pages is large enough; false: it cannot be */
extern const struct file_ops ramfs_fops;

/* fs/file.c */
struct file *file_new(struct inode *i, const struct file_ops *ops, u32 flags);
struct file *file_open(struct inode *i, u32 flags, int *err);
void file_get(struct file *f);
void file_put(struct file *f);
struct file *fd_get(int fd);
int fd_install(struct file *f, bool cloexec);
void files_fork(struct task *to, struct task *from);
void files_close(struct task *t, bool exec_only);

/* fs/mount.c */
void filesystems_down(void); /* before the power goes: everything is on the disks, and they know it */
int mounts_text(char *buf, int size);

/* fs/cpio.c, fs/devices.c, fs/procfs.c, tty.c, fs/pipe.c */
void cpio_unpack(ulong pa, ulong size);
void devices_init(void);
void procfs_init(void);
void device_node(const char *name, u32 mode, u32 rdev, const struct file_ops *ops);
extern const struct file_ops tty_fops;

/* tty.c */
void tty_attach(void (*write)(const char *s, size_t n), void (*resume)(void));
bool tty_input(u8 c); /* false: no room, keep it and wait for resume */
