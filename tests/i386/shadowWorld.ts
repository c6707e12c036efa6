import type { PhysicalMemory } from "../../src/mmu4/interface.ts"
import { OnDemandShadow, pae, type Shadow, type TableFormat, ThrowAwayShadow } from "../../src/i386/shadow/index.ts"
import { SWITCHER_ADDR } from "../../src/paravirt_ops/lguest.ts"

/*
 * A small world for the shadow MMU: host memory, a guest's memory inside of it, and two processors that exist only as page
 * walks written from the manual: one over the guest's tables (what the architecture promises), one over the shadow's.
 */

export const HOST_FRAMES = 512
/** The guest's memory: host frames 256..319. */
export const GUEST_BASE = 256
export const GUEST_FRAMES = 64
export const WINDOW = { begin: 0xf000_0000, end: 0xf100_0000 }

const P = 1
const W = 2
const U = 4
const A = 0x20
const D = 0x40
const PS = 0x80

export class Memory implements PhysicalMemory {
  private readonly words = new Uint32Array(HOST_FRAMES * 1024)

  private at(pa: number): number {
    if (pa % 4 !== 0 || pa < 0 || pa >= HOST_FRAMES * 4096) throw new Error(`physical address ${pa.toString(16)}`)
    return pa / 4
  }
  read32(pa: number): number {
    return this.words[this.at(pa)]!
  }
  readWords(): void {
    throw new Error("not here")
  }
  write32(pa: number, value: number): void {
    this.words[this.at(pa)] = value
  }
  write8(): void {
    throw new Error("not here")
  }
  write16(): void {
    throw new Error("not here")
  }
  compareExchange32(pa: number, expected: number, value: number): number {
    const old = this.read32(pa)
    if (old === expected) this.write32(pa, value)
    return old
  }
  fill(pa: number, length: number, value: number): void {
    this.words.fill(value, pa / 4, (pa + length) / 4)
  }
}

export class Frames {
  readonly taken = new Set<number>()
  most = 0
  private readonly memory: Memory
  private readonly limit: number
  constructor(memory: Memory, limit: number) {
    this.memory = memory
    this.limit = limit
  }
  alloc(): number {
    if (this.taken.size >= this.limit) return -1
    for (let hfn = 1; hfn < GUEST_BASE; hfn++)
      if (!this.taken.has(hfn)) {
        this.taken.add(hfn)
        this.most = Math.max(this.most, this.taken.size)
        this.memory.fill(hfn * 4096, 4096, 0)
        return hfn
      }
    return -1
  }
  release(hfn: number): void {
    if (!this.taken.delete(hfn)) throw new Error(`frame ${hfn} released twice`)
  }
}

export interface Access {
  readonly gva: number
  readonly write: boolean
  readonly user: boolean
}

/** A frame number, a fault with its error code, or an entry that ends the guest. */
export type Seen = { frame: number } | { fault: number } | { bad: true }

/** The walk of SDM vol. 3, 4.3 and 4.4, with A and D; `read` gives undefined outside of memory. */
export const architecturalWalk = (
  format: TableFormat,
  cr3: number,
  access: Access,
  read: (pa: number) => number | undefined,
  write: (pa: number, value: number) => void,
): Seen => {
  const { gva } = access
  const error = (access.write ? 2 : 0) | (access.user ? 4 : 0)
  const wide = format === pae
  const size = wide ? 8 : 4
  const path: Array<number> = []
  let rights = U | W
  let table = cr3
  const steps = wide
    ? [
        { shift: 30, mask: 3, flags: false },
        { shift: 21, mask: 511, flags: true },
        { shift: 12, mask: 511, flags: true },
      ]
    : [
        { shift: 22, mask: 1023, flags: true },
        { shift: 12, mask: 1023, flags: true },
      ]
  let frame = 0
  for (const [i, { shift, mask, flags }] of steps.entries()) {
    const at = table + ((gva >>> shift) & mask) * size
    const lo = read(at)
    if (lo === undefined) return { bad: true }
    if ((lo & P) === 0) return { fault: error }
    const hi = wide ? read(at + 4)! : 0
    if (hi !== 0) return { bad: true }
    if (!flags && (lo & 0x1e6) !== 0) return { bad: true }
    if (flags) {
      rights &= lo
      path.push(at)
    }
    const large = flags && i === steps.length - 2 && (lo & PS) !== 0
    if (large) {
      if ((lo & (wide ? 0x1fe000 : 0x3fe000)) !== 0) return { bad: true }
      frame = ((lo >>> shift) << (shift - 12)) + ((gva >>> 12) & ((1 << (shift - 12)) - 1))
      break
    }
    table = (lo & 0xfffff000) >>> 0
    frame = lo >>> 12
  }
  if (access.user && (rights & U) === 0) return { fault: error | 1 }
  if (access.write && (rights & W) === 0) return { fault: error | 1 }
  for (const [i, at] of path.entries()) {
    const leaf = i === path.length - 1
    const value = read(at)
    if (value === undefined) return { bad: true }
    write(at, (value | A | (leaf && access.write ? D : 0)) >>> 0)
  }
  return { frame }
}

/** The two MMUs; both are filled as the guest faults. */
export const MMUS = { "throw-away": ThrowAwayShadow, "on-demand": OnDemandShadow } as const
export type MmuName = keyof typeof MMUS

export class World {
  readonly memory = new Memory()
  readonly frames: Frames
  readonly shadow: Shadow
  readonly format: TableFormat

  constructor(format: TableFormat, tableLimit = 64, hostFrames = 200, mmu: MmuName = "throw-away") {
    this.format = format
    this.frames = new Frames(this.memory, hostFrames)
    this.shadow = new MMUS[mmu](format, {
      memory: this.memory,
      frames: { count: GUEST_FRAMES, gfnToHfn: (gfn) => GUEST_BASE + gfn },
      allocator: this.frames,
      window: WINDOW,
      top: SWITCHER_ADDR,
      host: [],
      tableLimit,
    })
  }

  guestRead(gpa: number): number | undefined {
    return gpa < GUEST_FRAMES * 4096 ? this.memory.read32(GUEST_BASE * 4096 + gpa) : undefined
  }

  guestWrite(gpa: number, value: number): void {
    this.memory.write32(GUEST_BASE * 4096 + gpa, value)
  }

  /** Writes a guest's entry `index` of the table at `table`. */
  setEntry(table: number, index: number, lo: number, hi = 0): void {
    if (this.format === pae) {
      this.guestWrite(table + 8 * index, lo)
      this.guestWrite(table + 8 * index + 4, hi)
    } else this.guestWrite(table + 4 * index, lo)
  }

  /** What the architecture says, without changing the guest's tables. */
  expected(pgd: number, access: Access): Seen {
    return architecturalWalk(
      this.format,
      pgd,
      access,
      (gpa) => this.guestRead(gpa),
      () => undefined,
    )
  }

  /** What a processor on the shadow tables sees, faults served as the module serves them. */
  actual(access: Access): Seen & { outcome?: number } {
    const error = (access.write ? 2 : 0) | (access.user ? 4 : 0)
    for (let i = 0; i < 4; i++) {
      const seen = architecturalWalk(
        this.format,
        this.shadow.root(),
        access,
        (pa) => this.memory.read32(pa),
        (pa, value) => this.memory.write32(pa, value),
      )
      if ("frame" in seen) return { frame: seen.frame - GUEST_BASE }
      if ("bad" in seen) throw new Error("the shadow tables are malformed")
      const outcome = this.shadow.pageFault(access.gva, error | (seen.fault & 1))
      if (outcome === 1) return { fault: this.shadow.faultError }
      if (outcome !== 0) return { bad: true, outcome }
    }
    throw new Error("the same fault, again and again")
  }

  /** The frame that the shadow has for the kernel's reads at `gva`, as a processor finds it; undefined: none. */
  shadowFrame(gva: number): number | undefined {
    const seen = architecturalWalk(
      this.format,
      this.shadow.root(),
      { gva, write: false, user: false },
      (pa) => this.memory.read32(pa),
      () => undefined,
    )
    return "frame" in seen ? seen.frame : undefined
  }

  /** All frames that the shadow of the current root reaches below the Switcher's range. */
  reachable(): ReadonlyArray<number> {
    const { memory } = this
    const found: Array<number> = []
    const wide = this.format === pae
    const entries = (table: number): Array<number> => {
      const n = wide ? 512 : 1024
      return Array.from({ length: n }, (_, i) => memory.read32(table + i * (wide ? 8 : 4)))
    }
    const directories = wide
      ? [0, 1, 2, 3].flatMap((i) => entries((memory.read32(this.shadow.root() + 8 * i) & ~0xfff) >>> 0))
      : entries(this.shadow.root())
    const switcher = wide ? 2046 : 1023
    for (const [i, lo] of directories.entries()) {
      if ((lo & P) === 0 || i === switcher) continue
      for (const spte of entries((lo & ~0xfff) >>> 0)) if ((spte & P) !== 0) found.push(spte >>> 12)
    }
    return found
  }
}
