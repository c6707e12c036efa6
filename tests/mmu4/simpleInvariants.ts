import { PAGE_LIVE } from "../../src/mmu4/columns.ts"
import { chainNext, chainOf } from "../../src/mmu4/hash.ts"
import { isDirect, levelOf } from "../../src/mmu4/roles.ts"
import { KEY_LINEAR } from "../../src/mmu4/simple/state.ts"
import { checkPage, checkTlbs, must } from "./invariants.ts"
import type { World } from "./world.ts"

/*
 * The invariants of src/mmu4/simple/index.ts, checked from scratch. What an spte allows is held against the guest's tables
 * of the past by simulation.ts.
 */

export const checkSimple = (world: World): void => {
  const s = world.simple
  const live: number[] = []
  for (let sp = 0; sp < s.limit; sp++) if ((s.pageFlags[sp]! & PAGE_LIVE) !== 0) live.push(sp)

  // BOUND: slots and frames are accounted for.
  must(
    live.length === s.limit - s.freeSlotCount,
    () => `${live.length} pages live, ${s.limit - s.freeSlotCount} counted`,
  )
  must(s.stats.alive.reduce((a, b) => a + b, 0) === live.length, () => "pages alive by the statistics")
  const { out } = world.allocator
  must(out.size === live.length + s.pool.reserved, () => "a frame is lost, or used twice")
  must(new Set(live.map((sp) => s.pageHfn[sp])).size === live.length, () => "a frame is used twice")
  for (const sp of live) must(out.has(s.pageHfn[sp]!), () => `page ${sp} lives in a frame that is not ours`)
  must(s.pool.waiting === 0 && !s.removed, () => "a flush is pending after the call")

  // TREE, CONFINEMENT, AGREEMENT.
  const parents = new Map<number, number>()
  for (const sp of live)
    checkPage(world, sp, (kind, target, id) => {
      if (kind !== "table") return
      must(!parents.has(target), () => `page ${target} has two parents`)
      parents.set(target, id)
    })
  for (const sp of live) {
    const id = parents.get(sp)
    must((id === undefined) === sp < s.rootCount, () => `page ${sp} hangs nowhere, or a root somewhere`)
    if (id === undefined) continue
    const parent = Math.floor(id / 512)
    must(s.pageRoot[sp] === s.pageRoot[parent], () => `page ${sp} is below another root`)
    const first = s.pageFirst[parent]! + (id % 512) * 512 ** (levelOf(s.pageRole[parent]!) - 1)
    must(s.pageFirst[sp] === first, () => `page ${sp} is for other addresses`)
    must(!isDirect(s.pageRole[parent]!) || isDirect(s.pageRole[sp]!), () => `page ${sp} is a table in a large page`)
  }
  checkSpaces(world)
  checkHash(world, live)
  checkTlbs(world)
}

const checkSpaces = (world: World): void => {
  const s = world.simple
  for (const v of s.vcpus) {
    const key = s.spaceKey[s.spaceOf(v)]
    must(key === (v.linear ? KEY_LINEAR : v.pgdGfn), () => `vcpu ${v.index} is in the space of ${key}`)
    const keys = [...s.spaceKey.subarray(v.index * s.spaces, (v.index + 1) * s.spaces)].filter((k) => k >= KEY_LINEAR)
    must(new Set(keys).size === keys.length, () => `vcpu ${v.index} has two spaces for one address space`)
  }
  for (let root = 0; root < s.rootCount; root++) {
    const key = s.spaceKey[s.spaceOfRoot(root)]!
    must(isDirect(s.pageRole[root]!) === key < 0, () => `root ${root} is not for ${key}`)
    must(key >= KEY_LINEAR || s.pageUsed[root] === 0, () => `root ${root} is nobody's, and not empty`)
    if (key >= 0) must(s.pageGfn[root] === key, () => `root ${root} is for ${s.pageGfn[root]}`)
  }
}

/** Every shadow of a guest table is found by its frame. */
const checkHash = (world: World, live: number[]): void => {
  const s = world.simple
  for (const sp of live) {
    let at = chainOf(s, s.pageGfn[sp]!)
    while (at >= 0 && at !== sp) at = chainNext(s, at)
    must(at === sp || isDirect(s.pageRole[sp]!), () => `page ${sp} is not in the hash`)
  }
  let hashed = 0
  for (const head of s.buckets) for (let sp1 = head; sp1 !== 0; sp1 = s.hashNext[sp1 - 1]!) hashed++
  must(hashed === live.filter((sp) => !isDirect(s.pageRole[sp]!)).length, () => "the hash has others too")
}
