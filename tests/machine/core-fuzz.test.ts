import { readFileSync } from "node:fs"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { coreFile } from "../../scripts/build-core.ts"
import { openBus } from "../../src/machine/bus.ts"
import * as S from "../../src/machine/core/state.ts"
import { Machine } from "../../src/machine/machine.ts"
import type { Processor } from "../../src/machine/processor.ts"
import { Random } from "../silicon/random.ts"

/*
 * Whatever a guest executes, the simulator survives: no exception in TypeScript, no WebAssembly trap, no run that goes past
 * its budget or does not end, and nothing written outside of simulated memory and the processor's own area.
 */

const RAM_BYTES = 0x100000
const BUDGET = 400
/** Faults that one run may take: a fault that faults while it is delivered counts against no instruction by itself. */
const MOST_UNWINDS = 50_000

const IDT = 0x5000
const GDT = 0x6000
const TSS = 0x7000
const CODE = 0x8000
const STACK = 0xc000
/** What a case may have changed and the next one needs fresh. */
const FRESH = 0x10000

// Selectors of the GDT below.
const KERNEL_32 = 0x08
const KERNEL_DATA = 0x10
const KERNEL_64 = 0x18
const USER_32 = 0x23
const USER_DATA = 0x2b
const USER_64 = 0x33
const TSS_SELECTOR = 0x38
const GDT_ENTRIES: ReadonlyArray<bigint> = [
  0n,
  0x00cf9b000000ffffn,
  0x00cf93000000ffffn,
  0x00af9b000000ffffn,
  0x00cffb000000ffffn,
  0x00cff3000000ffffn,
  0x00affb000000ffffn,
  // The TSS, two entries; then a 16-bit segment, an expand-down one, a call gate.
  0x00008b0070000067n,
  0n,
  0x00009b000000ffffn,
  0x004097000000000fn,
  0x0000ec0000088000n,
]

interface World {
  readonly name: string
  readonly long: boolean
  readonly cr0: bigint
  readonly cr4: bigint
  readonly efer: bigint
  readonly cpl: number
  readonly cs: number
  readonly ss: number
  readonly flags: bigint
}

const PE = 1n
const PAGING = 0x80010000n
const PAE = 0x20n
const PSE_PGE = 0x90n
const LONG = 0xd01n

const WORLDS: ReadonlyArray<World> = [
  { name: "real mode", long: false, cr0: 0x10n, cr4: 0n, efer: 0n, cpl: 0, cs: 0, ss: 0, flags: 0x2n },
  {
    name: "flat protected mode, ring 0",
    long: false,
    cr0: 0x11n,
    cr4: 0n,
    efer: 0n,
    cpl: 0,
    cs: KERNEL_32,
    ss: KERNEL_DATA,
    flags: 0x2n,
  },
  {
    name: "32-bit paging, ring 0",
    long: false,
    cr0: 0x11n | PAGING,
    cr4: PSE_PGE,
    efer: 0n,
    cpl: 0,
    cs: KERNEL_32,
    ss: KERNEL_DATA,
    flags: 0x202n,
  },
  {
    name: "32-bit paging, ring 3",
    long: false,
    cr0: 0x11n | PAGING,
    cr4: PSE_PGE | 3n,
    efer: 0n,
    cpl: 3,
    cs: USER_32,
    ss: USER_DATA,
    flags: 0x202n,
  },
  {
    name: "virtual-8086 mode",
    long: false,
    cr0: 0x11n | PAGING,
    cr4: 1n,
    efer: 0n,
    cpl: 3,
    cs: CODE >>> 4,
    ss: 0,
    flags: 0x20202n,
  },
  {
    name: "long mode, ring 0",
    long: true,
    cr0: 0x11n | PAGING,
    cr4: PAE | PSE_PGE,
    efer: LONG,
    cpl: 0,
    cs: KERNEL_64,
    ss: KERNEL_DATA,
    flags: 0x2n,
  },
  {
    name: "long mode, ring 3",
    long: true,
    cr0: 0x11n | PAGING,
    cr4: PAE | PSE_PGE,
    efer: LONG,
    cpl: 3,
    cs: USER_64,
    ss: USER_DATA,
    flags: 0x202n,
  },
  {
    name: "compatibility mode, ring 3",
    long: true,
    cr0: 0x11n | PAGING,
    cr4: PAE,
    efer: LONG,
    cpl: 3,
    cs: USER_32,
    ss: USER_DATA,
    flags: 0x3202n,
  },
]

class Fuzzer {
  readonly machine: Machine
  readonly processor: Processor
  private unwinds = 0
  private readonly outside: ReadonlyArray<{ readonly name: string; readonly now: Buffer; readonly before: Buffer }>

  constructor() {
    const core = new WebAssembly.Module(readFileSync(coreFile))
    // The second processor never runs: its area must not change.
    this.machine = Machine.create({ core, ramBytes: RAM_BYTES, processors: 2, bus: openBus })
    this.processor = this.machine.processors[0]!
    // Each fault re-enters `run` once: a machine that does nothing but fault would spin there for ever.
    const { exports } = this.processor
    const counted = { ...exports, run: (budget: number) => this.enter(() => exports.run(budget)) }
    Object.defineProperty(this.processor, "exports", { value: counted })

    const { buffer } = this.machine.memory
    const ram = this.machine.ram.wasmAddress(0)
    const other = S.CPU_AREA + S.CPU_STRIDE
    const range = (name: string, from: number, to: number) => {
      const now = Buffer.from(buffer, from, to - from)
      return { name, now, before: Buffer.from(now) }
    }
    this.outside = [
      range("below the header", 0, S.HEADER),
      // The code epoch, last of the fields, is the only word there that a processor writes.
      range("the header", S.HEADER, S.HEADER + S.HEADER_CODE_EPOCH),
      range("behind the header", S.HEADER + S.HEADER_CODE_EPOCH + 4, S.CPU_AREA),
      // Its attention word is how it is told of new code; the rest is its own.
      range("the other processor's state", other, other + S.ATTENTION),
      range("the other processor", other + S.ATTENTION + 4, other + S.CPU_STRIDE),
      range("behind memory", ram + RAM_BYTES, buffer.byteLength),
    ]
  }

  private enter(run: () => number): number {
    if (++this.unwinds > MOST_UNWINDS) throw new Error("the run does not end: it only faults")
    return run()
  }

  /** Everything outside of memory and the processor's own area is as it was at the beginning. */
  checkOutside(): void {
    for (const { name, now, before } of this.outside) expect(now.equals(before), `${name} was written`).toBe(true)
  }

  private tables(world: World, random: Random): void {
    const { ram } = this.machine
    ram.fill(0, FRESH, 0)
    if (world.long) {
      ram.writeBig(0x1000, 0x2007n)
      ram.writeBig(0x2000, 0x3007n)
      ram.writeBig(0x3000, 0x4007n)
      // A large page, one above memory, one with reserved bits.
      ram.writeBig(0x3008, 0x0e7n)
      ram.writeBig(0x3010, 0x40000087n)
      ram.writeBig(0x3018, 0x2087n)
      // The lower half of memory belongs to the user too; NX here and there.
      for (let i = 0; i < 256; i++)
        ram.writeBig(0x4000 + 8 * i, BigInt(i * 0x1000) | (i < 128 ? 7n : 3n) | (i % 16 === 15 ? 1n << 63n : 0n))
    } else {
      ram.write32(0x1000, 0x2007)
      ram.write32(0x1004, 0x00e7)
      ram.write32(0x1008, 0x40000087)
      for (let i = 0; i < 256; i++) ram.write32(0x2000 + 4 * i, (i * 0x1000) | (i < 128 ? 7 : 3))
    }
    GDT_ENTRIES.forEach((d, i) => ram.writeBig(GDT + 8 * i, d))
    for (let vector = 0; vector < 256; vector++) {
      const handler = BigInt(random.chance(80) ? CODE + random.below(0x800) : random.u32())
      const selector = BigInt(world.long ? KERNEL_64 : KERNEL_32) << 16n
      const type =
        BigInt(random.chance(95) ? 0x8e | (random.below(2) << 6) | random.below(2) : random.below(256)) << 40n
      const gate = (handler & 0xffffn) | selector | type | ((handler >> 16n) << 48n)
      if (world.long) {
        ram.writeBig(IDT + 16 * vector, BigInt.asUintN(64, gate))
      } else if (world.cr0 & PE) ram.writeBig(IDT + 8 * vector, BigInt.asUintN(64, gate))
      else ram.write32(IDT + 4 * vector, CODE + random.below(0x800))
    }
    // Stacks for the rings, at the places of both formats.
    for (let at = 4; at < 0x60; at += 8)
      ram.writeBig(TSS + at, world.long ? BigInt(STACK) : BigInt(STACK) | (BigInt(KERNEL_DATA) << 32n))
    // Now and then something in the tables is rubbish.
    if (random.chance(20)) for (let i = 0; i < 8; i++) ram.write32(0x1000 + (random.below(0x6ffc) & ~3), random.u32())
  }

  private segments(world: World): void {
    const p = this.processor
    const real = (world.cr0 & PE) === 0n || (world.flags & 0x20000n) !== 0n
    const attributes = (selector: number) =>
      real ? (0x93 | (world.cpl << 5)) << 8 : Number((GDT_ENTRIES[selector >>> 3]! >> 32n) & 0xf0ff00n)
    const put = (segment: number, selector: number) =>
      p.setSegment(
        segment,
        selector,
        real ? BigInt(selector << 4) : 0n,
        real ? 0xffff : 0xffffffff,
        attributes(selector),
      )
    put(S.SEG_CS, world.cs)
    for (const segment of [S.SEG_SS, S.SEG_DS, S.SEG_ES, S.SEG_FS, S.SEG_GS]) put(segment, world.ss)
    p.setSegment(S.SEG_TR, TSS_SELECTOR, BigInt(TSS), 0x67, 0x8b00)
    p.setSegment(S.SEG_LDTR, 0, 0n, 0, 0)
    p.setLong(S.GDTR_BASE, BigInt(GDT))
    p.setWord(S.GDTR_LIMIT, GDT_ENTRIES.length * 8 - 1)
    p.setLong(S.IDTR_BASE, BigInt(IDT))
    p.setWord(S.IDTR_LIMIT, world.cr0 & PE ? 0xfff : 0x3ff)
  }

  /** One run of `code` in `world`, with registers drawn from `seed`. */
  run(world: World, code: Uint8Array, seed: number): void {
    const p = this.processor
    const random = new Random(seed)
    p.exports.reset()
    this.tables(world, random)
    this.machine.ram.copyIn(CODE, code)
    p.setLong(S.CR0, world.cr0)
    p.setLong(S.CR4, world.cr4)
    p.setLong(S.CR3, 0x1000n)
    p.setLong(S.MSR_EFER, world.efer)
    p.setLong(S.MSR_LSTAR, BigInt(CODE + random.below(0x800)))
    p.setLong(S.MSR_STAR, 0x0023000800000000n)
    p.setLong(S.MSR_SYSENTER_CS, random.chance(70) ? BigInt(KERNEL_32) : 0n)
    p.setLong(S.MSR_SYSENTER_EIP, BigInt(CODE + random.below(0x800)))
    p.setLong(S.MSR_SYSENTER_ESP, BigInt(STACK))
    for (let r = 0; r < 16; r++) {
      const value = random.chance(50) ? BigInt(random.below(RAM_BYTES)) : random.interesting()
      p.setGpr(r, world.long ? value : value & 0xffffffffn)
    }
    if (random.chance(80)) p.setGpr(4, BigInt(STACK))
    this.segments(world)
    p.setWord(S.CPL, world.cpl)
    p.rip = BigInt(world.cpl === 3 && (world.flags & 0x20000n) !== 0n ? 0 : CODE)
    p.flags = world.flags | (random.chance(5) ? 0x100n : 0n)
    p.refresh()
    p.flushTlb(true)

    this.unwinds = 0
    const before = p.instructions
    const reason = p.run(BUDGET)
    expect([S.EXIT_BUDGET, S.EXIT_HALT, S.EXIT_SHUTDOWN]).toContain(reason)
    expect(p.instructions - before).toBeLessThanOrEqual(BUDGET)
    expect(p.cpl).toBeLessThanOrEqual(3)
  }
}

const PREFIXES = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x48, 0x2e, 0x36, 0x64, 0x65]
/** Opcodes that change modes, segments, tables and privilege: what a kernel does and a fuzzer seldom hits. */
const SYSTEM: ReadonlyArray<ReadonlyArray<number>> = [
  [0x0f, 0x22, 0xc0], [0x0f, 0x22, 0xd8], [0x0f, 0x22, 0xe0], [0x0f, 0x20, 0xc0], [0x0f, 0x23, 0xf8], [0x0f, 0x01, 0x10],
  [0x0f, 0x01, 0x18], [0x0f, 0x01, 0x38], [0x0f, 0x01, 0xf8], [0x0f, 0x00, 0xd8], [0x0f, 0x00, 0xd0], [0x0f, 0x30],
  [0x0f, 0x32], [0x0f, 0x05], [0x0f, 0x07], [0x0f, 0x34], [0x0f, 0x35], [0x0f, 0xa2], [0x0f, 0x09], [0x8e, 0xd8],
  [0x8e, 0xd0], [0x8e, 0xe0], [0x9d], [0x9c], [0xcf], [0xcb], [0xca, 8, 0], [0xcd, 0x80], [0xcd, 3], [0xcc], [0xf1],
  [0xfa], [0xfb], [0xf4], [0xea, 0, 0x80, 0, 0, 8, 0], [0x9a, 0, 0x80, 0, 0, 0x58, 0], [0xff, 0x28], [0xff, 0x18],
  [0x0f, 0xb2, 0x20], [0x0f, 0xc7, 0x08], [0xf3, 0xa4], [0xf3, 0xab], [0xf3, 0xa6], [0xc8, 8, 0, 3], [0x0f, 0x06],
  [0xe4, 0x20], [0xe6, 0x20], [0x6c], [0x6e], [0x62, 0x00], [0x0f, 0xae, 0x38],
] // prettier-ignore

const fragment = fc.oneof(
  { weight: 3, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 8 }).map((b) => [...b]) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.subarray(PREFIXES, { maxLength: 2 }), fc.nat(255), fc.nat(255), fc.nat(255))
      .map(([p, a, b, c]) => [...p, a, b, c]),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.subarray(PREFIXES, { maxLength: 1 }), fc.constantFrom(...SYSTEM))
      .map(([p, s]) => [...p, ...s]),
  },
)
const program = fc
  .array(fragment, { minLength: 1, maxLength: 60 })
  .map((f) => Uint8Array.from(f.flat()).subarray(0, 0x800))

describe("random code", () => {
  it.each(WORLDS)("in $name", (world) => {
    const fuzzer = new Fuzzer()
    fc.assert(
      fc.property(program, fc.nat(), (code, seed) => fuzzer.run(world, code, seed)),
      { numRuns: 1500 },
    )
    fuzzer.checkOutside()
  })
})
