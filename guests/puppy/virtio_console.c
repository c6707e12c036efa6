/*
 * D:090 The simplest of them, and the first that you have met: it has printed puppy's banner. Everything that the Guest
 * says goes this way, one buffer at a time.
 *
 * The console device (virtio 1.0, 5.3). Two queues of buffers: 0, which the device fills with input, and 1, from which
 * it prints.
 */
#include "fs.h"
#include "printk.h"
#include "proc.h"
#include "virtio.h"

#define BUFFERS 16 /* for each direction */
#define BUFFER 256

static struct virtio_device device;

/* ---- Output ---- */

static struct virtqueue *tx;
static u8 *tx_free[BUFFERS];
static int tx_free_count;
static spinlock_t tx_lock;

static void transmit(const char *s, size_t n)
{
	ulong flags = spin_lock_irqsave(&tx_lock);

	while (n) {
		void *returned;
		while ((returned = virtqueue_get(tx, NULL)))
			tx_free[tx_free_count++] = returned;
		if (!tx_free_count) {
			/* All are on their way. The device is quick. */
			cpu_relax();
			continue;
		}
		u8 *buffer = tx_free[--tx_free_count];
		size_t k = min(n, (size_t)BUFFER);
		memcpy(buffer, s, k);
		virtqueue_add(tx, &(struct virtio_piece){ buffer, k }, 1, 0, buffer);
		virtqueue_kick(tx);
		s += k;
		n -= k;
	}
	spin_unlock_irqrestore(&tx_lock, flags);
}

/* The kernel's messages have no tty in between to turn \n into \r\n. */
static void transmit_log(const char *s, size_t n)
{
	char line[BUFFER];
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\n')
			line[k++] = '\r';
		line[k++] = s[i];
		if (k >= sizeof(line) - 2 || i == n - 1) {
			transmit(line, k);
			k = 0;
		}
	}
}

/* ---- Input ---- */

static struct virtqueue *rx;
static u8 *rx_buffer; /* that the tty had no room to finish; NULL: none */
static u32 rx_length, rx_offset;
static spinlock_t rx_lock;

static void offer(u8 *buffer) { virtqueue_add(rx, &(struct virtio_piece){ buffer, BUFFER }, 0, 1, buffer); }

static void receive(void)
{
	ulong flags = spin_lock_irqsave(&rx_lock);
	bool offered = false;

	for (;;) {
		if (!rx_buffer) {
			rx_buffer = virtqueue_get(rx, &rx_length);
			rx_length = min(rx_length, (u32)BUFFER);
			rx_offset = 0;
			if (!rx_buffer)
				break;
		}
		while (rx_offset < rx_length && tty_input(rx_buffer[rx_offset]))
			rx_offset++;
		if (rx_offset < rx_length)
			break;
		offer(rx_buffer);
		rx_buffer = NULL;
		offered = true;
	}
	if (offered)
		virtqueue_kick(rx);
	spin_unlock_irqrestore(&rx_lock, flags);
}

static void interrupt(struct virtio_device *d)
{
	(void)d;
	receive();
}

bool virtio_console_init(void)
{
	struct pci_device *pci = pci_find(VIRTIO_VENDOR, VIRTIO_CONSOLE);

	if (!pci || !virtio_open(&device, pci, 0))
		return false;
	u8 *buffers[2] = { kmalloc(BUFFERS * BUFFER), kmalloc(BUFFERS * BUFFER) };
	rx = virtio_queue(&device, 0, BUFFERS);
	tx = virtio_queue(&device, 1, BUFFERS);
	if (!rx || !tx || rx->size < BUFFERS || tx->size < BUFFERS || !buffers[0] || !buffers[1]) {
		virtio_fail(&device);
		pr_warn("virtio console: no queues\n");
		return false;
	}
	for (int i = 0; i < BUFFERS; i++) {
		offer(buffers[0] + i * BUFFER);
		tx_free[tx_free_count++] = buffers[1] + i * BUFFER;
	}
	virtqueue_quiet(tx);
	virtio_start(&device, interrupt);
	virtqueue_kick(rx);
	log_attach_console(transmit_log);
	tty_attach(transmit, receive);
	return true;
}
