import * as fc from "fast-check"
import { expect, it } from "vitest"
import { openBus } from "../../src/machine/bus.ts"
import * as S from "../../src/machine/core/state.ts"
import { CODE, DATA, handler, Lab, RAM_BYTES } from "./lab.ts"
import { PROBE, SECRET, setEntry } from "./late-gadget.ts"

/*
 * What a processor that checks late does before a fault leaves no trace but in the cache: a program that cannot see the time
 * sees the same as on a processor that checks in time, to the last bit of its registers, memory, page tables and counts.
 */

const late = new Lab(openBus, 1, { lateChecks: true })
const plain = new Lab()
const LABS = [late, plain]
const INSTRUCTIONS = 300
const CR4_PAE_TSD = 0x24n

/** Instructions about RDI (the secret's page), RSI (the probe's), RSP and registers. */
const KNOWN: ReadonlyArray<ReadonlyArray<number>> = [
  [0x0f, 0xb6, 0x07], [0x8b, 0x07], [0x48, 0x8b, 0x1f], [0x48, 0x03, 0x07], [0x3a, 0x07], [0x48, 0x87, 0x07], [0x01, 0x07],
  [0xff, 0x37], [0xff, 0x27], [0xff, 0x17], [0x0f, 0x44, 0x07], [0x0f, 0xaf, 0x07], [0xac], [0xa4], [0xa6], [0xae],
  [0xf3, 0xa4], [0xf3, 0xaa], [0xf3, 0xac], [0xc1, 0xe0, 0x06], [0x0f, 0xb6, 0x04, 0x06], [0x48, 0x89, 0x06], [0x01, 0x06],
  [0xf0, 0x01, 0x06], [0x48, 0x0f, 0xc7, 0x0e], [0x50], [0x58], [0x9c], [0x9d], [0xc3], [0xe8, 2, 0, 0, 0], [0xeb, 1],
  [0x74, 2], [0x72, 0xf0], [0xe2, 0xfb], [0x48, 0xf7, 0xf1], [0x0f, 0xc8], [0x0f, 0xae, 0xe8], [0x0f, 0xae, 0x3e],
  [0x0f, 0xae, 0x3f], [0xfa], [0x0f, 0xa2], [0xcd, 0x80], [0xe6, 0x80], [0x6c], [0x6e], [0x0f, 0x0b], [0xc9],
  [0xc8, 8, 0, 2], [0x48, 0x0f, 0xa3, 0x06], [0x48, 0xff, 0xc6], [0x48, 0x83, 0xef, 0x08], [0xd7], [0x88, 0x05, 1, 0, 0, 0],
  [0x66, 0x90], [0x87, 0xfe], [0xfd], [0xfc],
] // prettier-ignore

const instruction = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...KNOWN) },
  { weight: 1, arbitrary: fc.array(fc.nat(255), { minLength: 1, maxLength: 4 }) },
)
const program = fc.array(instruction, { minLength: 1, maxLength: 60 }).map((list) => list.flat())

/** Into ring 3, where RDTSC is forbidden; a page fault skips three bytes, any other fault ends the program. */
const begin = (lab: Lab, code: ReadonlyArray<number>, secret: bigint): void => {
  lab.enter("long", 3)
  const { cpu, ram } = lab
  cpu.setLong(S.CR4, CR4_PAE_TSD)
  ram.fill(SECRET, 0x1000, 0)
  for (let at = 0; at < 0x1000; at += 8) ram.writeBig(SECRET + at, BigInt.asUintN(64, secret + BigInt(at * 0x101)))
  setEntry(lab, 64, SECRET, BigInt(SECRET) | 3n)
  lab.code(CODE, [...code, 0x0f, 0x0b])
  // add qword [rsp+8], 3; add rsp, 8; iretq
  lab.code(handler(14), [0x48, 0x83, 0x44, 0x24, 0x08, 0x03, 0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf])
  for (let register = 0; register < 16; register++) if (register !== 4) cpu.setGpr(register, BigInt(register * 0x123))
  cpu.setGpr(1, 5n)
  cpu.setGpr(5, BigInt(DATA))
  cpu.setGpr(6, BigInt(PROBE))
  cpu.setGpr(7, BigInt(SECRET))
}

/** Runs so many instructions, whatever time they take, or to a HLT. */
const run = ({ cpu }: Lab): number => {
  for (;;) {
    const reason = cpu.run(INSTRUCTIONS - cpu.instructions)
    if (reason !== S.EXIT_BUDGET || cpu.instructions >= INSTRUCTIONS) return reason
  }
}

const stateOf = ({ cpu }: Lab) => {
  const { transient: _, cacheMisses: __, ...counters } = cpu.counters()
  return {
    registers: Array.from({ length: 16 }, (_, register) => cpu.gpr(register)),
    rip: cpu.rip,
    flags: cpu.flags,
    cpl: cpu.cpl,
    cr2: cpu.long(S.CR2),
    repeating: cpu.word(S.REPEATING),
    attention: cpu.word(S.ATTENTION),
    instructions: cpu.instructions,
    counters,
  }
}

it("registers, memory, faults and counts are those of a processor that checks in time", () => {
  let windows = 0
  const memories = LABS.map(({ machine }) =>
    Buffer.from(machine.memory.buffer, machine.ram.wasmAddress(0), RAM_BYTES),
  ) as [Buffer, Buffer]
  fc.assert(
    fc.property(program, fc.bigInt(0n, (1n << 64n) - 1n), (code, secret) => {
      const [reason, expected] = LABS.map((lab) => {
        begin(lab, code, secret)
        return run(lab)
      })
      expect(reason).toBe(expected)
      expect(stateOf(late)).toEqual(stateOf(plain))
      expect(memories[0].equals(memories[1])).toBe(true)
      expect(plain.cpu.counters().transient).toBe(0)
      windows += late.cpu.counters().transient
    }),
    { numRuns: 800 },
  )
  // Most programs load from the secret's page.
  expect(windows).toBeGreaterThan(400)
})
