import { readFileSync } from "node:fs"
import { coreFile } from "../../scripts/build-core.ts"
import { type Bus, openBus } from "../../src/machine/bus.ts"
import * as S from "../../src/machine/core/state.ts"
import { Machine, type Traits } from "../../src/machine/machine.ts"
import type { Processor } from "../../src/machine/processor.ts"
import type { Ram } from "../../src/machine/ram.ts"

/*
 * A processor on the bench: tables, stacks and handlers at fixed places, brought into any mode at any privilege, fed with
 * a few bytes of machine code and looked at afterwards. Every handler is a HLT of its own, so where RIP has stopped tells
 * which event was delivered.
 */

/** Physical (and, without paging or with the lab's own tables, linear) addresses. */
export const GDT = 0x1000
export const IDT = 0x2000
export const TSS = 0x3000
export const TSS2 = 0x6000
export const LDT = 0x7000
export const HANDLERS = 0x8000
export const TABLES = 0x10000
export const CODE = 0x20000
export const STACK0 = 0x30000
export const STACK1 = 0x31000
export const STACK3 = 0x32000
/** IST1; the following ones are 0x1000 higher each. */
export const IST1 = 0x34000
export const DATA = 0x40000
export const RAM_BYTES = 0x100000

/** Selectors of the lab's GDT. */
export const SEL = {
  code0: 0x08,
  data0: 0x10,
  code64: 0x18,
  code3: 0x23,
  data3: 0x2b,
  code64User: 0x33,
  tss: 0x38,
  code16: 0x48,
  data16: 0x50,
  conforming: 0x58,
  /** A call gate to CODE + 0x800 in code0 (32-bit: 2 parameters), for everybody. */
  callGate: 0x60,
  /** The same in 64-bit form, to code64. */
  callGate64: 0x68,
  ldt: 0x78,
  tss2: 0x88,
  taskGate: 0x90,
  code1: 0x98,
  data1: 0xa0,
  absent: 0xa8,
  expandDown: 0xb0,
  executeOnly: 0xb8,
  readOnly: 0xc0,
  /** Limit 0xfff, byte granular. */
  small: 0xc8,
  absentCode: 0xd0,
  data3Small: 0xd8,
  /** Just outside of the table. */
  outside: 0xe0,
} as const

const GDT_LIMIT = 0xdf

/** Descriptor: base, limit in bytes or pages, access byte (P DPL S type), flags nibble (G D L AVL). */
export const descriptor = (base: number, limit: number, access: number, flags: number): bigint => {
  const b = BigInt(base)
  const l = BigInt(limit)
  return (
    (l & 0xffffn) |
    ((b & 0xffffffn) << 16n) |
    (BigInt(access) << 40n) |
    (((l >> 16n) & 0xfn) << 48n) |
    (BigInt(flags) << 52n) |
    ((b >> 24n) << 56n)
  )
}

/** Gate: selector:offset, type 4..15, DPL; `count`: parameters of a call gate, IST of a 64-bit interrupt gate. */
export const gate = (selector: number, offset: number, type: number, dpl: number, count = 0, present = true): bigint =>
  (BigInt(offset) & 0xffffn) |
  (BigInt(selector) << 16n) |
  (BigInt(count) << 32n) |
  (BigInt(type | (dpl << 5) | (present ? 0x80 : 0)) << 40n) |
  ((BigInt(offset) >> 16n) << 48n)

/** SEG_ATTR of a descriptor. */
export const attributes = (value: bigint): number => Number((value >> 32n) & 0xf0ff00n)

export const handler = (vector: number): number => HANDLERS + vector * 16

export type Mode = "real" | "v86" | "prot16" | "prot32" | "compat" | "long"

const CODE_FLAT = 0xfffff
export const FL_IF = 0x200
export const FL_TF = 0x100
export const FL_NT = 0x4000
export const FL_RF = 0x10000
export const FL_VM = 0x20000
export const FL_AC = 0x40000
export const FL_VIF = 0x80000
export const FL_VIP = 0x100000

let core: WebAssembly.Module | undefined

export class Lab {
  readonly machine: Machine
  readonly cpu: Processor
  readonly ram: Ram
  mode: Mode = "real"
  long = false

  constructor(bus: Bus = openBus, processors = 1, traits?: Traits) {
    core ??= new WebAssembly.Module(readFileSync(coreFile))
    this.machine = Machine.create({ core, ramBytes: RAM_BYTES, processors, bus, traits })
    this.cpu = this.machine.processors[0]!
    this.ram = this.machine.ram
  }

  /** Fresh tables and registers, in `mode` at privilege `cpl` (real: 0, v86: 3), about to execute `code` at CODE. */
  enter(mode: Mode, cpl: 0 | 1 | 3 = mode === "v86" ? 3 : 0, code: ReadonlyArray<number> = []): this {
    this.cpu.exports.reset()
    this.mode = mode
    this.long = mode === "long" || mode === "compat"
    this.ram.fill(0, 0x50000, 0)
    this.tables()
    const { cpu } = this
    cpu.setLong(S.GDTR_BASE, BigInt(GDT))
    cpu.setWord(S.GDTR_LIMIT, GDT_LIMIT)
    cpu.setLong(S.IDTR_BASE, BigInt(mode === "real" ? 0 : IDT))
    cpu.setWord(S.IDTR_LIMIT, mode === "real" ? 0x3ff : this.long ? 0xfff : 0x7ff)
    cpu.setLong(S.CR0, 0x11n)
    if (mode === "real") cpu.setLong(S.CR0, 0x10n)
    if (this.long) {
      this.identityLong()
      cpu.setLong(S.CR4, 0x20n)
      cpu.setLong(S.CR3, BigInt(TABLES))
      cpu.setLong(S.MSR_EFER, 0x500n)
      cpu.setLong(S.CR0, 0x80010011n)
    }
    const real = mode === "real" || mode === "v86"
    cpu.setSegment(S.SEG_TR, SEL.tss, BigInt(TSS), 0x20ff, 0x8b00)
    if (real) {
      const attr = mode === "v86" ? 0xf300 : 0x9300
      for (let seg = 0; seg < 6; seg++) cpu.setSegment(seg, 0, 0n, 0xffff, attr)
      cpu.setSegment(S.SEG_CS, CODE >> 4, BigInt(CODE), 0xffff, attr)
      cpu.setSegment(S.SEG_SS, (STACK3 - 0x1000) >> 4, BigInt(STACK3 - 0x1000), 0xffff, attr)
      cpu.setGpr(4, 0x1000n)
    } else {
      const data = cpl === 3 ? SEL.data3 : cpl === 1 ? SEL.data1 | 1 : mode === "prot16" ? SEL.data16 : SEL.data0
      for (let seg = 0; seg < 6; seg++) this.load(seg, data)
      this.load(
        S.SEG_CS,
        cpl === 3
          ? mode === "long"
            ? SEL.code64User
            : SEL.code3
          : cpl === 1
            ? SEL.code1 | 1
            : mode === "prot16"
              ? SEL.code16
              : mode === "long"
                ? SEL.code64
                : SEL.code0,
      )
      cpu.setGpr(4, BigInt(cpl === 3 ? STACK3 : cpl === 1 ? STACK1 - 0x800 : STACK0 - 0x800))
    }
    cpu.setWord(S.CPL, cpl)
    cpu.setWord(S.EFLAGS, mode === "v86" ? FL_VM | 2 : 2)
    cpu.rip = real ? 0n : BigInt(CODE)
    if (mode === "prot16") {
      // 16-bit code and stack segments with bases of their own.
      cpu.rip = 0n
      cpu.setGpr(4, 0x800n)
    }
    this.code(CODE, code)
    cpu.flushTlb(true)
    cpu.refresh()
    return this
  }

  /** A segment register from the lab's GDT, without the processor's checks. */
  load(seg: number, selector: number): void {
    const value = this.ram.readBig(GDT + (selector & 0xfff8))
    const raw = Number((value & 0xffffn) | ((value >> 32n) & 0xf0000n))
    const limit = (value >> 55n) & 1n ? raw * 4096 + 0xfff : raw
    const base = ((value >> 16n) & 0xffffffn) | ((value >> 56n) << 24n)
    this.cpu.setSegment(seg, selector, base, limit >>> 0, attributes(value))
  }

  code(at: number, bytes: ReadonlyArray<number>): void {
    this.ram.copyIn(at, Uint8Array.from(bytes))
  }

  setFlags(bits: number): this {
    this.cpu.flags = this.cpu.flags | BigInt(bits)
    return this
  }

  setIopl(iopl: number): this {
    return this.setFlags(iopl << 12)
  }

  /** Runs `n` instructions; returns EXIT_*. */
  run(n = 100): number {
    return this.cpu.run(n)
  }

  /** The vector whose handler RIP is in, after its HLT or before; undefined when it is in none. */
  get vector(): number | undefined {
    const rip = Number(this.cpu.rip)
    const at = this.cpu.word(S.SEG + S.SEG_CS * S.SEG_STRIDE + S.SEG_BASE) + rip - HANDLERS
    return at >= 0 && at < 0x1000 ? at >> 4 : undefined
  }

  selector(seg: number): number {
    return this.cpu.word(S.SEG + seg * S.SEG_STRIDE + S.SEG_SELECTOR)
  }

  attr(seg: number): number {
    return this.cpu.word(S.SEG + seg * S.SEG_STRIDE + S.SEG_ATTR)
  }

  /** Linear address of the top of the stack. */
  get stackTop(): number {
    const base = this.mode === "long" ? 0 : this.cpu.word(S.SEG + S.SEG_SS * S.SEG_STRIDE + S.SEG_BASE)
    return base + Number(this.cpu.gpr(4) & (this.attr(S.SEG_SS) & 0x400000 || this.long ? 0xffffffffn : 0xffffn))
  }

  /** The `n` things of `size` bytes on top of the stack. */
  frame(n: number, size: 2 | 4 | 8): ReadonlyArray<number> {
    return Array.from({ length: n }, (_, i) => {
      const at = this.stackTop + i * size
      return size === 2 ? this.ram.read16(at) : size === 4 ? this.ram.read32(at) : Number(this.ram.readBig(at))
    })
  }

  /** Runs and expects an exception: its vector, and its error code if it has one. */
  fault(n = 100): { readonly vector: number | undefined; readonly error: number } {
    this.run(n)
    const size = this.long ? 8 : this.mode === "prot16" || this.mode === "real" ? 2 : 4
    return { vector: this.vector, error: this.frame(1, this.mode === "prot16" ? 4 : size)[0]! }
  }

  setIdt(vector: number, value: bigint, upper = 0n): void {
    const size = this.long ? 16 : 8
    this.ram.writeBig(IDT + vector * size, value)
    if (this.long) this.ram.writeBig(IDT + vector * size + 8, upper)
  }

  private tables(): void {
    const flat = (access: number, flags: number) => descriptor(0, CODE_FLAT, access, flags)
    const entries = new Map<number, bigint>([
      [SEL.code0, flat(0x9b, 0xc)],
      [SEL.data0, flat(0x93, 0xc)],
      [SEL.code64, flat(0x9b, 0xa)],
      [SEL.code3, flat(0xfb, 0xc)],
      [SEL.data3, flat(0xf3, 0xc)],
      [SEL.code64User, flat(0xfb, 0xa)],
      [SEL.tss, descriptor(TSS, 0x20ff, 0x8b, 0)],
      [SEL.code16, descriptor(CODE, 0xffff, 0x9b, 0)],
      [SEL.data16, descriptor(STACK0 - 0x1000, 0xffff, 0x93, 0)],
      [SEL.conforming, flat(0x9f, this.mode === "long" ? 0xa : 0xc)],
      [SEL.callGate, gate(SEL.code0, CODE + 0x800, 12, 3, 2)],
      [SEL.callGate64, gate(SEL.code64, CODE + 0x800, 12, 3)],
      [SEL.ldt, descriptor(LDT, 0x1f, 0x82, 0)],
      [SEL.tss2, descriptor(TSS2, 0x67, 0x89, 0)],
      [SEL.taskGate, gate(SEL.tss2, 0, 5, 3)],
      [SEL.code1, flat(0xbb, 0xc)],
      [SEL.data1, flat(0xb3, 0xc)],
      [SEL.absent, flat(0x13, 0xc)],
      [SEL.expandDown, descriptor(0, 0x3ffff, 0x97, 0x4)],
      [SEL.executeOnly, flat(0x99, 0xc)],
      [SEL.readOnly, flat(0x91, 0xc)],
      [SEL.small, descriptor(DATA, 0xfff, 0x93, 0x4)],
      [SEL.absentCode, flat(0x1b, 0xc)],
      [SEL.data3Small, descriptor(DATA, 0xfff, 0xf3, 0x4)],
    ])
    for (const [selector, value] of entries) this.ram.writeBig(GDT + (selector & 0xfff8), value)
    for (let vector = 0; vector < 256; vector++) {
      this.ram.write8(handler(vector), 0xf4)
      if (this.mode === "real") {
        this.ram.write16(vector * 4, handler(vector) & 15)
        this.ram.write16(vector * 4 + 2, handler(vector) >> 4)
      } else if (this.long) this.setIdt(vector, gate(SEL.code64, handler(vector), 14, 0))
      else this.setIdt(vector, gate(SEL.code0, handler(vector), 14, 0))
    }
    if (this.long) {
      this.ram.writeBig(TSS + 0x04, BigInt(STACK0))
      this.ram.writeBig(TSS + 0x0c, BigInt(STACK1))
      for (let i = 0; i < 7; i++) this.ram.writeBig(TSS + 0x24 + i * 8, BigInt(IST1 + i * 0x1000))
    } else {
      this.ram.write32(TSS + 0x04, STACK0)
      this.ram.write32(TSS + 0x08, SEL.data0)
      this.ram.write32(TSS + 0x0c, STACK1)
      this.ram.write32(TSS + 0x10, SEL.data1 | 1)
    }
    // I/O bitmap at 0x88, after the 32 bytes of interrupt redirection: everything forbidden, everything redirected not.
    this.ram.write16(TSS + 0x66, 0x88)
    this.ram.fill(TSS + 0x68, 0x20, 0xff)
    this.ram.fill(TSS + 0x88, 0x2001, 0xff)
  }

  /** Four-level tables that map the first 2 MiB to itself in 4 KiB pages, for everybody. */
  private identityLong(): void {
    this.ram.writeBig(TABLES, BigInt(TABLES + 0x1000) | 7n)
    this.ram.writeBig(TABLES + 0x1000, BigInt(TABLES + 0x2000) | 7n)
    this.ram.writeBig(TABLES + 0x2000, BigInt(TABLES + 0x3000) | 7n)
    for (let i = 0; i < 512; i++) this.ram.writeBig(TABLES + 0x3000 + i * 8, BigInt(i * 4096) | 7n)
  }
}
