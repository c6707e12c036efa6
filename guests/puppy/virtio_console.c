/*
 * The console device of virtio 1.0 over PCI. Two queues of buffers in our memory: 0, which the device fills with input,
 * and 1, from which it prints. Section numbers are those of the virtio 1.0 specification.
 */
#include "fs.h"
#include "pci.h"
#include "printk.h"
#include "proc.h"

#define VENDOR 0x1af4
#define DEVICE_CONSOLE 0x1043

/* 4.1.4: capabilities (vendor-specific, id 9) that say where in which BAR the registers are */
enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_ISR = 3, CFG_DEVICE = 4 };

/* 4.1.4.3 */
struct common_cfg {
	u32 device_feature_select, device_feature, driver_feature_select, driver_feature;
	u16 msix_config, num_queues;
	u8 device_status, config_generation;
	u16 queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
	u32 queue_desc[2], queue_driver[2], queue_device[2];
};

enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, FAILED = 128 };
#define VERSION_1_WORD 1 /* feature bit 32: bit 0 of the second word */

/* 2.4: the split virtqueue */
struct desc {
	u64 addr;
	u32 len;
	u16 flags, next;
};
#define DESC_WRITE 2 /* the device writes to it */
#define QUEUE_SIZE 16
struct queue {
	struct desc desc[QUEUE_SIZE];
	struct {
		u16 flags, idx, ring[QUEUE_SIZE], used_event;
	} avail;
	struct {
		u16 flags, idx;
		struct {
			u32 id, len;
		} ring[QUEUE_SIZE];
		u16 avail_event;
	} used __attribute__((aligned(4)));
};
#define NO_INTERRUPT 1

#define BUFFER 256
static struct {
	struct pci_device *pci;
	volatile struct common_cfg *common;
	volatile u8 *isr;
	u8 *notify_base;
	u32 notify_multiplier;
	struct queue *rx, *tx;
	volatile u16 *rx_notify, *tx_notify;
	u8 *rx_buffers, *tx_buffers; /* QUEUE_SIZE of BUFFER bytes each */
	u16 rx_seen, tx_seen;        /* used entries that we have dealt with */
	u16 rx_offset;               /* in the buffer that the tty had no room to finish */
	spinlock_t lock;
} vc;

/* The device must see the descriptors before the index that publishes them; x86 keeps stores in order, gcc need not. */
static void publish(struct queue *q, u16 id, volatile u16 *notify, u16 number)
{
	q->avail.ring[q->avail.idx % QUEUE_SIZE] = id;
	barrier();
	WRITE_ONCE(q->avail.idx, q->avail.idx + 1);
	if (notify)
		*notify = number;
}

static u16 used_idx(struct queue *q) { return READ_ONCE(q->used.idx); }

/* ---- Output ---- */

static void transmit(const char *s, size_t n)
{
	ulong flags = spin_lock_irqsave(&vc.lock);

	while (n) {
		/* All buffers on their way? The device is quick; wait for the oldest. */
		while ((u16)(vc.tx->avail.idx - used_idx(vc.tx)) >= QUEUE_SIZE)
			cpu_relax();
		/* Buffers come back in the order in which they went, so the next one in turn is free. */
		u16 id = vc.tx->avail.idx % QUEUE_SIZE;
		size_t k = min(n, (size_t)BUFFER);
		memcpy(vc.tx_buffers + id * BUFFER, s, k);
		vc.tx->desc[id].len = k;
		publish(vc.tx, id, vc.tx_notify, 1);
		s += k;
		n -= k;
	}
	spin_unlock_irqrestore(&vc.lock, flags);
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

static void receive(void)
{
	ulong flags = irq_save();

	while (vc.rx_seen != used_idx(vc.rx)) {
		u32 id = vc.rx->used.ring[vc.rx_seen % QUEUE_SIZE].id % QUEUE_SIZE;
		u32 len = min(vc.rx->used.ring[vc.rx_seen % QUEUE_SIZE].len, (u32)BUFFER);
		for (; vc.rx_offset < len; vc.rx_offset++)
			if (!tty_input(vc.rx_buffers[id * BUFFER + vc.rx_offset])) {
				irq_restore(flags);
				return;
			}
		vc.rx_offset = 0;
		vc.rx_seen++;
		publish(vc.rx, id, vc.rx_notify, 0);
	}
	irq_restore(flags);
}

/* Reading the status quiets the line (4.1.4.5). */
static void interrupt(struct pt_regs *regs)
{
	(void)regs;
	if (*vc.isr & 1)
		receive();
}

/* ---- Setting up (3.1.1) ---- */

static void *find_registers(u8 type)
{
	for (u8 at = pci_capability(vc.pci, 0, 9); at; at = pci_capability(vc.pci, at, 9)) {
		if (pci_read(vc.pci, at + 3, 1) != type)
			continue;
		u8 bar = pci_read(vc.pci, at + 4, 1);
		u32 offset = pci_read(vc.pci, at + 8, 4);
		if (type == CFG_NOTIFY)
			vc.notify_multiplier = pci_read(vc.pci, at + 16, 4);
		u8 *base = bar < 6 ? pci_map_bar(vc.pci, bar) : NULL;
		if (base && offset < 64 * KiB)
			return base + offset;
	}
	return NULL;
}

static struct queue *setup_queue(u16 index, u8 *buffers, u16 desc_flags, volatile u16 **notify)
{
	ulong pfn = alloc_page();
	struct queue *q = pfn ? pfn_to_va(pfn) : NULL;

	vc.common->queue_select = index;
	if (!q || vc.common->queue_size < QUEUE_SIZE)
		return NULL;
	memset(q, 0, PAGE_SIZE);
	for (u32 i = 0; i < QUEUE_SIZE; i++) {
		q->desc[i].addr = va_to_pa(buffers + i * BUFFER);
		q->desc[i].len = BUFFER;
		q->desc[i].flags = desc_flags;
	}
	vc.common->queue_size = QUEUE_SIZE;
	vc.common->queue_desc[0] = va_to_pa(q->desc);
	vc.common->queue_desc[1] = 0;
	vc.common->queue_driver[0] = va_to_pa(&q->avail);
	vc.common->queue_driver[1] = 0;
	vc.common->queue_device[0] = va_to_pa(&q->used);
	vc.common->queue_device[1] = 0;
	*notify = (volatile u16 *)(vc.notify_base + vc.common->queue_notify_off * vc.notify_multiplier);
	vc.common->queue_enable = 1;
	return q;
}

static bool negotiate(void)
{
	volatile struct common_cfg *c = vc.common;

	c->device_status = 0;
	c->device_status = ACKNOWLEDGE;
	c->device_status = ACKNOWLEDGE | DRIVER;
	c->device_feature_select = 1;
	if (!(c->device_feature & VERSION_1_WORD))
		return false;
	c->driver_feature_select = 0;
	c->driver_feature = 0;
	c->driver_feature_select = 1;
	c->driver_feature = VERSION_1_WORD;
	c->device_status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
	return c->device_status & FEATURES_OK;
}

bool virtio_console_init(void)
{
	vc.pci = pci_find(VENDOR, DEVICE_CONSOLE);
	if (!vc.pci)
		return false;
	pci_enable(vc.pci);
	vc.common = find_registers(CFG_COMMON);
	vc.notify_base = find_registers(CFG_NOTIFY);
	vc.isr = find_registers(CFG_ISR);
	if (!vc.common || !vc.notify_base || !vc.isr) {
		pr_warn("virtio console: registers not found\n");
		return false;
	}
	vc.rx_buffers = kmalloc(QUEUE_SIZE * BUFFER);
	vc.tx_buffers = kmalloc(QUEUE_SIZE * BUFFER);
	if (!vc.rx_buffers || !vc.tx_buffers || !negotiate() ||
	    !(vc.rx = setup_queue(0, vc.rx_buffers, DESC_WRITE, &vc.rx_notify)) ||
	    !(vc.tx = setup_queue(1, vc.tx_buffers, 0, &vc.tx_notify))) {
		vc.common->device_status = FAILED;
		pr_warn("virtio console: the device does not agree\n");
		return false;
	}
	vc.tx->avail.flags = NO_INTERRUPT;
	vc.common->device_status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
	for (u16 i = 0; i < QUEUE_SIZE; i++)
		publish(vc.rx, i, NULL, 0);
	*vc.rx_notify = 0;
	irq_register(vc.pci->irq % EXTERNAL_VECTORS, interrupt);
	log_attach_console(transmit_log);
	tty_attach(transmit, receive);
	return true;
}
