import { TASK, VCPU } from "../../i386/layout.ts"
import type { VirtualCpu } from "./virtualCpu.ts"

/*
 * How a guest's page tables come into force. Where the guest's tables have only the Switcher's pages, each change of worlds
 * loads CR3, and with it everything is forgotten that the processor remembered. Where they have all of the host, the host
 * goes on with them as they are: then it has to be said when the processor remembers too much, and the tables are the
 * task's own, so that a context switch loads them and not the host's.
 */
export type UseRoot = (v: VirtualCpu, root: number) => void

export const loadedOnEntry: UseRoot = (v, root) =>
  v.host.kernel.ram.write32(v.descriptor + VCPU.fields.root.offset, root)

export const keptByHost: UseRoot = (v, root) => {
  const { ram } = v.host.kernel
  ram.write32(v.descriptor + VCPU.fields.root.offset, root)
  ram.write32(v.descriptor + VCPU.fields.stale.offset, v.guest.shadow.takeStale() ? 1 : 0)
  ram.write32(v.task.pa + TASK.fields.cr3.offset, root)
}
