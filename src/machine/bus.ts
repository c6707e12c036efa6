/*
 * What lies beyond a processor's pins: ports, memory-mapped devices and the interrupt controller. `cpu` is the index of
 * the processor that asks. Addresses are physical, sizes 1, 2 or 4 bytes (an 8-byte access comes as two).
 */
export interface Bus {
  portIn(cpu: number, port: number, size: number): number
  portOut(cpu: number, port: number, size: number, value: number): void
  mmioRead(cpu: number, address: number, size: number): number
  mmioWrite(cpu: number, address: number, size: number, value: number): void
  /** The vector of the interrupt that the processor accepts, or -1 if none is left to deliver. */
  interruptAcknowledge(cpu: number): number
}

/** A bus with nothing on it: reads give all ones, as an open bus does. */
export const openBus: Bus = {
  portIn: (_cpu, _port, size) => (size === 4 ? -1 : (1 << (8 * size)) - 1),
  portOut: () => undefined,
  mmioRead: (_cpu, _address, size) => (size === 4 ? -1 : (1 << (8 * size)) - 1),
  mmioWrite: () => undefined,
  interruptAcknowledge: () => -1,
}
