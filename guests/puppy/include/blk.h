/*
 * Disks. A disk's lock covers its cache of blocks, its requests and, while it is mounted, its file system: whatever calls
 * a function here that takes a disk holds it.
 */
#pragma once
#include "proc.h"
#include "virtio.h"

#define SECTOR_SHIFT 9
#define SECTOR_SIZE 512u
#define BLK_PIECES 16   /* blocks that one request can carry */
#define BLK_REQUESTS 8  /* on their way at once */
#define BLK_DISKS 8

struct buffer;
struct super;

/*
 * What must be on the disk before what: dirty blocks are written class by class in this order. The rules that this order
 * keeps are at the top of fs/ext2_sync.c; a disk without a file system has DATA alone.
 */
enum blk_class { BLK_DATA, BLK_INDIRECT, BLK_DOUBLE, BLK_TRIPLE, BLK_INODE, BLK_DIR, BLK_DIR_LATE, BLK_META, BLK_CLASSES };

struct blk_request {
	struct {
		u32 type, reserved;
		u64 sector;
	} header;
	u8 status;
	bool busy, sent, done;
	int count;
	struct buffer *buffers[BLK_PIECES];
};

struct disk {
	char name[8];
	u64 sectors;
	bool read_only;
	bool write_back;      /* it may hold writes back until it is told to flush */
	u32 sector_size;      /* it writes no less: 512, or some power of two up to a page */
	u32 block_size;       /* of the cache */
	struct super *mounted;
	struct mutex lock;

	struct virtio_device virtio;
	struct virtqueue *queue;
	int max_pieces;
	struct waitq wait;    /* for requests to come back */
	bool failed;          /* one of them did, since blk_finish was asked last */
	struct blk_request *requests[BLK_REQUESTS];

	/* fs/buffer.c */
	struct buffer **hash;
	struct buffer *newest, *oldest;      /* all blocks in the cache, by use */
	struct buffer *dirty[BLK_CLASSES];
	ulong count, dirty_count, limit;
	bool unflushed;       /* written since the last flush */
};

extern struct disk *disks[BLK_DISKS];
extern int disk_count;

/* virtio_blk.c */
void virtio_blk_init(void);
struct blk_request *blk_request(struct disk *d); /* waits for one that is free */
void blk_start(struct disk *d, struct blk_request *r, bool write, u64 sector, u32 bytes_each);
int blk_finish(struct disk *d); /* waits for all: 0, or -EIO if one of them failed since the last call */
int blk_flush(struct disk *d);

/* fs/blkdev.c */
void blkdev_add(struct disk *d, int number);
struct inode;
struct disk *disk_of(struct inode *i); /* NULL: no disk */
