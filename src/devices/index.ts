/*
 * The guest's devices: a PCI bus with virtio devices on it. The same objects serve a native machine, where interrupts are
 * lines of the 8259, and a guest under a module, where the launcher emulates the accesses and injects the interrupts.
 *
 * Everything that a guest writes here is hostile until checked. A device never throws but GuestFault, which ends the guest
 * that caused it; the work of one access is bounded.
 */
export { GuestFault, GuestMemory } from "./guestMemory.ts"
export { PCI_WINDOW_BEGIN, PCI_WINDOW_END, PciBus, PciFunction, type InterruptLines } from "./pci.ts"
export { VirtioConsole } from "./virtioConsole.ts"
export { VirtioPci, type VirtioDevice, type VirtioTransport } from "./virtioPci.ts"
export { DescriptorChain, Virtqueue } from "./virtqueue.ts"
