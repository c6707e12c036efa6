/*
 * The cache of a disk's blocks. Reading finds a block here or fetches it; writing changes it here and marks it dirty; the
 * disk learns of that later, class by class. How many there may be is bounded: the block not used for the longest time
 * makes room. A block can only go when the disk has it, and blocks of metadata may only be written in their order
 * (fs/ext2_sync.c), so when all are dirty the bound gives way until the next operation begins with a checkpoint.
 */
#include "buffer.h"
#include "errno.h"
#include "printk.h"

#define HASH_SIZE 512
#define LIMIT_MIN 64
#define LIMIT_MEMORY_SHIFT 3 /* at most an eighth of memory for each disk */

static struct buffer **bucket(struct disk *d, u32 block) { return &d->hash[block % HASH_SIZE]; }

/* ---- Lists ---- */

static void unlink_use(struct buffer *b)
{
	struct disk *d = b->disk;

	if (b->newer)
		b->newer->older = b->older;
	else
		d->newest = b->older;
	if (b->older)
		b->older->newer = b->newer;
	else
		d->oldest = b->newer;
}

static void link_newest(struct buffer *b)
{
	struct disk *d = b->disk;

	b->newer = NULL;
	b->older = d->newest;
	if (d->newest)
		d->newest->newer = b;
	else
		d->oldest = b;
	d->newest = b;
}

static void unlink_dirty(struct buffer *b)
{
	if (!(b->flags & BUFFER_DIRTY))
		return;
	if (b->prev_dirty)
		b->prev_dirty->next_dirty = b->next_dirty;
	else
		b->disk->dirty[b->class] = b->next_dirty;
	if (b->next_dirty)
		b->next_dirty->prev_dirty = b->prev_dirty;
	b->flags &= ~BUFFER_DIRTY;
	b->disk->dirty_count--;
}

void buffer_dirty(struct buffer *b, enum blk_class class)
{
	/* What nothing points at is filled before something does, whatever it is. */
	if (b->flags & BUFFER_FRESH && class > BLK_TRIPLE)
		class = BLK_DATA;
	if (b->flags & BUFFER_DIRTY && b->class == class)
		return;
	/* A directory's block that has to be late stays so. */
	if (b->flags & BUFFER_DIRTY && b->class == BLK_DIR_LATE)
		class = BLK_DIR_LATE;
	unlink_dirty(b);
	b->class = class;
	b->prev_dirty = NULL;
	b->next_dirty = b->disk->dirty[class];
	if (b->next_dirty)
		b->next_dirty->prev_dirty = b;
	b->disk->dirty[class] = b;
	b->flags |= BUFFER_DIRTY;
	b->disk->dirty_count++;
}

/* ---- Making room ---- */

static void discard(struct buffer *b)
{
	struct buffer **p = bucket(b->disk, b->block);

	while (*p != b)
		p = &(*p)->same_hash;
	*p = b->same_hash;
	unlink_use(b);
	unlink_dirty(b);
	b->disk->count--;
	kfree(b->data);
	kfree(b);
}

static bool evict(struct disk *d)
{
	for (struct buffer *b = d->oldest; b; b = b->newer)
		if (!b->refs && !(b->flags & (BUFFER_DIRTY | BUFFER_MOVING))) {
			discard(b);
			return true;
		}
	return false;
}

static struct buffer *make(struct disk *d, u32 block)
{
	/* Contents of files may be written at any time; then there is something to evict. */
	while (d->count >= d->limit)
		if (!evict(d) && (!d->dirty[BLK_DATA] || buffer_write(d, BLK_DATA) || !evict(d)))
			break;
	struct buffer *b;
	u8 *data;
	for (;;) {
		b = kzalloc(sizeof(*b));
		data = b ? kmalloc(d->block_size) : NULL;
		if (data)
			break;
		kfree(b);
		if (!evict(d))
			return NULL;
	}
	b->disk = d;
	b->block = block;
	b->data = data;
	b->same_hash = *bucket(d, block);
	*bucket(d, block) = b;
	link_newest(b);
	d->count++;
	return b;
}

static struct buffer *find(struct disk *d, u32 block)
{
	for (struct buffer *b = *bucket(d, block); b; b = b->same_hash)
		if (b->block == block)
			return b;
	return NULL;
}

static struct buffer *find_or_make(struct disk *d, u32 block, int *err)
{
	struct buffer *b = NULL;

	*err = -EIO;
	if (block < d->sectors / (d->block_size / SECTOR_SIZE)) {
		*err = -ENOMEM;
		b = find(d, block);
		if (b) {
			unlink_use(b);
			link_newest(b);
		} else {
			b = make(d, block);
		}
	}
	if (b) {
		b->refs++;
		*err = 0;
	}
	return b;
}

/* ---- Reading ---- */

static u64 sector_of(struct buffer *b) { return (u64)b->block * (b->disk->block_size / SECTOR_SIZE); }

/* Sends a request for what it has collected. */
static void start(struct disk *d, struct blk_request *r, bool write)
{
	for (int i = 0; i < r->count; i++)
		r->buffers[i]->flags |= BUFFER_MOVING;
	blk_start(d, r, write, sector_of(r->buffers[0]), d->block_size);
}

void buffer_done(struct buffer *b, bool written, int error)
{
	b->flags &= ~BUFFER_MOVING;
	if (error)
		pr_err("%s: block %u of %u bytes: %s error\n", b->disk->name, b->block, b->disk->block_size,
		       written ? "write" : "read");
	if (written && error)
		buffer_dirty(b, b->class);
	else if (!written && !error)
		b->flags |= BUFFER_VALID;
	b->refs--;
}

struct buffer *buffer_read(struct disk *d, u32 block, int *err)
{
	struct buffer *b = find_or_make(d, block, err);

	if (!b || b->flags & BUFFER_VALID)
		return b;
	struct blk_request *r = blk_request(d);
	b->refs++;
	r->buffers[r->count++] = b;
	start(d, r, false);
	*err = blk_finish(d);
	if (b->flags & BUFFER_VALID) {
		*err = 0;
		return b;
	}
	buffer_put(b);
	*err = -EIO;
	return NULL;
}

void buffer_prefetch(struct disk *d, const u32 *blocks, int n)
{
	struct blk_request *r = NULL;
	int err;

	for (int i = 0; i < n; i++) {
		struct buffer *b = blocks[i] ? find_or_make(d, blocks[i], &err) : NULL;
		if (!b)
			continue;
		if (b->flags & (BUFFER_VALID | BUFFER_MOVING)) {
			buffer_put(b);
			continue;
		}
		if (r && (r->count == d->max_pieces || r->buffers[r->count - 1]->block + 1 != b->block)) {
			start(d, r, false);
			r = NULL;
		}
		if (!r)
			r = blk_request(d);
		b->flags |= BUFFER_MOVING;
		r->buffers[r->count++] = b;
	}
	if (r)
		start(d, r, false);
	/* An error shows again when the block is wanted. */
	blk_finish(d);
}

struct buffer *buffer_blank(struct disk *d, u32 block, int *err)
{
	struct buffer *b = find_or_make(d, block, err);

	if (b) {
		memset(b->data, 0, d->block_size);
		b->flags |= BUFFER_VALID;
	}
	return b;
}

struct buffer *buffer_cached(struct disk *d, u32 block)
{
	struct buffer *b = find(d, block);

	if (!b || !(b->flags & BUFFER_VALID))
		return NULL;
	b->refs++;
	return b;
}

void buffer_put(struct buffer *b) { b->refs--; }

void buffer_forget(struct disk *d, u32 block)
{
	struct buffer *b = find(d, block);

	if (!b)
		return;
	unlink_dirty(b);
	b->flags &= ~(BUFFER_FRESH | BUFFER_ARRIVAL);
	if (!b->refs)
		discard(b);
}

/* ---- Writing ---- */

static bool wants(struct buffer *b, enum blk_class class) { return b && b->flags & BUFFER_DIRTY && b->class == class; }

int buffer_write(struct disk *d, enum blk_class class)
{
	int error = 0;

	while (d->dirty[class] && !error) {
		/* A batch of requests, each with neighbours as far as they are dirty too. */
		for (int n = 0; n < BLK_REQUESTS && d->dirty[class]; n++) {
			struct blk_request *r = blk_request(d);
			struct buffer *b = d->dirty[class], *before;
			for (int i = 1; i < d->max_pieces && b->block && wants(before = find(d, b->block - 1), class); i++)
				b = before;
			do {
				unlink_dirty(b);
				b->refs++;
				r->buffers[r->count++] = b;
				b = find(d, b->block + 1);
			} while (r->count < d->max_pieces && wants(b, class));
			d->unflushed = true;
			start(d, r, true);
		}
		error = blk_finish(d);
	}
	return error;
}

#define DIRTY_SHARE 2 /* half of the cache */

bool buffer_balance(struct disk *d)
{
	if (d->dirty_count <= d->limit / DIRTY_SHARE)
		return false;
	buffer_write(d, BLK_DATA);
	return d->dirty_count > d->limit / DIRTY_SHARE / 2;
}

int buffer_sync(struct disk *d)
{
	int error = 0;

	for (int class = 0; class < BLK_CLASSES; class++) {
		int e = buffer_write(d, class);
		error = error ? error : e;
	}
	int e = blk_flush(d);
	return error ? error : e;
}

void buffer_fresh_done(struct disk *d)
{
	for (struct buffer *b = d->newest; b; b = b->older)
		b->flags &= ~(BUFFER_FRESH | BUFFER_ARRIVAL);
}

void buffer_drop(struct disk *d)
{
	for (struct buffer *b = d->oldest, *next; b; b = next) {
		next = b->newer;
		if (!b->refs)
			discard(b);
	}
}

/* ---- Setting up ---- */

static void choose_limit(struct disk *d)
{
	d->limit = max((mem_total << PAGE_SHIFT >> LIMIT_MEMORY_SHIFT) / d->block_size, (ulong)LIMIT_MIN);
}

int buffer_set_size(struct disk *d, u32 size)
{
	int error = buffer_sync(d);

	if (error)
		return error;
	buffer_drop(d);
	if (d->count)
		return -EBUSY;
	d->block_size = size;
	choose_limit(d);
	return 0;
}

bool buffer_init(struct disk *d)
{
	d->hash = kzalloc(HASH_SIZE * sizeof(*d->hash));
	/* The largest that leaves no remainder, so that all of the disk can be reached. */
	d->block_size = PAGE_SIZE;
	while (d->block_size > d->sector_size && d->sectors % (d->block_size / SECTOR_SIZE))
		d->block_size /= 2;
	choose_limit(d);
	return d->hash;
}
