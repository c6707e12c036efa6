import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { openBus } from "../../src/machine/bus.ts"
import { EventLog } from "../../src/host/eventLog.ts"
import * as S from "../../src/machine/core/state.ts"
import { Machine } from "../../src/machine/machine.ts"
import { NativePc } from "../../src/machine/pc.ts"
import { hostBoard } from "../../src/modules/hosted.ts"
import { DATA, Lab } from "./lab.ts"
import {
  attack,
  entryAt,
  LFENCE,
  LINE,
  LOAD_SECRET,
  NOP,
  prepare,
  PROBE,
  SECRET,
  SECRET_BYTE,
  setEntry,
  TOUCH,
  type Width,
} from "./late-gadget.ts"

/*
 * A processor that checks late (src/machine/core/late.ts): what it gives away, to whom, and what it does not.
 */

const late = new Lab(openBus, 1, { lateChecks: true })
const plain = new Lab()
const WIDTHS: ReadonlyArray<Width> = [64, 32]
const GADGET = [...LOAD_SECRET, ...TOUCH]

describe("the trait", () => {
  it("is off unless it is asked for, and lies in the shared memory", () => {
    expect(plain.machine.traits.lateChecks).toBe(false)
    expect(late.machine.traits.lateChecks).toBe(true)
    expect(Machine.attach(late.machine.share(), openBus).traits.lateChecks).toBe(true)
  })

  it("is passed on by a native PC and by a host's board", () => {
    const core = late.machine.share().core
    const config = { core, consoleOut: () => undefined, clock: () => 0, cmdline: "", memoryBytes: 2 << 20 }
    const kernel = { arch: "x86_64", entry: 0x10_0000, segments: [] } as const
    const board = { core, guestBytes: 1 << 20, startMs: 0, log: EventLog.off }
    for (const lateChecks of [true, false]) {
      expect(NativePc.create({ ...config, kernel, traits: { lateChecks } }).machine.traits).toEqual({ lateChecks })
      expect(hostBoard({ ...board, lateChecks }, 1 << 20).machine.traits).toEqual({ lateChecks })
    }
    expect(NativePc.create({ ...config, kernel }).machine.traits.lateChecks).toBe(false)
    expect(hostBoard(board, 1 << 20).machine.traits.lateChecks).toBe(false)
  })

  it("survives reset and INIT, on every processor", () => {
    const lab = new Lab(openBus, 2, { lateChecks: true })
    for (const cpu of lab.machine.processors) {
      expect(cpu.word(S.WATCH) & S.WATCH_LATE).toBe(S.WATCH_LATE)
      cpu.exports.reset()
      expect(cpu.word(S.WATCH) & S.WATCH_LATE).toBe(S.WATCH_LATE)
      cpu.attend(S.ATT_INIT)
      cpu.run(1)
      expect(cpu.word(S.WATCH) & S.WATCH_LATE).toBe(S.WATCH_LATE)
    }
  })
})

describe.each(WIDTHS)("a user's load of a supervisor's byte, %i bit", (width) => {
  it("gives it away by the cache", () => {
    prepare(late, width, GADGET)
    expect(attack(late)).toBe(SECRET_BYTE)
    const counters = late.cpu.counters()
    expect(counters.transient).toBe(1)
    expect(counters.vectors[14]).toBe(1)
    expect(late.cpu.long(S.CR2)).toBe(BigInt(SECRET))
  })

  it("does so for every byte", () => {
    fc.assert(
      fc.property(fc.nat(255), (byte) => {
        prepare(late, width, GADGET)
        late.ram.write8(SECRET, byte)
        expect(attack(late)).toBe(byte)
      }),
      { numRuns: 20 },
    )
  })

  it("does so however its run is cut into slices, and under a debugger's eyes", () => {
    prepare(late, width, GADGET)
    expect(attack(late, 1)).toBe(SECRET_BYTE)
    const counters = late.cpu.counters()
    prepare(late, width, GADGET)
    late.cpu.setLong(S.DEBUG_LEFT, 0n)
    late.cpu.attend(S.ATT_STEP)
    expect(attack(late)).toBe(SECRET_BYTE)
    expect(late.cpu.counters()).toEqual(counters)
  })

  it("gives nothing away on a processor that checks in time", () => {
    prepare(plain, width, GADGET)
    attack(plain)
    // Without a cache all lines are as near as another: the last one wins, whatever the byte is.
    expect(plain.cpu.gprLo(3)).toBe(255)
    expect(plain.cpu.counters()).toMatchObject({ transient: 0, cacheMisses: 0 })
  })

  it.each([
    ["a page that is not present", BigInt(SECRET) | 2n],
    ["a device", 0xfee00003n],
    ["an address without memory", 0x80000003n],
  ])("gives nothing away of %s", (_, entry) => {
    prepare(late, width, GADGET)
    setEntry(late, width, SECRET, entry)
    expect(attack(late)).toBe(undefined)
    expect(late.cpu.counters().transient).toBe(0)
    expect(late.cpu.counters().vectors[14]).toBe(1)
  })

  it("may go through other pages that it may not read", () => {
    prepare(late, width, [0x8b, 0x3f, ...LOAD_SECRET, ...TOUCH]) // mov edi, [rdi]
    late.ram.write32(SECRET, SECRET + 0x800)
    late.ram.write8(SECRET + 0x800, 0x3c)
    expect(attack(late)).toBe(0x3c)
    expect(late.cpu.counters().transient).toBe(1)
    expect(late.cpu.long(S.CR2)).toBe(BigInt(SECRET))
  })

  it("may cross into the page", () => {
    // mov eax, [rdi]; shr eax, 16: the upper half is in the supervisor's page.
    prepare(late, width, [0x8b, 0x07, 0xc1, 0xe8, 0x10, 0x0f, 0xb6, 0xc0, ...TOUCH])
    late.cpu.setGpr(7, BigInt(SECRET - 2))
    expect(attack(late)).toBe(SECRET_BYTE)
    expect(late.cpu.long(S.CR2)).toBe(BigInt(SECRET))
  })
})

it("gives nothing away of an entry with reserved bits", () => {
  prepare(late, 64, GADGET)
  setEntry(late, 64, SECRET, BigInt(SECRET) | 3n | (1n << 50n))
  expect(attack(late)).toBe(undefined)
  expect(late.cpu.counters().transient).toBe(0)
})

describe("the window", () => {
  it("is 64 instructions long", () => {
    const nops = (n: number) => [...LOAD_SECRET, ...Array.from({ length: n }, () => NOP), ...TOUCH]
    prepare(late, 64, nops(S.TRANSIENT_MOST - 2))
    expect(attack(late)).toBe(SECRET_BYTE)
    prepare(late, 64, nops(S.TRANSIENT_MOST - 1))
    expect(attack(late)).toBe(undefined)
    expect(late.cpu.counters().transient).toBe(1)
  })

  it("goes on through branches and calls", () => {
    // test al, al; jns +2; jmp +1; ud2…: the byte is negative.
    prepare(late, 64, [...LOAD_SECRET, 0x84, 0xc0, 0x79, 0x02, 0xeb, 0x02, 0x0f, 0x0b, ...TOUCH])
    expect(attack(late)).toBe(SECRET_BYTE)
    prepare(late, 64, [...LOAD_SECRET, 0xe8, 0, 0, 0, 0, ...TOUCH])
    expect(attack(late)).toBe(SECRET_BYTE)
  })

  it.each([
    ["LFENCE", LFENCE],
    ["MFENCE", [0x0f, 0xae, 0xf0]],
    ["CPUID", [0x49, 0x89, 0xc0, 0x0f, 0xa2, 0x4c, 0x89, 0xc0]],
    ["RDTSC", [0x49, 0x89, 0xc0, 0x0f, 0x31, 0x4c, 0x89, 0xc0]],
    ["a LOCKed instruction", [0xf0, 0xff, 0x06]],
    ["XCHG with memory", [0x87, 0x16]],
    ["HLT, which ring 3 may not", [0xf4]],
    ["a port", [0xe6, 0x80]],
    ["a division by zero", [0x31, 0xd2, 0xf7, 0xf2]],
    ["an undefined instruction", [0x0f, 0x0b]],
    ["a load from nowhere", [0x8b, 0x14, 0x25, 0x00, 0x00, 0x00, 0x7f]],
  ])("ends with %s", (_, bytes) => {
    prepare(late, 64, [...LOAD_SECRET, ...bytes, ...TOUCH])
    expect(attack(late)).toBe(undefined)
    const counters = late.cpu.counters()
    expect(counters.transient).toBe(1)
    expect(counters.vectors[14]).toBe(1)
    expect(late.cpu.long(S.CR2)).toBe(BigInt(SECRET))
  })

  it("is not opened by a store, an instruction fetch or the system's instructions", () => {
    prepare(late, 64, [0x88, 0x07]) // mov [rdi], al
    attack(late)
    prepare(late, 64, [0xff, 0xe7]) // jmp rdi
    attack(late)
    prepare(late, 64, [0x8e, 0x07, ...TOUCH]) // mov es, [rdi]
    attack(late)
    expect(late.cpu.counters().transient).toBe(0)
    expect(late.cpu.counters().vectors[14]).toBe(1)
  })

  it("is over with the fault: nothing that was loaded is left", () => {
    prepare(late, 64, [...LOAD_SECRET, 0x0f, 0x0b])
    late.cpu.setGpr(0, 0x1234n)
    late.ram.write8(0x8000 + 14 * 16, 0xf4)
    late.run()
    while (late.vector === undefined) late.run()
    // EAX is what the flushing loop left in it.
    expect(late.cpu.gpr(0)).toBe(255n * BigInt(LINE))
    expect(late.cpu.word(S.TRANSIENT)).toBe(0)
  })

  it.each([
    ["MOV", [0x89, 0x06]],
    ["PUSH", [0x50, 0x50]],
    ["CALL", [0xe8, 0, 0, 0, 0]],
    ["ADD to memory", [0x01, 0x06]],
    ["REP STOS", [0x89, 0xf7, 0xb9, 0x20, 0, 0, 0, 0xf3, 0xaa]],
    ["MOVS", [0x89, 0xf1, 0x87, 0xfe, 0x89, 0xcf, 0xa4]],
  ])("takes no store with it: %s", (_, bytes) => {
    prepare(late, 64, [...LOAD_SECRET, ...bytes, ...TOUCH])
    late.ram.fill(PROBE, 0x4000, 0x11)
    late.ram.fill(0x32000 - 0x100, 0x100, 0x22)
    attack(late)
    expect(late.cpu.counters().transient).toBe(1)
    const bytesAt = (at: number, count: number) => Array.from({ length: count }, (_, i) => late.ram.read8(at + i))
    expect(new Set(bytesAt(PROBE, 0x4000))).toEqual(new Set([0x11]))
    expect(new Set(bytesAt(0x32000 - 0x100, 0x100))).toEqual(new Set([0x22]))
  })

  it("leaves no accessed flag behind, and no translation", () => {
    const other = DATA + 0x5000
    // mov edx, [other]
    prepare(late, 64, [...LOAD_SECRET, 0x8b, 0x14, 0x25, other & 0xff, (other >> 8) & 0xff, other >> 16, 0])
    attack(late)
    expect(late.cpu.counters().transient).toBe(1)
    expect(late.ram.readBig(entryAt(64, other)) & 0x20n).toBe(0n)
    expect(late.ram.readBig(entryAt(64, SECRET)) & 0x20n).toBe(0n)
  })
})
