import fc from "fast-check"
import { expect, it } from "vitest"
import { A, D, NX_HI, P, RW, US } from "../../src/mmu4/entries.ts"
import { DEVICE, FORCED, G, plainLow, WITHHELD } from "../../src/mmu4/direct/entry.ts"
import { FIXED, PF_FETCH, PF_WRITE } from "../../src/mmu4/interface.ts"
import { at, COUNT, DirectWorld, entry, KERNEL_SLOT, kernelVpn } from "./direct.ts"

/* The direct MMU's invariants, whatever a guest does. */

let w: DirectWorld

/** An entry's meaning: what is left when all that the host and the processor may change is taken away. */
const meaning = (lo: number, hi: number): string =>
  `${(plainLow(w.mmu.state, lo, hi) & ~(A | D | G | DEVICE | WITHHELD | FORCED)) >>> 0}:${hi}`

const TABLES = 14
const INDICES = [0, 1, 2, 3, 4, 5, 7, 8, 12, 20, 33, KERNEL_SLOT] as const

const anyTable = fc.integer({ min: 1, max: TABLES })
const anyIndex = fc.constantFrom(...INDICES)
const anyFrame = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 0, max: TABLES + 6 }) },
  { weight: 1, arbitrary: fc.constantFrom(COUNT, COUNT + 5, 0x1234) },
  { weight: 1, arbitrary: fc.constantFrom(-1, -500) },
)
const anyFlags = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(P | RW, P | RW | US, P, P | US) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xfff }) },
)
const anyValue = fc.oneof(
  { weight: 1, arbitrary: fc.constant({ lo: 0, hi: 0 }) },
  {
    weight: 6,
    arbitrary: fc
      .record({ frame: anyFrame, flags: anyFlags, hi: fc.constantFrom(0, 0, 0, NX_HI, 0x100) })
      .map(({ frame, flags, hi }) => ({ lo: entry(frame, flags), hi: (hi | 0) >>> 0 })),
  },
)
const anyVcpu = fc.integer({ min: 0, max: 1 })

const anyStep = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("update" as const),
      vcpu: anyVcpu,
      table: anyTable,
      index: anyIndex,
      value: anyValue,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("store" as const),
      vcpu: anyVcpu,
      table: anyTable,
      index: anyIndex,
      value: anyValue,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("root" as const), vcpu: anyVcpu, table: anyTable }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("access" as const),
      vcpu: anyVcpu,
      vpn: fc.constantFrom(...INDICES),
      bits: fc.constantFrom(0, PF_WRITE, PF_FETCH),
      userView: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("linear" as const), vcpu: anyVcpu }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("push" as const), vcpu: anyVcpu, table: anyTable }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("forget" as const), vcpu: anyVcpu }) },
)
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never

/** What the guest has stored, as it means it: by address. */
let model: Map<number, string>

/** The address at which a virtual CPU reaches a frame, if its own tables are of any use. */
const vpnOf = (vcpu: number, gfn: number): number => (w.mmu.vcpus[vcpu]!.isLinear ? gfn : kernelVpn(gfn))

const perform = (step: Step): void => {
  const v = w.mmu.vcpus[step.vcpu]!
  switch (step.do) {
    case "update": {
      const gpa = at(step.table, step.index)
      if (v.update!(gpa, step.value.lo, step.value.hi).kind === FIXED)
        model.set(gpa, meaning(step.value.lo, step.value.hi))
      return
    }
    case "store": {
      const vpn = vpnOf(step.vcpu, step.table)
      const reached = v.translate(vpn, 0, 0, false)
      const gpa = reached.kind === FIXED ? reached.gpa + 8 * step.index : -1
      const kind = w.store(step.vcpu, vpn, 8 * step.index, step.value.lo, step.value.hi)
      if (kind === FIXED) model.set(gpa, meaning(step.value.lo, step.value.hi))
      return
    }
    case "root":
      v.newRoot(step.table * 4096)
      return
    case "access":
      w.access(step.vcpu, step.vpn, step.bits, step.userView)
      return
    case "linear":
      v.linear()
      return
    case "push":
      v.translate(vpnOf(step.vcpu, step.table), 0, PF_WRITE, false)
      return
    case "forget":
      w.mmu.zapAll()
  }
}

it.each([
  [{ views: 2, supervisor: false }],
  [{ views: 1, supervisor: true }],
  [{ views: 1, supervisor: false }],
] as const)(
  "after anything that a guest does, all invariants hold, and its entries mean what it has stored: %o",
  (options) => {
    fc.assert(
      fc.property(fc.array(anyStep, { minLength: 1, maxLength: 60 }), (steps) => {
        w = new DirectWorld(2, options)
        w.build()
        model = new Map()
        for (let table = 0; table <= TABLES; table++)
          for (const index of INDICES) {
            const gpa = at(table, index)
            model.set(gpa, meaning(...w.read(gpa)))
          }
        for (const v of w.mmu.vcpus) v.newRoot(4096)
        for (const step of steps) {
          perform(step)
          const wrong = w.check()
          for (const [gpa, meant] of model)
            if (meaning(...w.read(gpa)) !== meant)
              wrong.push(`0x${gpa.toString(16)} means ${meaning(...w.read(gpa))}, not ${meant}`)
          expect(wrong, JSON.stringify(step)).toEqual([])
          // Frames that were pushed are let go of at the next entry.
          w.mmu.vcpus[step.vcpu]!.rootFor(false)
        }
      }),
      { numRuns: 100 },
    )
  },
)
