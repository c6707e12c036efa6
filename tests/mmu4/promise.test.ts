import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { minimumShadowPages } from "../../src/mmu4/index.ts"
import { steps, tables, vpns } from "./random.ts"
import { Simulation } from "./simulation.ts"
import { MODES, type WorldOptions } from "./world.ts"

/*
 * Random guests on random tables; after each step all invariants of src/mmu4 are checked from scratch, and each
 * access is held against an independent architectural walk (simulation.ts says what is promised).
 */

const run = (options: WorldOptions, count: number, runs: number) =>
  fc.assert(
    fc.property(vpns, tables, steps(count), (addresses, contents, list) => {
      const simulation = new Simulation(options, addresses, contents)
      simulation.run(list)
      expect(simulation.world.memory.words.subarray(0, 16 * 1024).every((w) => w === 0)).toBe(true)
      simulation.world.mmu.destroy()
      expect(simulation.world.allocator.out.size).toBe(0)
    }),
    { numRuns: runs },
  )

const METHODS = ["kvm", "throw-away", "on-demand"] as const

describe.each(METHODS)("an access through the shadow that is kept by %s,", (method) =>
  describe.each(MODES)("with $name,", ({ views, supervisor }) => {
    const mode = { method, views, supervisor }
    it("is what an architectural walk promises", () => run({ ...mode, vcpus: 1, limit: 256 }, 80, 30))
    it("is, with two virtual CPUs on shared tables", () => run({ ...mode, vcpus: 2, limit: 256 }, 80, 30))
    it("is, with as few shadow pages as there can be", () =>
      run({ ...mode, vcpus: 1, limit: minimumShadowPages(1) }, 120, 25))
  }),
)
