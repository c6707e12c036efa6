import { COMMAND_MASTER, COMMAND_MEMORY, PCI_CONFIG, type PciFunction } from "../../devices/pci.ts"
import { VirtioPci } from "../../devices/index.ts"
import type { Subject } from "./subject.ts"
import { bitNames, bracketed, hex } from "./text.ts"

/* `info pci`: the guest's devices, and what their drivers have set up. */

/** Virtio device types (virtio 1.0, section 5), and status bits (2.1). */
const TYPES: Readonly<Record<number, string>> = { 1: "network", 2: "block", 3: "console", 4: "entropy" }
const STATUS: Readonly<Record<number, string>> = {
  0: "ACKNOWLEDGE",
  1: "DRIVER",
  2: "DRIVER_OK",
  3: "FEATURES_OK",
  6: "NEEDS_RESET",
  7: "FAILED",
}
/** The first device number of virtio 1.0. */
const VIRTIO_DEVICE = 0x1040

const describe = (fn: PciFunction, slot: number): string => {
  const read = (register: number, bytes: number): number => fn.readConfig(register, bytes)
  const vendor = read(PCI_CONFIG.vendor, 2)
  const device = read(PCI_CONFIG.device, 2)
  const virtio = fn instanceof VirtioPci
  const name = virtio ? `virtio ${TYPES[device - VIRTIO_DEVICE] ?? "device"}` : "host bridge"
  const rows = [
    `00:${slot.toString(16).padStart(2, "0")}.0  ${name}, ${hex(vendor, 16)}:${hex(device, 16)}, class ${hex(read(PCI_CONFIG.classCode, 2) | (read(PCI_CONFIG.classCode + 2, 1) << 16), 24)}`,
  ]
  const line = read(PCI_CONFIG.interruptLine, 1)
  if (read(PCI_CONFIG.interruptPin, 1) !== 0) rows.push(`interrupt line ${line}`)
  const command = read(PCI_CONFIG.command, 2)
  const on = [(command & COMMAND_MEMORY) !== 0 ? "memory" : "", (command & COMMAND_MASTER) !== 0 ? "bus master" : ""]
  if (fn.barBytes > 0) {
    const bar = read(PCI_CONFIG.bar0, 4)
    rows.push(
      `memory ${hex(bar, 32)}..${hex(bar + fn.barBytes - 1, 32)}, enabled ${bracketed(on.filter((word) => word !== ""))}`,
    )
  }
  if (virtio) {
    rows.push(`driver's status ${bracketed(bitNames(BigInt(fn.driverStatus), STATUS, 8))}`)
    fn.queues.forEach(({ enabled, size, descriptors, driver, device: used }, i) => {
      const where = `descriptors ${hex(descriptors)}, driver ${hex(driver)}, device ${hex(used)}`
      rows.push(`queue ${i}: ${enabled ? `${size} entries, guest-physical ${where}` : "not enabled"}`)
    })
  }
  return rows.map((row, i) => (i === 0 ? row : `    ${row}`)).join("\n")
}

export const infoPci = (subject: Subject): string => {
  return subject.inspection.pci.plugged.map(describe).join("\n")
}
