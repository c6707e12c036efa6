/*
 * D:100 A disk. Look at what is missing: no geometry, no timing, no modes. Thirty years of disk controllers, and this
 * is what they came to.
 *
 * The block device (virtio 1.0, 5.2). A request is a header, blocks, and a byte in which the device leaves the result;
 * whoever needs the result sleeps until the device's interrupt.
 */
#include "blk.h"
#include "buffer.h"
#include "errno.h"
#include "printk.h"

/* 5.2.3: features; 5.2.4: configuration */
#define FEATURE_SEG_MAX (1u << 2)
#define FEATURE_READ_ONLY (1u << 5)
#define FEATURE_BLOCK_SIZE (1u << 6)
#define FEATURE_FLUSH (1u << 9)
enum { CONFIG_CAPACITY = 0, CONFIG_SEG_MAX = 12, CONFIG_BLOCK_SIZE = 20 };

/* 5.2.6 */
enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4 };
enum { STATUS_OK = 0, STATUS_NONE = 0xff };

struct disk *disks[BLK_DISKS];
int disk_count;

static void interrupt(struct virtio_device *v)
{
	struct disk *d = v->priv;
	struct blk_request *r;

	while ((r = virtqueue_get(d->queue, NULL)))
		WRITE_ONCE(r->done, true);
	wake_all(&d->wait);
}

/* What a request that has come back brings: its blocks are no longer on their way. */
static int complete(struct blk_request *r)
{
	int error = r->status == STATUS_OK ? 0 : -EIO;

	for (int i = 0; i < r->count; i++)
		buffer_done(r->buffers[i], r->header.type == TYPE_OUT, error);
	r->busy = false;
	return error;
}

static bool any_done(struct disk *d)
{
	for (int i = 0; i < BLK_REQUESTS; i++)
		if (!d->requests[i]->busy || READ_ONCE(d->requests[i]->done))
			return true;
	return false;
}

struct blk_request *blk_request(struct disk *d)
{
	for (;;) {
		for (int i = 0; i < BLK_REQUESTS; i++) {
			struct blk_request *r = d->requests[i];
			if (r->busy && READ_ONCE(r->done) && complete(r))
				d->failed = true;
			if (!r->busy) {
				r->busy = true;
				r->sent = r->done = false;
				r->count = 0;
				return r;
			}
		}
		wait_until(&d->wait, any_done(d));
	}
}

static void submit(struct disk *d, struct blk_request *r, u32 type, u64 sector, u32 bytes_each)
{
	struct virtio_piece pieces[BLK_PIECES + 2];
	int n = 0, read = type == TYPE_OUT ? r->count + 1 : 1;

	r->header.type = type;
	r->header.reserved = 0;
	r->header.sector = sector;
	r->status = STATUS_NONE;
	r->sent = true;
	pieces[n++] = (struct virtio_piece){ &r->header, sizeof(r->header) };
	for (int i = 0; i < r->count; i++)
		pieces[n++] = (struct virtio_piece){ buffer_data(r->buffers[i]), bytes_each };
	pieces[n++] = (struct virtio_piece){ &r->status, 1 };
	wait_until(&d->wait, virtqueue_add(d->queue, pieces, read, n - read, r));
	virtqueue_kick(d->queue);
}

void blk_start(struct disk *d, struct blk_request *r, bool write, u64 sector, u32 bytes_each)
{
	submit(d, r, write ? TYPE_OUT : TYPE_IN, sector, bytes_each);
}

int blk_finish(struct disk *d)
{
	for (int i = 0; i < BLK_REQUESTS; i++) {
		struct blk_request *r = d->requests[i];
		if (!r->busy || !r->sent)
			continue;
		wait_until(&d->wait, READ_ONCE(r->done));
		if (complete(r))
			d->failed = true;
	}
	bool failed = d->failed;
	d->failed = false;
	return failed ? -EIO : 0;
}

/* After this, what was written before it survives a power cut. */
int blk_flush(struct disk *d)
{
	int error = blk_finish(d);

	if (error || !d->unflushed)
		return error;
	if (d->write_back) {
		struct blk_request *r = blk_request(d);
		submit(d, r, TYPE_FLUSH, 0, 0);
		error = blk_finish(d);
	}
	if (!error)
		d->unflushed = false;
	return error;
}

static bool add(struct pci_device *pci, int number)
{
	struct disk *d = kzalloc(sizeof(*d));

	if (!d || !virtio_open(&d->virtio, pci, FEATURE_SEG_MAX | FEATURE_READ_ONLY | FEATURE_BLOCK_SIZE | FEATURE_FLUSH))
		goto fail;
	struct virtio_device *v = &d->virtio;
	v->priv = d;
	if (!v->config || !(d->queue = virtio_queue(v, 0, VIRTQUEUE_MAX)) || d->queue->size < 4)
		goto refuse;
	for (int i = 0; i < BLK_REQUESTS; i++)
		if (!(d->requests[i] = kzalloc(sizeof(struct blk_request))))
			goto refuse;
	d->sectors = virtio_config64(v, CONFIG_CAPACITY);
	d->read_only = v->features & FEATURE_READ_ONLY;
	d->write_back = v->features & FEATURE_FLUSH;
	d->max_pieces = min(BLK_PIECES, d->queue->size - 2);
	if (v->features & FEATURE_SEG_MAX)
		d->max_pieces = max(min(d->max_pieces, (int)virtio_config(v, CONFIG_SEG_MAX, 4)), 1);
	d->sector_size = v->features & FEATURE_BLOCK_SIZE ? virtio_config(v, CONFIG_BLOCK_SIZE, 4) : SECTOR_SIZE;
	snprintf(d->name, sizeof(d->name), "vd%c", 'a' + number);
	if (!buffer_init(d))
		goto refuse;
	virtio_start(v, interrupt);
	disks[disk_count++] = d;
	blkdev_add(d, number);
	pr_info("%s: %llu KiB%s\n", d->name, d->sectors / 2, d->read_only ? ", read-only" : "");
	return true;
refuse:
	virtio_fail(&d->virtio);
fail:
	pr_warn("virtio block device %d: not used\n", number);
	kfree(d);
	return false;
}

void virtio_blk_init(void)
{
	struct pci_device *pci;

	for (int n = 0; n < BLK_DISKS && (pci = pci_find_nth(VIRTIO_VENDOR, VIRTIO_BLOCK, n)); n++)
		add(pci, n);
}
