/*
 * D:120 And one for a scarcity that is peculiar to Guests: in a world that is simulated to the nanosecond nothing
 * happens by chance, so even chance has to be brought in from outside.
 *
 * The entropy device (virtio 1.0, 5.4): one queue; it fills the buffers that we offer. What it gives seeds the kernel's
 * generator and, untouched, is what /dev/hwrng reads; no byte serves twice.
 */
#include "errno.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"
#include "random.h"
#include "virtio.h"

#define SIZE 128   /* of a request */
#define PATIENCE 8 /* times that a reader asks a device which has nothing to give */

static struct {
	struct virtio_device device;
	struct virtqueue *queue;
	u8 *buffer;
	u32 available; /* bytes at its start that nobody has had */
	bool asked;    /* the device has the buffer */
	bool for_seed; /* the next bytes are the generator's */
	struct waitq wait;
	spinlock_t lock;
} rng;

/* Under the lock. */
static void ask(void)
{
	if (rng.asked)
		return;
	rng.available = 0;
	rng.asked = virtqueue_add(rng.queue, &(struct virtio_piece){ rng.buffer, SIZE }, 0, 1, rng.buffer);
	virtqueue_kick(rng.queue);
}

static void ask_for_seed(void)
{
	ulong flags = spin_lock_irqsave(&rng.lock);

	rng.for_seed = true;
	ask();
	spin_unlock_irqrestore(&rng.lock, flags);
}

static void interrupt(struct virtio_device *d)
{
	u8 seed[SIZE];
	u32 written = 0, seeded = 0;
	ulong flags = spin_lock_irqsave(&rng.lock);

	(void)d;
	if (virtqueue_get(rng.queue, &written)) {
		written = min(written, (u32)SIZE);
		rng.asked = false;
		if (rng.for_seed && written) {
			memcpy(seed, rng.buffer, written);
			seeded = written;
			rng.for_seed = false;
		} else {
			rng.available = written;
		}
	}
	spin_unlock_irqrestore(&rng.lock, flags);
	if (seeded)
		random_seed(seed, seeded);
	wake_all(&rng.wait);
}

static long hwrng_read(struct file *f, void *to, size_t n)
{
	u8 bytes[SIZE];
	size_t done = 0;
	int asked = 0;

	while (done < n) {
		ulong flags = spin_lock_irqsave(&rng.lock);
		u32 k = min((size_t)rng.available, n - done);
		rng.available -= k;
		memcpy(bytes, rng.buffer + rng.available, k);
		if (!k)
			ask();
		spin_unlock_irqrestore(&rng.lock, flags);
		if (copy_to_user((u8 *)to + done, bytes, k))
			return done ? (long)done : -EFAULT;
		done += k;
		if (k) {
			asked = 0;
			continue;
		}
		/* What comes may be for the generator, or go to another reader, and then it is asked for again. */
		int err = f->flags & O_NONBLOCK ? -EAGAIN : ++asked > PATIENCE ? -EIO
			  : wait_event(&rng.wait, !READ_ONCE(rng.asked));
		if (err)
			return done ? (long)done : err;
	}
	return done;
}

static const struct file_ops hwrng_fops = { .read = hwrng_read };

void virtio_rng_init(void)
{
	struct pci_device *pci = pci_find(VIRTIO_VENDOR, VIRTIO_ENTROPY);

	if (!pci || !virtio_open(&rng.device, pci, 0))
		return;
	rng.queue = virtio_queue(&rng.device, 0, 1);
	rng.buffer = kmalloc(SIZE);
	if (!rng.queue || !rng.buffer) {
		virtio_fail(&rng.device);
		pr_warn("virtio rng: no queue\n");
		return;
	}
	virtio_start(&rng.device, interrupt);
	device_node("hwrng", 0600, 10 << 8 | 183, &hwrng_fops);
	random_source(ask_for_seed);
}
