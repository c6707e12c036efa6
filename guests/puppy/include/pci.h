/* PCI devices, as the configuration space shows them (PCI Local Bus 3.0, chapter 6). */
#pragma once
#include "types.h"

struct pci_device {
	u32 address; /* bus, device, function, as port 0xCF8 wants them */
	u16 vendor, device;
	u8 irq;
	void *bar[6]; /* mapped on demand */
};

void pci_init(void);
struct pci_device *pci_find(u16 vendor, u16 device);
struct pci_device *pci_find_nth(u16 vendor, u16 device, int n); /* from 0, in the order of the slots; NULL: no more */
u32 pci_read(struct pci_device *d, u32 offset, int size);
void pci_write32(struct pci_device *d, u32 offset, u32 value);
u8 pci_capability(struct pci_device *d, u8 after, u8 id); /* 0: none (further) */
void *pci_map_bar(struct pci_device *d, int bar);
void pci_enable(struct pci_device *d);
