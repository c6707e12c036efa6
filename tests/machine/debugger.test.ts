import fc from "fast-check"
import { beforeEach, describe, expect, it } from "vitest"
import * as S from "../../src/machine/core/state.ts"
import { ProcessorDebugger } from "../../src/machine/debugger.ts"
import { CODE, DATA, FL_IF, FL_TF, handler, Lab } from "./lab.ts"

/* What a debugger outside of the machine asks of a processor: stops that what runs there cannot see. */

const lab = new Lab()
const { cpu } = lab

const NOP = 0x90
const INC_EAX = [0xff, 0xc0]
const HLT = 0xf4
/** mov [DATA + at], eax and mov eax, [DATA + at], with a 32-bit address in either mode. */
const store = (at: number) => [0x89, 0x04, 0x25, ...le32(DATA + at)]
const load = (at: number) => [0x8b, 0x04, 0x25, ...le32(DATA + at)]
const le32 = (n: number) => [n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >>> 24) & 255]

/** A debugger of the lab as it has just been entered. */
const attach = (ring: 0 | 1 = 0) => new ProcessorDebugger(lab.machine, cpu, ring)
const rip = () => Number(cpu.rip)

/** Runs on, past where it stands; the address of the next stop, undefined when the program is over. */
const next = (debug: ProcessorDebugger, budget = 1000): number | undefined => {
  debug.pass()
  return cpu.run(budget) === S.EXIT_DEBUG ? rip() : undefined
}

describe.each(["prot32", "long"] as const)("breakpoints (%s)", (mode) => {
  /** eax = 5; do { eax--; } while (eax != 0); hlt: the loop is at CODE + 5. */
  const LOOP = [0xb8, 5, 0, 0, 0, 0xff, 0xc8, NOP, 0x75, 0xfb, HLT]

  it("stop before the instruction, every time it is come to, and at nothing else", () => {
    lab.enter(mode, 0, LOOP)
    const debug = attach()
    debug.setBreakpoints([BigInt(CODE + 5)])
    for (let left = 5n; left > 0n; left--) {
      expect(next(debug)).toBe(CODE + 5)
      expect(cpu.gpr(0)).toBe(left)
      expect(debug.hit()).toEqual({ stepped: false, breakpoint: true, watchpoint: undefined })
    }
    expect(next(debug)).toBeUndefined()
    expect(cpu.exitReason).toBe(S.EXIT_HALT)
  })

  it("are found in code that has been executed before, in the middle of a block, and on the second of a fused pair", () => {
    lab.enter(mode, 0, LOOP)
    const debug = attach()
    expect(cpu.run(1 + 3)).toBe(S.EXIT_BUDGET)
    debug.setBreakpoints([BigInt(CODE + 8)])
    expect(next(debug)).toBe(CODE + 8)
    expect(next(debug)).toBe(CODE + 8)
    debug.setBreakpoints([BigInt(CODE + 7)])
    expect(next(debug)).toBe(CODE + 7)
    debug.setBreakpoints([])
    expect(next(debug)).toBeUndefined()
  })

  it("where it stands stops again when it is come to from elsewhere", () => {
    lab.enter(mode, 0, [NOP, NOP, HLT])
    const debug = attach()
    debug.setBreakpoints([BigInt(CODE + 1)])
    expect(next(debug)).toBe(CODE + 1)
    cpu.rip = BigInt(CODE)
    expect(cpu.run(10)).toBe(S.EXIT_DEBUG)
    expect(rip()).toBe(CODE + 1)
  })

  it("stop once at a repeated instruction", () => {
    // mov ecx, 1000; mov edi, DATA; rep stosb; hlt
    lab.enter(mode, 0, [0xb9, ...le32(1000), 0xbf, ...le32(DATA), 0xf3, 0xaa, HLT])
    const debug = attach()
    debug.setBreakpoints([BigInt(CODE + 10)])
    expect(next(debug)).toBe(CODE + 10)
    expect(next(debug)).toBeUndefined()
    expect(cpu.gpr(1)).toBe(0n)
  })

  it("stop at the first instruction of the handler, not before the interrupt is taken", () => {
    lab.enter(mode, 0, [0x0f, 0x0b])
    const debug = attach()
    debug.setBreakpoints([BigInt(handler(6))])
    expect(next(debug)).toBe(handler(6))
  })

  it("leave an INT3 of the program's own to it", () => {
    lab.enter(mode, 0, [0xcc])
    const debug = attach()
    expect(next(debug)).toBeUndefined()
    expect(lab.vector).toBe(3)
  })

  it("are the guest's alone where there is a host", () => {
    lab.enter(mode, 0, [NOP, HLT])
    const host = attach(1)
    host.setBreakpoints([BigInt(CODE + 1)])
    host.setStepping(true)
    expect(next(host)).toBeUndefined()
    expect(cpu.exitReason).toBe(S.EXIT_HALT)
    lab.enter(mode, 3, [NOP, 0xcd, 0x80])
    const guest = attach(1)
    guest.setStepping(true)
    expect(next(guest)).toBe(CODE + 1)
    expect(next(guest)).toBeUndefined()
  })
})

describe.each(["prot32", "long"] as const)("single steps (%s)", (mode) => {
  it("stop before each instruction", () => {
    lab.enter(mode, 0, [...INC_EAX, NOP, ...INC_EAX, HLT])
    const debug = attach()
    debug.setStepping(true)
    expect([next(debug), next(debug), next(debug), next(debug)]).toEqual([CODE + 2, CODE + 3, CODE + 5, undefined])
  })

  it("leave the program's own single steps alone", () => {
    lab.enter(mode, 0, [NOP, NOP])
    lab.setFlags(FL_TF)
    const debug = attach()
    debug.setStepping(true)
    expect(next(debug)).toBe(handler(1))
    expect(lab.frame(1, lab.long ? 8 : 4)[0]).toBe(CODE + 1)
  })

  it("do not open the shadow of STI", () => {
    lab.enter(mode, 0, [0xfb, NOP, NOP])
    const debug = attach()
    debug.setStepping(true)
    cpu.setIntr(true)
    // Nobody answers the acknowledgement, so the request just goes away: at the boundary behind the NOP, and not before.
    expect(next(debug)).toBe(CODE + 1)
    expect(cpu.word(S.ATTENTION) & S.ATT_INTR).not.toBe(0)
    expect(Number(cpu.flags) & FL_IF).not.toBe(0)
    expect(next(debug)).toBe(CODE + 2)
    expect(cpu.word(S.ATTENTION) & S.ATT_INTR).toBe(0)
    cpu.setIntr(false)
  })
})

describe("watchpoints", () => {
  const program = [...store(0), ...load(0), ...store(16), ...load(20), HLT]
  const after = (n: number) => CODE + 7 * n
  let debug: ProcessorDebugger
  beforeEach(() => {
    lab.enter("long", 0, program)
    debug = attach()
  })

  it("on writes stop after a write", () => {
    const watchpoint = { address: BigInt(DATA + 2), length: 1, kind: "write" } as const
    debug.setWatchpoints([watchpoint])
    expect(next(debug)).toBe(after(1))
    expect(debug.hit()?.watchpoint).toEqual(watchpoint)
    expect(next(debug)).toBeUndefined()
  })

  it("on reads stop after a read, on accesses after both", () => {
    debug.setWatchpoints([{ address: BigInt(DATA), length: 4, kind: "read" }])
    expect(next(debug)).toBe(after(2))
    expect(next(debug)).toBeUndefined()
    lab.enter("long", 0, program)
    debug = attach()
    debug.setWatchpoints([{ address: BigInt(DATA), length: 8, kind: "access" }])
    expect([next(debug), next(debug), next(debug)]).toEqual([after(1), after(2), undefined])
  })

  it("know which of many was hit, and end where they end", () => {
    const watchpoints = Array.from({ length: 24 }, (_, i) => ({
      address: BigInt(DATA + i),
      length: 1,
      kind: "access" as const,
    }))
    debug.setWatchpoints(watchpoints.slice(20))
    expect(next(debug)).toBe(after(4))
    expect(debug.hit()?.watchpoint?.address).toBe(BigInt(DATA + 20))
    lab.enter("long", 0, program)
    debug = attach()
    debug.setWatchpoints(watchpoints.slice(4, 16))
    expect(next(debug)).toBeUndefined()
  })

  it("taken away are gone, and there are not too many", () => {
    debug.setWatchpoints([{ address: BigInt(DATA), length: 4, kind: "access" }])
    debug.setWatchpoints([])
    expect(next(debug)).toBeUndefined()
    const one = { address: 0n, length: 1, kind: "write" } as const
    expect(() => debug.setWatchpoints(Array.from({ length: 257 }, () => one))).toThrow(RangeError)
    expect(() => debug.setBreakpoints(Array.from({ length: 1025 }, () => 0n))).toThrow(RangeError)
  })
})

describe("a debugger is not noticed", () => {
  /** Instructions that fall through, take branches forward, touch memory, repeat, and a loop around them. */
  const pieces = [[NOP], INC_EAX, store(0), load(4), [0x85, 0xc0, 0x75, 0x01, NOP], [0x50, 0x58], [0xf3, 0xaa]]
  const programs = fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 12 }).map((body) => {
    const code = [0xbf, ...le32(DATA + 64), ...body.flat()]
    // mov ecx, ebx; dec ebx; jnz to the start
    return [0xbb, ...le32(6), 0x89, 0xd9, ...code, 0xff, 0xcb, 0x0f, 0x85, ...le32(-(code.length + 10)), HLT]
  })
  const state = () => ({
    registers: Array.from({ length: 16 }, (_, i) => cpu.gpr(i)),
    rip: cpu.rip,
    flags: cpu.flags,
    data: [...lab.ram.copyOut(DATA, 128)],
    instructions: cpu.instructions,
    now: cpu.now,
  })

  it("the program ends with the same state after as many instructions, and stops are where it passes", () => {
    fc.assert(
      fc.property(
        programs,
        fc.array(fc.nat(40), { maxLength: 6 }),
        fc.array(fc.nat(8), { maxLength: 3 }),
        (code, breaks, watches) => {
          // Every instruction's address, one run(1) at a time.
          lab.enter("long", 0, code)
          const path = [rip()]
          while (cpu.run(1) === S.EXIT_BUDGET) if (!cpu.halted && cpu.word(S.REPEATING) === 0) path.push(rip())
          lab.enter("long", 0, code)
          cpu.run(100_000)
          const expected = state()

          lab.enter("long", 0, code)
          const debug = attach()
          const addresses = [...new Set(breaks)].map((at) => BigInt(CODE + at))
          debug.setBreakpoints(addresses)
          debug.setWatchpoints(watches.map((at) => ({ address: BigInt(DATA + at), length: 2, kind: "access" })))
          const stops: number[] = []
          while (cpu.run(100_000) === S.EXIT_DEBUG) if (debug.hit()!.breakpoint) stops.push(rip())
          expect(state()).toEqual(expected)
          expect(stops).toEqual(path.filter((at) => addresses.includes(BigInt(at))))
        },
      ),
      { numRuns: 150 },
    )
  })
})
