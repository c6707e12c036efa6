/*
 * D:020 First one must find them. They pose as cards on an ordinary PCI bus, so that a kernel looks for them where it
 * looks for hardware anyway. In a Guest each of these OUTs and INs is a protection fault: the Host forwards it to the
 * Launcher, which answers, and the Guest goes on behind the instruction none the wiser. It is slow, and it happens at
 * boot only.
 *
 * The PCI bus: configuration space through the ports 0xCF8 (address) and 0xCFC (data), the same natively and under a
 * hypervisor, whose launcher answers. Devices whose registers have no address yet get one.
 */
#include "pci.h"
#include "printk.h"
#include "proc.h"

#define ADDRESS_PORT 0xcf8
#define DATA_PORT 0xcfc
#define ENABLE 0x80000000u
#define MAX_DEVICES 16
#define WINDOW_START 0xf0000000u /* where we put registers that the firmware has not placed */
#define WINDOW_END 0xf1000000u

static struct pci_device devices[MAX_DEVICES];
static int device_count;
static u32 window = WINDOW_START;

u32 pci_read(struct pci_device *d, u32 offset, int size)
{
	outl(ADDRESS_PORT, ENABLE | d->address | (offset & ~3u));
	u32 v = inl(DATA_PORT) >> (offset & 3) * 8;
	return size == 4 ? v : v & ((1u << size * 8) - 1);
}

void pci_write32(struct pci_device *d, u32 offset, u32 value)
{
	outl(ADDRESS_PORT, ENABLE | d->address | offset);
	outl(DATA_PORT, value);
}

u8 pci_capability(struct pci_device *d, u8 after, u8 id)
{
	/* The status register says whether there is a list; a broken one must not hold us for ever. */
	if (!(pci_read(d, 6, 2) & 0x10))
		return 0;
	u8 at = pci_read(d, after ? after + 1 : 0x34, 1);
	for (int guard = 0; at >= 0x40 && guard < 48; guard++) {
		if (pci_read(d, at, 1) == id)
			return at;
		at = pci_read(d, at + 1, 1);
	}
	return 0;
}

/* A base register's size: write ones, the bits that stay zero are below it (PCI 3.0, 6.2.5.1). */
void *pci_map_bar(struct pci_device *d, int bar)
{
	u32 offset = 0x10 + bar * 4, low = pci_read(d, offset, 4), high = 0;
	bool wide = (low & 6) == 4;

	if (d->bar[bar])
		return d->bar[bar];
	if (low & 1)
		return NULL; /* ports: nothing of ours uses them */
	if (wide)
		high = pci_read(d, offset + 4, 4);
	pci_write32(d, offset, ~0u);
	u32 size = -(pci_read(d, offset, 4) & ~15u);
	u64 pa = (u64)high << 32 | (low & ~15u);
	if (!size)
		return NULL;
	if (!pa) {
		window = ALIGN_UP(window, max(size, (u32)PAGE_SIZE));
		if (window + size > WINDOW_END)
			return NULL;
		pa = window;
		window += size;
	}
	pci_write32(d, offset, (u32)pa);
	if (wide)
		pci_write32(d, offset + 4, pa >> 32);
	return d->bar[bar] = ioremap(pa, min(size, (u32)(64 * KiB)));
}

/* Command register: memory accesses, bus mastering; the interrupt pin is not disabled. */
void pci_enable(struct pci_device *d)
{
	u32 command = pci_read(d, 4, 4);
	pci_write32(d, 4, ((command & 0xffff) | 6) & ~0x400u);
}

struct pci_device *pci_find_nth(u16 vendor, u16 device, int n)
{
	for (int i = 0; i < device_count; i++)
		if (devices[i].vendor == vendor && devices[i].device == device && n-- == 0)
			return &devices[i];
	return NULL;
}

struct pci_device *pci_find(u16 vendor, u16 device) { return pci_find_nth(vendor, device, 0); }

void pci_init(void)
{
	for (u32 slot = 0; slot < 32 && device_count < MAX_DEVICES; slot++) {
		struct pci_device *d = &devices[device_count];
		d->address = slot << 11;
		u32 id = pci_read(d, 0, 4);
		if ((id & 0xffff) == 0xffff)
			continue;
		d->vendor = id;
		d->device = id >> 16;
		d->irq = pci_read(d, 0x3c, 1);
		device_count++;
		pr_debug("pci: %02x %04x:%04x irq %d\n", slot, d->vendor, d->device, d->irq);
	}
}
