import { ENTRY_LEAF, ENTRY_TABLE } from "../columns.ts"
import { ENTRIES, indexAt } from "../entries.ts"
import { isDirect } from "../roles.ts"
import type { SimpleState } from "./state.ts"
import { dropEntry } from "./tree.ts"
import type { SimpleVcpuState } from "./vcpuState.ts"

/*
 * INVLPG: "any TLB entries for the page", which for a large page of the guest's means all that were made of it (SDM vol. 3,
 * 4.10.4.1).
 */

const dropPage = (s: SimpleState, root: number, vpn: number): void => {
  for (let sp = root, level = 4; level >= 1; level--) {
    const id = sp * ENTRIES + indexAt(vpn, level)
    const info = s.entryInfo[id]!
    if ((info & ENTRY_LEAF) !== 0 || (info === ENTRY_TABLE && isDirect(s.pageRole[s.entryTarget[id]!]!))) {
      dropEntry(s, id)
      return
    }
    if (info === 0) return
    sp = s.entryTarget[id]!
  }
}

/** See VcpuMmu.flushAddress. All spaces of the virtual CPU are asked: global pages are in all of them. */
export const flushAddress = (s: SimpleState, v: SimpleVcpuState, vpn: number): void => {
  const perVcpu = s.spaces * s.views.count
  for (let i = 0; i < perVcpu; i++) dropPage(s, v.index * perVcpu + i, vpn)
  s.flushOwn(v)
  s.flushers[v.index]!.flushPage(vpn)
}
