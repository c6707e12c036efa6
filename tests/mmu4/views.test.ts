import { describe, expect, it } from "vitest"
import { GUEST_FAULT } from "../../src/mmu4/index.ts"
import { at, D, entryOf, Guest, P, PD, PDPT, PML4, PS, PT, U, W } from "./guest.ts"
import { check } from "./invariants.ts"
import { MODES, type WorldOptions } from "./world.ts"

/*
 * Guest kernel and guest user, who share their tables: by a view for each, by the U bit, by both, or not kept apart at all.
 */

const page = at(0, 0, 0, 0)
const kernels = at(0, 0, 0, 1)

const boot = (options: WorldOptions) => {
  const g = new Guest(options)
  g.set(PT, 0, entryOf(30, P | W | U))
  g.set(PT, 1, entryOf(31, P | W))
  g.mmu.vcpus[0]!.newRoot(PML4 * 4096)
  return g
}

const lastU = (g: Guest, vpn: number, user = false): boolean =>
  (g.mmu.describe(0, vpn, user).shadow.at(-1)!.lo & 4) !== 0

describe.each(MODES)("$name:", (mode) => {
  const apart = mode.views === 2 || mode.supervisor
  it("the user is kept from its kernel's pages as far as can be", () => {
    const g = boot(mode)
    const refused = { kind: GUEST_FAULT, error: 5, gpa: 0 }
    expect(g.access(kernels, "r", true)).toEqual(refused)
    expect(g.access(kernels, "w", false)).toBe(31)
    expect(g.access(kernels, "r", true)).toEqual(apart ? refused : 31)
    const got = g.mmu.vcpus[0]!.translate(kernels, 0, 0, true)
    expect(got.kind === GUEST_FAULT).toBe(apart)
    check(g.world)
  })

  it("both reach the user's pages, by as many shadows as there are views", () => {
    const g = boot(mode)
    expect(g.access(page, "w", true)).toBe(30)
    const { fill } = g.faults
    expect(g.access(page, "w", false)).toBe(30)
    expect(g.faults.fill).toBe(fill + mode.views - 1)
    expect(g.mmu.vcpus[0]!.rootFor(true) === g.mmu.vcpus[0]!.rootFor(false)).toBe(mode.views === 1)
    check(g.world)
  })

  it("U is the guest's own where its kernel is a supervisor, and in all leaves where it is not", () => {
    const g = boot(mode)
    g.set(PD, 2, entryOf(512, P | W | PS))
    g.access(page, "r")
    g.access(kernels, "r")
    g.access(at(0, 0, 2, 7), "w")
    expect(lastU(g, page)).toBe(true)
    expect(lastU(g, kernels)).toBe(!mode.supervisor)
    expect(lastU(g, at(0, 0, 2, 7))).toBe(!mode.supervisor)
    check(g.world)
  })

  it("a page taken from the user is gone for him with the flush, and comes back with the next", () => {
    const g = boot(mode)
    g.access(page, "w", true)
    g.access(page, "w", false)
    g.store(PT, 0, entryOf(30, P | W | D))
    g.mmu.vcpus[0]!.flushAddress(page)
    check(g.world)
    expect(g.access(page, "r", true)).toMatchObject({ kind: GUEST_FAULT, error: 5 })
    expect(g.access(page, "r", false)).toBe(30)
    g.store(PT, 0, entryOf(30, P | W | U | D))
    g.mmu.vcpus[0]!.flush(false)
    expect(g.access(page, "r", true)).toBe(30)
    check(g.world)
  })

  it("U of the upper entries counts as much", () => {
    const g = boot(mode)
    g.access(page, "r", true)
    expect(g.store(PDPT, 0, entryOf(PD, P | W))).toBe("emulated")
    expect(g.access(page, "r", true)).toMatchObject({ kind: GUEST_FAULT, error: 5 })
    expect(g.access(page, "r", false)).toBe(30)
    check(g.world)
  })

  it("the linear view is the kernel's", () => {
    const g = new Guest(mode)
    expect(g.access(30, "r", true)).toMatchObject({ kind: GUEST_FAULT, error: 5 })
    expect(g.access(30, "w", false)).toBe(30)
    expect(g.access(30, "r", true)).toEqual(apart ? { kind: GUEST_FAULT, error: 5, gpa: 0 } : 30)
    expect(lastU(g, 30)).toBe(!mode.supervisor)
    check(g.world)
  })
})
