/* The cache of a disk's blocks. Everything here is called with the disk's lock held. */
#pragma once
#include "blk.h"

enum {
	BUFFER_VALID = 1,   /* holds what the disk holds, or should */
	BUFFER_DIRTY = 2,   /* the disk does not have it yet; then it is on its class's list */
	BUFFER_MOVING = 4,  /* being read or written */
	BUFFER_FRESH = 8,   /* allocated since the last checkpoint: nothing on the disk points at it */
	BUFFER_ARRIVAL = 16 /* a directory's block that a name has moved into (fs/ext2_sync.c) */
};

struct buffer {
	struct disk *disk;
	u32 block;
	u16 refs;
	u8 flags, class;
	u8 *data;
	struct buffer *same_hash;
	struct buffer *newer, *older;
	struct buffer *next_dirty, *prev_dirty;
};

static inline u8 *buffer_data(struct buffer *b) { return b->data; }

bool buffer_init(struct disk *d);
/* Changes the size of blocks, writing what is dirty and forgetting the rest. */
int buffer_set_size(struct disk *d, u32 size);
/* All of these give a reference; NULL: *err says why. */
struct buffer *buffer_read(struct disk *d, u32 block, int *err);
struct buffer *buffer_blank(struct disk *d, u32 block, int *err); /* zeroes, without asking the disk */
void buffer_prefetch(struct disk *d, const u32 *blocks, int n);   /* starts and ends reading those not there yet */
struct buffer *buffer_cached(struct disk *d, u32 block);          /* without reading; NULL: not there */
void buffer_put(struct buffer *b);
void buffer_dirty(struct buffer *b, enum blk_class class);
void buffer_forget(struct disk *d, u32 block); /* the block is free: what it held need not be written */
/* Writes all dirty blocks of a class and waits; they stay dirty if that fails. */
int buffer_write(struct disk *d, enum blk_class class);
/* Called between operations: brings the number of dirty blocks down if it is high. True: only a checkpoint would. */
bool buffer_balance(struct disk *d);
int buffer_sync(struct disk *d); /* all that is dirty, and flush: for disks without a file system */
void buffer_drop(struct disk *d); /* forgets everything */
void buffer_fresh_done(struct disk *d); /* a checkpoint is complete */
void buffer_done(struct buffer *b, bool written, int error);
