/* ext2 on the disk, and what we keep of it in memory. All numbers on the disk are little-endian, as ours are. */
#pragma once
#include "buffer.h"
#include "errno.h"
#include "fs.h"
#include "printk.h"

/* ---- On the disk ---- */

#define EXT2_MAGIC 0xef53
#define EXT2_SUPER_AT 1024u /* bytes from the start of the disk, whatever the size of blocks */
#define EXT2_ROOT_INO 2u
#define EXT2_OLD_FIRST_INO 11u
#define EXT2_OLD_INODE_SIZE 128u
#define EXT2_LINK_MAX 32000u
#define EXT2_NAME_MAX 255

struct ext2_super_block {
	u32 inodes_count, blocks_count, r_blocks_count, free_blocks_count, free_inodes_count, first_data_block;
	u32 log_block_size, log_frag_size, blocks_per_group, frags_per_group, inodes_per_group, mtime, wtime;
	u16 mnt_count, max_mnt_count, magic, state, errors, minor_rev;
	u32 lastcheck, checkinterval, creator_os, rev;
	u16 def_resuid, def_resgid;
	u32 first_ino; /* from here on revision 1 */
	u16 inode_size, block_group_nr;
	u32 compat, incompat, ro_compat;
};
enum { EXT2_VALID = 1, EXT2_ERROR = 2 };
#define EXT2_INCOMPAT_FILETYPE 2u
#define EXT2_RO_SPARSE_SUPER 1u
#define EXT2_RO_LARGE_FILE 2u
#define EXT2_RO_BTREE_DIR 4u
#define EXT2_RO_KNOWN (EXT2_RO_SPARSE_SUPER | EXT2_RO_LARGE_FILE | EXT2_RO_BTREE_DIR)

struct ext2_group {
	u32 block_bitmap, inode_bitmap, inode_table;
	u16 free_blocks, free_inodes, used_dirs, pad;
	u32 reserved[3];
};

struct ext2_disk_inode {
	u16 mode, uid;
	u32 size, atime, ctime, mtime, dtime;
	u16 gid, links;
	u32 sectors, flags, version;
	u32 block[15]; /* 12 of data, then one of each level of indirection; a device's number; a short link's target */
	u32 generation, file_acl, size_high, faddr;
	u16 fragment, pad, uid_high, gid_high;
	u32 reserved;
	/* larger inodes: */
	u16 extra_size, checksum_high;
	u32 ctime_extra, mtime_extra, atime_extra, crtime, crtime_extra;
};
#define EXT2_DIRECT 12
#define EXT2_BLOCKS 15
#define EXT2_FL_INDEX 0x1000u /* a directory with hash trees: what changes it without them clears this */
#define EXT2_EXTRA_SIZE 32

struct ext2_entry {
	u32 ino;
	u16 rec_len;
	u8 name_len, type; /* without the feature "filetype", type is the upper half of name_len, and 0 */
	char name[];
} __attribute__((packed));
#define EXT2_ENTRY_HEAD 8u
static inline u32 ext2_entry_size(u32 name_len) { return (EXT2_ENTRY_HEAD + name_len + 3) & ~3u; }

/* Extended attributes live in a block that inodes may share. */
#define EXT2_XATTR_MAGIC 0xea020000u
struct ext2_xattr_header {
	u32 magic, refcount, blocks;
};

/* ---- In memory ---- */

struct ext2_inode {
	struct inode i; /* first: a struct inode of ours is one of these */
	struct super *super;
	u32 block[EXT2_BLOCKS];
	u32 flags, file_acl, generation;
	bool dirty;     /* differs from the inode table's */
	bool made;      /* since the last checkpoint: the inode table has something older in its place */
	bool gone;      /* its blocks and its number are free */
	u32 last_block; /* allocated for it: the next one should follow */
	struct ext2_inode *same_hash;
};

#define EXT2_HASH 128
struct super {
	struct disk *disk;
	struct inode *root;
	struct super *next;    /* mounted */
	char where[64];
	bool read_only;
	bool was_valid;        /* when it was mounted: then it may be marked so again */
	bool metadata_dirty;   /* since the last complete checkpoint: bitmaps, counts */
	u32 block_size, groups, inode_size, first_ino, pointers;
	struct buffer *super_buffer;
	struct ext2_super_block *sb;
	struct buffer **group_buffers; /* of descriptors; they stay */
	ulong group_buffers_pfn;
	/* Freed since the last checkpoint, by group, as bitmaps; NULL: none. Not to be used again until then. */
	u8 **frozen_blocks, **frozen_inodes;
	ulong frozen_pfn;
	int frozen_order;
	bool frozen;
	struct ext2_inode *hash[EXT2_HASH];
	u32 dirty_inodes;
};

static inline struct ext2_inode *EXT2(struct inode *i) { return (struct ext2_inode *)i; }
static inline u32 ext2_now(void) { return wall_ns() / NSEC_PER_SEC; }
static inline void ext2_lock(struct super *s) { mutex_lock(&s->disk->lock); }
static inline void ext2_unlock(struct super *s) { mutex_unlock(&s->disk->lock); }
static inline bool ext2_has_filetype(struct super *s) { return s->sb->rev && s->sb->incompat & EXT2_INCOMPAT_FILETYPE; }

/* Everything below is called with the lock held, but for the operations in the tables. */

/* ext2_super.c */
struct super *ext2_mount(struct disk *d, bool read_only, int *err);
int ext2_umount(struct super *s);
int ext2_remount(struct super *s, bool read_only);
void ext2_down(struct super *s);       /* the power goes: like unmounting, but for what is still open */
void ext2_usage(struct inode *i, struct fs_usage *u);
struct ext2_group *ext2_group(struct super *s, u32 group);
void ext2_group_dirty(struct super *s, u32 group);
int ext2_corrupt(struct super *s, const char *what, u32 number); /* says so, marks it, gives -EIO */

/* ext2_alloc.c */
u32 ext2_new_block(struct super *s, u32 goal, int *err);
void ext2_free_block(struct super *s, u32 block);   /* frozen until the next checkpoint */
void ext2_unnew_block(struct super *s, u32 block);  /* one that nothing has pointed at */
u32 ext2_new_inode(struct super *s, u32 parent_group, bool directory, int *err);
bool ext2_can_free_inode(struct super *s, u32 ino); /* false: there is no memory to freeze it in */
void ext2_free_inode(struct super *s, u32 ino, bool directory);

/* ext2_inode.c */
struct ext2_inode *ext2_iget(struct super *s, u32 ino, int *err);
struct ext2_inode *ext2_inode_make(struct super *s, u32 ino);
void ext2_iput(struct ext2_inode *i);
void ext2_idirty(struct ext2_inode *i);
int ext2_iwrite(struct ext2_inode *i, bool gone); /* into the inode table's block */
struct buffer *ext2_table_block(struct super *s, u32 ino, struct ext2_disk_inode **at, int *err);
void ext2_prune(struct super *s);       /* forgets inodes that are clean and not in use */
void ext2_idelete(struct ext2_inode *i); /* the last name is gone, nobody uses it: frees all it has */

/* ext2_map.c: from a block of the file to a block of the disk */
u32 ext2_map(struct ext2_inode *i, u32 index, bool create, bool *fresh, int *err); /* 0: a hole, or an error */
int ext2_shorten(struct ext2_inode *i, u64 size);

/* ext2_file.c */
extern const struct file_ops ext2_fops;
struct buffer *ext2_read_block(struct ext2_inode *i, u32 index, int *err); /* NULL, 0: a hole */
long ext2_kread(struct inode *i, u64 pos, void *buf, size_t n);
int ext2_truncate(struct inode *i, u64 size);
ulong ext2_page(struct inode *i, ulong index);
void ext2_drop_pages(struct inode *i, ulong first, ulong last);

/* ext2_dir.c */
int ext2_dir_find(struct ext2_inode *dir, const char *name, u32 *ino); /* -ENOENT: no such name */
/* These tell which block they changed. A name that must be on the disk before another goes is not put where things are
 * written late. */
int ext2_dir_add(struct ext2_inode *dir, const char *name, u32 ino, u32 mode, bool arrival, u32 *block);
int ext2_dir_remove(struct ext2_inode *dir, const char *name, u32 *block);
int ext2_dir_replace(struct ext2_inode *dir, const char *name, u32 ino, u32 mode, u32 *block);
int ext2_dir_set_parent(struct ext2_inode *dir, u32 parent);
/* The block that has the name. */
int ext2_dir_block(struct ext2_inode *dir, const char *name, u32 *block);
int ext2_dir_empty(struct ext2_inode *dir); /* 1, 0, or an error */
int ext2_dir_init(struct ext2_inode *dir, u32 parent);
bool ext2_dir_has(struct ext2_inode *dir, enum blk_class class);
int ext2_entry(struct inode *dir, u64 *pos, char *name, u32 *ino, u32 *mode);
int ext2_name_of(struct inode *dir, struct inode *child, char *name);

/* ext2_namei.c */
extern const struct inode_ops ext2_iops;
/* The same for ext2_rename.c. A directory in memory holds on to the one it is in: ".." needs no look at the disk. */
void ext2_adopt(struct ext2_inode *dir, struct ext2_inode *child);
struct ext2_inode *ext2_iget_name(struct ext2_inode *dir, const char *name, int *err); /* with a reference */
int ext2_may_remove(struct ext2_inode *i, bool directory);
void ext2_lose_name(struct ext2_inode *dir, struct ext2_inode *i);

/* ext2_rename.c */
int ext2_rename(struct inode *from_dir, const char *from, struct inode *to_dir, const char *to);

/* ext2_sync.c */
int ext2_checkpoint(struct super *s, bool all); /* all: bitmaps and counts too */
int ext2_arrived(struct super *s, u32 block);   /* a name that exists elsewhere too was written into this block */
int ext2_departed(struct super *s, u32 block);  /* one that exists elsewhere was taken out of it */
bool ext2_is_late(struct super *s, u32 block);
bool ext2_is_arrival(struct super *s, u32 block);
int ext2_begin(struct super *s);                /* the start of a change: -EROFS, or room is made for it */
bool ext2_retry(struct super *s, int err);      /* the disk was full, and now may not be */
int ext2_fsync(struct file *f);
