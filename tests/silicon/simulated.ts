import { readFileSync } from "node:fs"
import { coreFile } from "../../scripts/build-core.ts"
import { openBus } from "../../src/machine/bus.ts"
import * as S from "../../src/machine/core/state.ts"
import { Machine } from "../../src/machine/machine.ts"
import type { Processor } from "../../src/machine/processor.ts"
import {
  GDT,
  GDT_ENTRIES,
  GDT_LDT,
  GDT_TSS,
  LDT,
  MAX_DIFFS,
  REGIONS,
  RESULT,
  TEST,
  attributesOf,
  baseOf,
  initialBytes,
  limitOf,
} from "./layout.ts"

/*
 * The simulated processor under the same cases: the same pages at the same addresses, Linux's selectors, and a kernel of
 * 256 interrupt handlers that are one HLT each. What a case did is read from the frame that the exception pushed.
 */

const PAGE = 0x1000
/** Kernel half: where the tables, the handlers and the stack are. */
const KERNEL = 0xffff800000000000n
const PTE_PRESENT = 1n
const PTE_WRITE = 2n
const PTE_USER = 4n
const PTE_NX = 1n << 63n

/** Enough for the longest REP that can stay within mapped memory. */
const BUDGET = 100_000

/** In place of a vector, and never in a real processor's result: the case did not end in a handler; the core itself trapped. */
export const NOWHERE = 0xffff
export const TRAPPED = 0xfffe

export class Simulated {
  readonly machine: Machine
  readonly processor: Processor
  private readonly state: Uint32Array
  private free = PAGE
  private readonly root: number
  private readonly idt: number
  private readonly gdt: number
  private readonly tss: number
  private readonly ldt: number
  private readonly handlers: number
  private readonly stack: number
  private readonly regions: ReadonlyArray<{
    address: number
    pa: number
    bytes: number
    writable: boolean
    initial: Buffer
    now: Buffer
  }>
  private readonly segments = new Map<number, Uint32Array>()

  constructor(file = coreFile) {
    const core = new WebAssembly.Module(readFileSync(file))
    this.machine = Machine.create({ core, ramBytes: 256 * PAGE, processors: 1, bus: openBus })
    this.processor = this.machine.processors[0]!
    const { buffer } = this.machine.memory
    this.state = new Uint32Array(buffer, S.CPU_AREA, S.STATE_SIZE >>> 2)

    this.root = this.allocate()
    this.idt = this.allocate()
    this.gdt = this.allocate()
    this.tss = this.allocate()
    this.ldt = this.allocate()
    this.handlers = this.allocate()
    this.stack = this.allocate()
    for (const pa of [this.idt, this.gdt, this.tss, this.ldt, this.handlers, this.stack])
      this.map(KERNEL + BigInt(pa), pa, PTE_WRITE)
    this.regions = REGIONS.map((r) => {
      const pa = this.free
      this.free += r.bytes
      for (let at = 0; at < r.bytes; at += PAGE)
        this.map(
          BigInt(r.address + at),
          pa + at,
          PTE_USER | (r.writable ? PTE_WRITE : 0n) | (r.executable ? 0n : PTE_NX),
        )
      const initial = Buffer.from(initialBytes(r))
      this.machine.ram.copyIn(pa, initial)
      const now = Buffer.from(buffer, this.machine.ram.wasmAddress(pa), r.bytes)
      return { address: r.address, pa, bytes: r.bytes, writable: r.writable, initial, now }
    })
    this.buildTables()
    this.start()
  }

  private allocate(): number {
    const pa = this.free
    this.free += PAGE
    return pa
  }

  private map(va: bigint, pa: number, flags: bigint): void {
    const { ram } = this.machine
    let table = this.root
    for (const shift of [39n, 30n, 21n]) {
      const at = table + Number((va >> shift) & 511n) * 8
      let entry = ram.readBig(at)
      if (entry === 0n) {
        entry = BigInt(this.allocate()) | PTE_PRESENT | PTE_WRITE | PTE_USER
        ram.writeBig(at, entry)
      }
      table = Number(entry & 0xffffff000n)
    }
    ram.writeBig(table + Number((va >> 12n) & 511n) * 8, BigInt(pa) | PTE_PRESENT | flags)
  }

  private buildTables(): void {
    const { ram } = this.machine
    const handlers = KERNEL + BigInt(this.handlers)
    ram.fill(this.handlers, PAGE, 0xf4)
    for (let vector = 0; vector < 256; vector++) {
      const offset = handlers + BigInt(16 * vector)
      // Linux lets user code INT3 and INTO, and nothing else.
      const dpl = vector === 3 || vector === 4 ? 3n : 0n
      const low =
        (offset & 0xffffn) | (0x10n << 16n) | ((0x8en | (dpl << 5n)) << 40n) | (((offset >> 16n) & 0xffffn) << 48n)
      ram.writeBig(this.idt + 16 * vector, low)
      ram.writeBig(this.idt + 16 * vector + 8, offset >> 32n)
    }
    GDT.forEach((d, i) => ram.writeBig(this.gdt + 8 * i, d))
    const system = (index: number, pa: number, limit: number, type: bigint) => {
      const base = KERNEL + BigInt(pa)
      const d = BigInt(limit) | ((base & 0xffffffn) << 16n) | (type << 40n) | (((base >> 24n) & 0xffn) << 56n)
      ram.writeBig(this.gdt + 8 * index, d)
      ram.writeBig(this.gdt + 8 * index + 8, base >> 32n)
    }
    system(GDT_TSS, this.tss, 0x206f, 0x8bn)
    system(GDT_LDT, this.ldt, LDT.length * 8 - 1, 0x82n)
    LDT.forEach((d, i) => ram.writeBig(this.ldt + 8 * i, d))
    // RSP0 (SDM vol. 3, figure 8-11).
    ram.writeBig(this.tss + 4, KERNEL + BigInt(this.stack + PAGE))
    // The I/O bitmap lies beyond the limit: no port is allowed.
    ram.write16(this.tss + 102, 0xffff)
  }

  private start(): void {
    const p = this.processor
    p.setLong(S.CR0, 0x80050033n)
    p.setLong(S.CR3, BigInt(this.root))
    p.setLong(S.CR4, 0x20n)
    p.setLong(S.MSR_EFER, 0xd01n)
    p.setLong(S.GDTR_BASE, KERNEL + BigInt(this.gdt))
    p.setWord(S.GDTR_LIMIT, GDT_ENTRIES * 8 - 1)
    p.setLong(S.IDTR_BASE, KERNEL + BigInt(this.idt))
    p.setWord(S.IDTR_LIMIT, 0xfff)
    p.setSegment(S.SEG_TR, GDT_TSS * 8, KERNEL + BigInt(this.tss), 0x206f, 0x8b00)
    p.setSegment(S.SEG_LDTR, GDT_LDT * 8, KERNEL + BigInt(this.ldt), LDT.length * 8 - 1, 0x8200)
    p.refresh()
    p.flushTlb(true)
  }

  private loadSegment(segment: number, selector: number, base: bigint): void {
    let cached = this.segments.get(selector)
    if (cached === undefined) {
      // A null selector leaves a segment unusable.
      cached = Uint32Array.of(baseOf(selector), 0, limitOf(selector), attributesOf(selector), selector)
      this.segments.set(selector, cached)
    }
    const at = (S.SEG + segment * S.SEG_STRIDE) >>> 2
    this.state.set(cached, at)
    if ((selector & ~3) === 0) {
      this.state[at] = Number(base & 0xffffffffn)
      this.state[at + 1] = Number(base >> 32n)
    }
  }

  /** The linear address as physical one, or -1. */
  private physical(linear: number): number {
    for (const r of this.regions)
      if (linear >= r.address && linear < r.address + r.bytes) return r.pa + linear - r.address
    return -1
  }

  /** Runs case `index` of `tests` and writes result `index` of `results`. */
  run(tests: DataView, results: DataView, index: number): void {
    const { ram } = this.machine
    const p = this.processor
    const from = index * TEST.size
    const { fields: t } = TEST
    const get16 = (f: { offset: number }) => tests.getUint16(from + f.offset, true)
    const get64 = (f: { offset: number }) => tests.getBigUint64(from + f.offset, true)

    for (let i = 0; i < get16(t.patches); i++) {
      const at = from + t.patch.offset + 16 * i
      const address = Number(tests.getBigUint64(at, true))
      // Byte by byte: it may cross from one page to the next, which lies elsewhere.
      for (let b = 0; b < 8; b++) this.machine.ram.write8(this.physical(address + b), tests.getUint8(at + 8 + b))
    }
    const codeBytes = get16(t.codeBytes)
    const codeAddress = this.physical(Number(get64(t.codeAddress)))
    if (codeBytes > 0)
      ram.copyIn(codeAddress, new Uint8Array(tests.buffer, tests.byteOffset + from + t.code.offset, codeBytes))

    this.state.set(new Uint32Array(tests.buffer, tests.byteOffset + from, 32), S.GPR >>> 2)
    p.rip = get64(t.rip)
    this.loadSegment(S.SEG_CS, get16(t.cs), 0n)
    this.loadSegment(S.SEG_SS, get16(t.ss), 0n)
    this.loadSegment(S.SEG_DS, get16(t.ds), 0n)
    this.loadSegment(S.SEG_ES, get16(t.es), 0n)
    this.loadSegment(S.SEG_FS, get16(t.fs), get64(t.fsBase))
    this.loadSegment(S.SEG_GS, get16(t.gs), get64(t.gsBase))
    p.setWord(S.CPL, 3)
    p.setWord(S.HALTED, 0)
    p.setWord(S.FAULT_VECTOR, S.NONE)
    p.setWord(S.DELIVERING, S.NONE)
    p.setWord(S.PENDING_DEBUG, 0)
    p.setWord(S.ATTENTION, 0)
    p.flags = get64(t.rflags)
    p.refresh()
    let trap = false
    try {
      p.run(BUDGET)
    } catch (thrown) {
      // A difference like any other: the report shows the case.
      if (!(thrown instanceof WebAssembly.RuntimeError)) throw thrown
      trap = true
    }
    this.report(results, index * RESULT.size)
    if (trap) results.setUint16(index * RESULT.size + RESULT.fields.vector.offset, TRAPPED, true)
    if (codeBytes > 0) ram.fill(codeAddress, codeBytes, 0xcc)
  }

  private report(results: DataView, to: number): void {
    const { ram } = this.machine
    const { fields: r } = RESULT
    const p = this.processor
    const word = (offset: number) => this.state[offset >>> 2]!
    const set64 = (f: { offset: number }, value: bigint) => results.setBigUint64(to + f.offset, value, true)
    const set32 = (f: { offset: number }, value: number) => results.setUint32(to + f.offset, value, true)
    const set16 = (f: { offset: number }, value: number) => results.setUint16(to + f.offset, value, true)
    const selector = (segment: number) => word(S.SEG + segment * S.SEG_STRIDE + S.SEG_SELECTOR)

    new Uint32Array(results.buffer, results.byteOffset + to, 32).set(
      this.state.subarray(S.GPR >>> 2, (S.GPR >>> 2) + 32),
    )
    const at = Number(BigInt.asUintN(64, p.rip - KERNEL - BigInt(this.handlers)))
    const delivered = word(S.HALTED) === 1 && at < PAGE
    const vector = delivered ? (at - 1) >>> 4 : NOWHERE
    set16(r.vector, vector)
    const frame = this.stack + PAGE - 40
    const hasError = delivered && Number(p.gpr(4) & 0xfffn) === 0x1000 - 48
    const error = hasError ? ram.read32(frame - 8) : 0
    set64(r.rip, delivered ? ram.readBig(frame) : p.rip)
    set16(r.cs, delivered ? ram.read16(frame + 8) : selector(S.SEG_CS))
    set64(r.rflags, delivered ? ram.readBig(frame + 16) : p.flags)
    results.setBigUint64(to + r.gpr.offset + 8 * 4, delivered ? ram.readBig(frame + 24) : p.gpr(4), true)
    set16(r.ss, delivered ? ram.read16(frame + 32) : selector(S.SEG_SS))
    set32(r.error, error)
    set64(r.cr2, p.long(S.CR2))
    set16(r.ds, selector(S.SEG_DS))
    set16(r.es, selector(S.SEG_ES))
    set16(r.fs, selector(S.SEG_FS))
    set16(r.gs, selector(S.SEG_GS))
    set64(r.fsBase, p.long(S.SEG + S.SEG_FS * S.SEG_STRIDE))
    set64(r.gsBase, p.long(S.SEG + S.SEG_GS * S.SEG_STRIDE))
    this.collect(results, to)
  }

  /** What the case left in memory, as the native harness lists it; puts the initial bytes back. */
  private collect(results: DataView, to: number): void {
    const { fields: r } = RESULT
    let hash = 0xcbf29ce484222325n
    let diffs = 0
    for (const region of this.regions) {
      if (!region.writable) continue
      const { now, initial } = region
      for (let page = 0; page < region.bytes; page += 512) {
        if (now.compare(initial, page, page + 512, page, page + 512) === 0) continue
        for (let at = page; at < page + 512; at += 8) {
          const value = now.readBigUInt64LE(at)
          if (value === initial.readBigUInt64LE(at)) continue
          const address = BigInt(region.address + at)
          if (diffs < MAX_DIFFS) {
            results.setBigUint64(to + r.diff.offset + 16 * diffs, address, true)
            results.setBigUint64(to + r.diff.offset + 16 * diffs + 8, value, true)
          }
          diffs++
          hash = BigInt.asUintN(64, (hash ^ address ^ value) * 0x100000001b3n)
        }
        this.machine.ram.copyIn(region.pa + page, initial.subarray(page, page + 512))
      }
    }
    results.setUint32(to + r.diffs.offset, diffs, true)
    results.setBigUint64(to + r.hash.offset, hash, true)
  }
}
