import { expect, it } from "vitest"
import { DATA } from "../../src/mmu4/direct/state.ts"
import { P, RW, US } from "../../src/mmu4/entries.ts"
import { FIXED, KILL } from "../../src/mmu4/interface.ts"
import { at, DirectWorld, entry, FIRST } from "./direct.ts"

/* What a guest whose own tables are walked may ask of its host at once; and a flush of one page, where that has to be asked for. */

const world = (vcpus: number, options: ConstructorParameters<typeof DirectWorld>[1] = {}): DirectWorld => {
  const w = new DirectWorld(vcpus, options)
  w.build()
  return w
}
/** Page tables below the first PML4, itself included. */
const TABLES = 7
const OTHER_PML4 = 8
const PROCESS_TABLE = 7

it("a page is flushed though hints come to nothing, as where CR3 stays loaded", () => {
  const w = world(2)
  const [first, second] = w.mmu.vcpus
  for (const v of w.mmu.vcpus) v.newRoot(4096)
  Object.assign(w.config.flushers[1]!, { flushPage: () => undefined })
  expect(w.access(1, 3, 0, true)).toBe(FIRST + 16 + 3)
  expect(first!.update!(at(PROCESS_TABLE, 3), entry(25, P | RW | US), 0).kind).toBe(FIXED)
  second!.flushAddress(3)
  expect(w.access(1, 3, 0, true)).toBe(FIRST + 25)
})

it("it has no more page tables than it may, and what is only kept goes first", () => {
  const small = world(1, { limit: TABLES - 1 })
  expect(small.mmu.vcpus[0]!.newRoot(4096)).toMatchObject({
    kind: KILL,
    reason: `more than ${TABLES - 1} page tables at a time`,
  })
  expect(small.check()).toEqual([])

  const w = world(1, { limit: TABLES + 1 })
  const [v] = w.mmu.vcpus
  expect(v!.newRoot(4096).kind).toBe(FIXED)
  // The same kernel: one table more, and the first root is kept.
  expect(v!.newRoot(OTHER_PML4 * 4096).kind).toBe(FIXED)
  expect(w.mmu.state.tables).toBe(TABLES + 1)
  expect(v!.update!(at(3, 1), entry(9, P | RW), 0).kind).toBe(FIXED)
  expect(w.mmu.state.type[1]).toBe(DATA)
  expect(w.check()).toEqual([])
})

it("it says when it has done much, so that nobody is kept waiting by hypercalls", () => {
  let said = 0
  const w = world(1, { laboured: () => said++ })
  const [v] = w.mmu.vcpus
  const tablesUntil = (limit: number): number => {
    let tables = 0
    for (; said === 0 && tables < limit; tables += TABLES) {
      v!.newRoot(4096)
      w.mmu.zapAll()
    }
    return tables
  }
  expect(tablesUntil(10_000)).toBeLessThan(10_000)
})
