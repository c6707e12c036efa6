/*
 * The guest's devices: a PCI bus with virtio devices on it. The same objects serve a native machine, where interrupts are
 * lines of the 8259, and a guest under a module, where the launcher emulates the accesses and injects the interrupts.
 *
 * Everything that a guest writes here is hostile until checked. A device never throws but GuestFault, which ends the guest
 * that caused it; the work of one access is bounded.
 */
export {
  Board,
  DEVICE_LINES,
  LINES,
  MOST_DISKS,
  noDevices,
  type BoardConfig,
  type DevicesConfig,
  type NetConfig,
} from "./board.ts"
export { GuestFault, GuestMemory } from "./guestMemory.ts"
export { Hub } from "./hub.ts"
export { PCI_WINDOW_BEGIN, PCI_WINDOW_END, PciBus, PciFunction, type InterruptLines } from "./pci.ts"
export { SECTOR, VirtioBlock, type BlockBackend } from "./virtioBlock.ts"
export { VirtioConsole } from "./virtioConsole.ts"
export { VirtioEntropy, seededEntropy, systemEntropy, type EntropySource } from "./virtioEntropy.ts"
export { VirtioNet, type NetLink } from "./virtioNet.ts"
export { VirtioPci, type VirtioDevice, type VirtioTransport } from "./virtioPci.ts"
export { DescriptorChain, Virtqueue } from "./virtqueue.ts"
