import { reflectTrap } from "./events.ts"
import type { VirtualCpu64 } from "./virtualCpu.ts"

const GENERAL_PROTECTION = 13

/**
 * M:070 Be a process now, and attack not the Host but your own kernel, by making it believe that the hardware has
 * said something. A hypervisor that lets this through has broken its Guest's security without losing a byte of its
 * own.
 *
 * INT3 and INTO get through the host's gates from anywhere; the guest's gate says that its processes may not: #GP at
 * the instruction, as by the hardware. As INT n it has two bytes, the second of which is the vector.
 */
export const refuseSoftware = (v: VirtualCpu64, vector: number): void => {
  v.retreat(1)
  if (v.instruction()[0] === vector) v.retreat(1)
  reflectTrap(v, GENERAL_PROTECTION, (vector << 3) | 2)
}

/** INT `vector`, through a gate of the host's that is open to all: as the guest's own gate for it says. */
export const reflectSoftware = (v: VirtualCpu64, vector: number): void => {
  const { idt } = v.guest
  if (idt.present(vector) && (!v.userView || idt.isUser(vector))) reflectTrap(v, vector, 0)
  else refuseSoftware(v, vector)
}
