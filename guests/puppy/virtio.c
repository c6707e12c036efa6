/*
 * virtio 1.0 over PCI: registers found by capabilities, features agreed on, and queues of buffers in our memory that a
 * device works through. Section numbers are those of the virtio 1.0 specification.
 */
#include "virtio.h"
#include "errno.h"
#include "printk.h"
#include "proc.h"

/* 4.1.4: capabilities (vendor-specific, id 9) that say where in which BAR the registers are */
enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_ISR = 3, CFG_DEVICE = 4 };
#define CAPABILITY_VENDOR 9
#define CAPABILITY_TYPE 3
#define CAPABILITY_BAR 4
#define CAPABILITY_OFFSET 8
#define CAPABILITY_MULTIPLIER 16

/*
 * D:030 The common configuration (4.1.4.3).
 *
 * The registers through which driver and device come to terms: which features both know, and where in the Guest's
 * memory the queues are. No data passes here. Every access faults, too, so a good protocol has few of them.
 */
struct virtio_common {
	u32 device_feature_select, device_feature, driver_feature_select, driver_feature;
	u16 msix_config, num_queues;
	u8 device_status, config_generation;
	u16 queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
	u32 queue_desc[2], queue_driver[2], queue_device[2];
};

enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, FAILED = 128 };
#define VERSION_1 (1ull << 32)
enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };

/*
 * D:040 The split virtqueue (2.4).
 *
 * The idea itself, in three arrays in the Guest's own memory. Descriptors say where buffers are; in `avail` the driver
 * lists those that it offers; in `used` the device lists those that it has done with. Each array has one writer. So two
 * programs that do not trust each other, in two worlds, exchange data without a lock.
 */
struct virtqueue_desc {
	u64 addr;
	u32 len;
	u16 flags, next;
};
enum { DESC_NEXT = 1, DESC_WRITE = 2 };
struct virtqueue_avail {
	u16 flags, idx, ring[];
};
#define NO_INTERRUPT 1
struct virtqueue_used {
	u16 flags, idx;
	struct {
		u32 id, len;
	} ring[];
};
#define NO_NOTIFY 1

/* ---- Queues ---- */

/*
 * D:050 Offering a request: fill in descriptors, chain them, and only then move the index by which the device sees
 * them. The order of the last two stores is the whole trick.
 */
bool virtqueue_add(struct virtqueue *q, const struct virtio_piece *pieces, int read, int written, void *token)
{
	ulong flags = spin_lock_irqsave(&q->lock);
	int count = read + written;

	if (!count || count > q->free_count) {
		spin_unlock_irqrestore(&q->lock, flags);
		return false;
	}
	u16 head = q->free, id = head;
	for (int i = 0; i < count; i++) {
		struct virtqueue_desc *d = &q->desc[id];
		d->addr = va_to_pa(pieces[i].at);
		d->len = pieces[i].length;
		d->flags = (i < read ? 0 : DESC_WRITE) | (i + 1 < count ? DESC_NEXT : 0);
		id = d->next;
	}
	q->free = id;
	q->free_count -= count;
	q->token[head] = token;
	q->avail->ring[q->avail->idx % q->size] = head;
	/* The device must see all of it before the index that publishes it. Processors keep stores in order, gcc need not. */
	barrier();
	WRITE_ONCE(q->avail->idx, q->avail->idx + 1);
	spin_unlock_irqrestore(&q->lock, flags);
	return true;
}

/*
 * D:060 And ringing the bell, one store to a device register, hence one fault and a trip through Host and Launcher. If
 * the device is at work already it has said "no need", and the trip is saved. Whether it says so at the very moment
 * that we decide not to ring is what the fence is about.
 */
void virtqueue_kick(struct virtqueue *q)
{
	/* Our index must be out before we look whether the device is still at work and would see it by itself: a load may
	 * otherwise overtake a store, even here (2.4.11). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(q->used->flags & NO_NOTIFY))
		*q->bell = q->index;
}

/*
 * D:070 Collecting what is done. Guests have to mistrust their devices as well: the number that came back is looked up
 * among the requests that are really out, and a wrong one is nobody's.
 */
void *virtqueue_get(struct virtqueue *q, u32 *written)
{
	ulong flags = spin_lock_irqsave(&q->lock);
	void *token = NULL;

	/* A number that no request of ours has is a broken device's: passed over. */
	while (!token && q->seen != q->used->idx) {
		barrier();
		u32 head = q->used->ring[q->seen % q->size].id;
		u32 bytes = q->used->ring[q->seen % q->size].len;
		q->seen++;
		if (head >= q->size || !q->token[head])
			continue;
		token = q->token[head];
		q->token[head] = NULL;
		if (written)
			*written = bytes;
		u16 last = head, count = 1;
		for (; q->desc[last].flags & DESC_NEXT; count++)
			last = q->desc[last].next;
		q->desc[last].next = q->free;
		q->free = head;
		q->free_count += count;
	}
	spin_unlock_irqrestore(&q->lock, flags);
	return token;
}

void virtqueue_quiet(struct virtqueue *q) { q->avail->flags = NO_INTERRUPT; }

struct virtqueue *virtio_queue(struct virtio_device *d, u16 index, u16 most)
{
	volatile struct virtio_common *c = d->common;

	if (index >= c->num_queues)
		return NULL;
	c->queue_select = index;
	u16 size = min(c->queue_size, min(most, (u16)VIRTQUEUE_MAX));
	/* A power of two (2.4), for the indices' arithmetic modulo 65536. */
	while (size & (size - 1))
		size &= size - 1;
	struct virtqueue *q = size ? kzalloc(sizeof(*q)) : NULL;
	ulong pfn = q ? alloc_page() : 0;
	if (!pfn) {
		kfree(q);
		return NULL;
	}
	u8 *page = pfn_to_va(pfn);
	memset(page, 0, PAGE_SIZE);
	q->device = d;
	q->index = index;
	q->size = q->free_count = size;
	q->desc = (void *)page;
	for (u16 i = 0; i < size; i++)
		q->desc[i].next = i + 1;
	q->avail = (void *)(page + size * sizeof(struct virtqueue_desc));
	/* Behind the rings, each side may have another word that we do not use (2.4.6, 2.4.8). */
	q->used = (void *)(((ulong)&q->avail->ring[size + 1] + 3) & ~3ul);
	c->queue_size = size;
	const u64 at[3] = { va_to_pa(q->desc), va_to_pa(q->avail), va_to_pa((void *)q->used) };
	for (int half = 0; half < 2; half++) {
		c->queue_desc[half] = at[0] >> 32 * half;
		c->queue_driver[half] = at[1] >> 32 * half;
		c->queue_device[half] = at[2] >> 32 * half;
	}
	q->bell = (volatile u16 *)(d->notify + c->queue_notify_off * d->notify_multiplier);
	c->queue_enable = 1;
	return q;
}

/* ---- Interrupts ---- */

/*
 * D:080 How a driver learns that there is something to collect: a virtual interrupt, which the Launcher asks the Host
 * to raise (L:090) and which arrives by the stubs that you have seen (G:120).
 *
 * Reading the status quiets the line (4.1.4.5), which other devices may share.
 */
static void interrupt(void *data)
{
	struct virtio_device *d = data;
	u8 status = *d->isr;

	if (status & ISR_QUEUE)
		d->interrupt(d);
	if ((status & ISR_CONFIG) && d->changed)
		d->changed(d);
}

void virtio_start(struct virtio_device *d, void (*handler)(struct virtio_device *))
{
	d->interrupt = handler;
	irq_register_shared(d->pci->irq % EXTERNAL_VECTORS, interrupt, d);
	d->common->device_status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
}

void virtio_fail(struct virtio_device *d) { d->common->device_status = FAILED; }

/* ---- Registers ---- */

u32 virtio_config(struct virtio_device *d, u32 offset, int bytes)
{
	volatile u8 *at = d->config + offset;
	return bytes == 1 ? *at : bytes == 2 ? *(volatile u16 *)at : *(volatile u32 *)at;
}

u64 virtio_config64(struct virtio_device *d, u32 offset)
{
	/* The device counts its changes, so that halves of different values can be told (4.1.4.3.1). */
	for (;;) {
		u8 generation = d->common->config_generation;
		u64 v = virtio_config(d, offset, 4) | (u64)virtio_config(d, offset + 4, 4) << 32;
		if (d->common->config_generation == generation)
			return v;
	}
}

static void *find_registers(struct virtio_device *d, u8 type)
{
	struct pci_device *pci = d->pci;

	for (u8 at = pci_capability(pci, 0, CAPABILITY_VENDOR); at; at = pci_capability(pci, at, CAPABILITY_VENDOR)) {
		if (pci_read(pci, at + CAPABILITY_TYPE, 1) != type)
			continue;
		u8 bar = pci_read(pci, at + CAPABILITY_BAR, 1);
		u32 offset = pci_read(pci, at + CAPABILITY_OFFSET, 4);
		if (type == CFG_NOTIFY)
			d->notify_multiplier = pci_read(pci, at + CAPABILITY_MULTIPLIER, 4);
		u8 *base = bar < 6 ? pci_map_bar(pci, bar) : NULL;
		if (base && offset < 64 * KiB)
			return base + offset;
	}
	return NULL;
}

/* 3.1.1 */
static bool negotiate(struct virtio_device *d, u64 wanted)
{
	volatile struct virtio_common *c = d->common;

	c->device_status = 0;
	while (c->device_status)
		cpu_relax(); /* the reset is done when it reads as 0 (4.1.4.3.2) */
	c->device_status = ACKNOWLEDGE;
	c->device_status = ACKNOWLEDGE | DRIVER;
	c->device_feature_select = 0;
	u64 offered = c->device_feature;
	c->device_feature_select = 1;
	offered |= (u64)c->device_feature << 32;
	if (!(offered & VERSION_1))
		return false;
	d->features = offered & wanted;
	c->driver_feature_select = 0;
	c->driver_feature = d->features;
	c->driver_feature_select = 1;
	c->driver_feature = (d->features | VERSION_1) >> 32;
	c->device_status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
	return c->device_status & FEATURES_OK;
}

bool virtio_open(struct virtio_device *d, struct pci_device *pci, u64 wanted)
{
	d->pci = pci;
	pci_enable(pci);
	d->common = find_registers(d, CFG_COMMON);
	d->notify = find_registers(d, CFG_NOTIFY);
	d->isr = find_registers(d, CFG_ISR);
	d->config = find_registers(d, CFG_DEVICE);
	if (!d->common || !d->notify || !d->isr) {
		pr_warn("virtio %04x: registers not found\n", pci->device);
		return false;
	}
	if (negotiate(d, wanted))
		return true;
	virtio_fail(d);
	pr_warn("virtio %04x: the device does not agree\n", pci->device);
	return false;
}
