/*
 * D:010 Part 3, Drivers: in which the Guest finds its voice. A disk that is a program needs no heads, no sectors per
 * track and no interrupt controller of 1984: it needs to be told "these bytes, please", and to say when it is done. So
 * Rusty, tired of every hypervisor having a way of its own (lguest had one, too), wrote down virtio: one shape for all
 * devices that are not really there.
 *
 * virtio 1.0 over PCI, the part that all devices share. Section numbers are those of the virtio 1.0 specification.
 *
 * A driver's life: virtio_open, virtio_queue for each queue, virtio_start. Then virtqueue_add and virtqueue_kick to send
 * buffers, and virtqueue_get, usually from the interrupt handler, to take them back. Each of these takes the queue's own
 * lock, so a driver needs one of its own only for what is its own.
 */
#pragma once
#include "pci.h"
#include "spinlock.h"

#define VIRTIO_VENDOR 0x1af4
#define VIRTIO_NET 0x1041
#define VIRTIO_BLOCK 0x1042
#define VIRTIO_CONSOLE 0x1043
#define VIRTIO_ENTROPY 0x1044

#define VIRTQUEUE_MAX 128 /* descriptors: then a queue fits one page */

struct virtio_device {
	struct pci_device *pci;
	volatile struct virtio_common *common;
	volatile u8 *isr;
	volatile u8 *config; /* the device's own registers; NULL: it has none */
	u8 *notify;
	u32 notify_multiplier;
	u64 features; /* agreed on, VERSION_1 aside */
	void (*interrupt)(struct virtio_device *); /* buffers have come back; interrupts are off */
	void (*changed)(struct virtio_device *);   /* the configuration has; may be NULL */
	void *priv;   /* the driver's */
};

/* A piece of a request, in memory of the direct map (kmalloc, alloc_page: not a stack, not the kernel's image). */
struct virtio_piece {
	void *at;
	u32 length;
};

struct virtqueue {
	struct virtio_device *device;
	u16 index, size;
	u16 free, free_count; /* descriptors, linked by their own `next` */
	u16 seen;             /* used entries that we have taken */
	volatile u16 *bell;
	struct virtqueue_desc *desc;
	struct virtqueue_avail *avail;
	volatile struct virtqueue_used *used;
	void *token[VIRTQUEUE_MAX]; /* by the chain's first descriptor */
	spinlock_t lock;
};

/* Finds the registers, resets the device and agrees on `wanted` as far as it offers them. False, with a message, if it is
 * no device that we can talk to. */
bool virtio_open(struct virtio_device *d, struct pci_device *pci, u64 wanted);
/* NULL, and no queue, if the device has none of this number or there is no memory. */
struct virtqueue *virtio_queue(struct virtio_device *d, u16 index, u16 most);
void virtio_start(struct virtio_device *d, void (*interrupt)(struct virtio_device *));
void virtio_fail(struct virtio_device *d); /* gives up: the device is told */

/* The device's own registers, by offset; 64 bits are read in halves that belong together. */
u32 virtio_config(struct virtio_device *d, u32 offset, int bytes);
u64 virtio_config64(struct virtio_device *d, u32 offset);

/* Queues a request: first the pieces that the device reads, then those it writes. False: no descriptors free. */
bool virtqueue_add(struct virtqueue *q, const struct virtio_piece *pieces, int read, int written, void *token);
void virtqueue_kick(struct virtqueue *q); /* tells the device, if it wants to know */
/* The token of a request that has come back, and how many bytes the device wrote; NULL: none has. */
void *virtqueue_get(struct virtqueue *q, u32 *written);
void virtqueue_quiet(struct virtqueue *q); /* no interrupts for this queue: its buffers are collected when needed */
