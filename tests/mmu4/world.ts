import { SharedHeap } from "../../src/machine/shared.ts"
import { createShadowMmu, type Mmu4 } from "../../src/mmu4/index.ts"
import type { FrameAllocator, PhysicalMemory } from "../../src/mmu4/interface.ts"
import { HOST_SLOT, type GuestMemory } from "./reference.ts"

/*
 * A small machine for the MMU: host memory, a guest whose frames lie in it in three ways, and for each virtual CPU a
 * processor that walks the shadow tables as hardware does and keeps what it found in a TLB until it is told otherwise.
 *
 * Guest frames 0..1023 are two aligned contiguous 2 MiB blocks; 1024..1279 are scattered, with a hole.
 */

export const HOST_FRAMES = 2304
export const GUEST_FRAMES = 1280
export const HOLE = 1100
const GUEST_FIRST_HFN = 512
/** Host frames below are the host's own: some for shadow tables, the others must stay as they are. */
const SHADOW_FIRST = 16
const SHADOW_LAST = 500

export class TestMemory implements PhysicalMemory {
  readonly words = new Uint32Array(HOST_FRAMES * 1024)
  private readonly bytes = new Uint8Array(this.words.buffer)
  private readonly halves = new Uint16Array(this.words.buffer)

  /** What another processor does just before an atomic operation. */
  beforeExchange: (pa: number) => void = () => undefined

  private at(pa: number, size: number): number {
    if (!(pa >= 0 && pa + size <= this.bytes.length) || pa % size !== 0) throw new Error(`bad address ${pa}`)
    return pa / size
  }
  read32(pa: number): number {
    return this.words[this.at(pa, 4)]!
  }
  readWords(pa: number, to: Uint32Array): void {
    to.set(this.words.subarray(this.at(pa, 4), this.at(pa, 4) + to.length))
  }
  write32(pa: number, value: number): void {
    this.words[this.at(pa, 4)] = value
  }
  write16(pa: number, value: number): void {
    this.halves[this.at(pa, 2)] = value
  }
  write8(pa: number, value: number): void {
    this.bytes[this.at(pa, 1)] = value
  }
  compareExchange32(pa: number, expected: number, value: number): number {
    this.beforeExchange(pa)
    const i = this.at(pa, 4)
    const old = this.words[i]!
    if (old === expected) this.words[i] = value
    return old
  }
  fill(pa: number, length: number, value: number): void {
    this.bytes.fill(value, pa, pa + length)
  }
  read64(pa: number): bigint {
    return BigInt(this.read32(pa)) | (BigInt(this.read32(pa + 4)) << 32n)
  }
  write64(pa: number, value: bigint): void {
    this.write32(pa, Number(value & 0xffffffffn))
    this.write32(pa + 4, Number(value >> 32n))
  }
}

/** Hands out shadow frames and knows which are out. */
export class TestAllocator implements FrameAllocator {
  readonly out = new Set<number>()
  private readonly free_: number[] = []
  constructor(frames: number) {
    for (let hfn = SHADOW_FIRST + frames - 1; hfn >= SHADOW_FIRST; hfn--) this.free_.push(hfn)
  }
  alloc(): number {
    const hfn = this.free_.pop() ?? -1
    if (hfn >= 0) this.out.add(hfn)
    return hfn
  }
  free(hfn: number): void {
    if (!this.out.delete(hfn)) throw new Error(`frame ${hfn} freed twice`)
    this.free_.push(hfn)
  }
}

export interface TlbEntry {
  readonly root: number
  readonly vpn: number
  readonly hfn: number
  readonly writable: boolean
  readonly executable: boolean
}

const P = 1
const RW = 2
const US = 4
const A = 0x20
const D = 0x40
const PS = 0x80

/** A processor at ring 3 on shadow tables. Its TLB forgets nothing by itself, not even at a CR3 load (as with PCIDs). */
export class Hardware {
  root = 0
  readonly tlb = new Map<string, TlbEntry>()
  private readonly memory: TestMemory
  constructor(memory: TestMemory) {
    this.memory = memory
  }

  flushAll(): void {
    this.tlb.clear()
  }

  flushPage(vpn: number): void {
    for (const [key, e] of this.tlb) if (e.vpn === vpn) this.tlb.delete(key)
  }

  /** Host frame, or the page fault's error code as a negative number (-1 - error). */
  access(vpn: number, write: boolean, fetch: boolean): number {
    const key = `${this.root}:${vpn}`
    const hit = this.tlb.get(key)
    if (hit !== undefined && (!write || hit.writable) && (!fetch || hit.executable)) return hit.hfn
    // A fault, or a walk, drops what was there (SDM vol. 3, 4.10.4.1).
    this.tlb.delete(key)
    const found = this.walk(this.root, vpn, write, fetch)
    if (typeof found === "number") return -1 - found
    this.tlb.set(key, found)
    return found.hfn
  }

  /** A walk of the shadow; sets A and D like a processor. */
  private walk(root: number, vpn: number, write: boolean, fetch: boolean): TlbEntry | number {
    const m = this.memory
    const cause = US | (write ? 2 : 0) | (fetch ? 16 : 0)
    let table = root
    let writable = true
    let executable = true
    const path: number[] = []
    for (let shift = 27; ; shift -= 9) {
      const at = table + 8 * (Math.floor(vpn / 2 ** shift) % 512)
      const lo = m.read32(at)
      const hi = m.read32(at + 4)
      if ((lo & P) === 0) return cause
      if ((hi & 0x7fffff00) !== 0) return cause | 9
      if ((lo & US) === 0) return cause | 1
      path.push(at)
      writable &&= (lo & RW) !== 0
      executable &&= hi >>> 31 === 0
      const frame = (hi & 0xff) * 0x100000 + (lo >>> 12)
      const large = shift === 9 && (lo & PS) !== 0
      if ((lo & PS) !== 0 && shift !== 9 && shift !== 0) return cause | 9
      if (shift === 0 || large) {
        if ((write && !writable) || (fetch && !executable)) return cause | 1
        for (const p of path) m.write32(p, m.read32(p) | A)
        if (write) m.write32(at, m.read32(at) | D)
        return {
          root,
          vpn,
          hfn: frame + (vpn % 2 ** shift),
          writable: writable && (m.read32(at) & D) !== 0,
          executable,
        }
      }
      table = frame * 4096
    }
  }

  /** What the shadow under a root would allow now, without A and D. */
  peek(root: number, vpn: number): { hfn: number; writable: boolean; executable: boolean } | undefined {
    const m = this.memory
    let table = root
    let writable = true
    let executable = true
    for (let shift = 27; ; shift -= 9) {
      const at = table + 8 * (Math.floor(vpn / 2 ** shift) % 512)
      const lo = m.read32(at)
      const hi = m.read32(at + 4)
      if ((lo & (P | US)) !== (P | US)) return undefined
      writable &&= (lo & RW) !== 0
      executable &&= hi >>> 31 === 0
      const frame = (hi & 0xff) * 0x100000 + (lo >>> 12)
      if (shift === 0 || (shift === 9 && (lo & PS) !== 0))
        return { hfn: frame + (vpn % 2 ** shift), writable, executable }
      table = frame * 4096
    }
  }
}

const gfnToHfn = new Int32Array(GUEST_FRAMES)
const hfnToGfn = new Map<number, number>()
for (let gfn = 0; gfn < GUEST_FRAMES; gfn++) {
  const i = gfn - 1024
  const hfn = gfn === HOLE ? -1 : gfn < 1024 ? GUEST_FIRST_HFN + gfn : GUEST_FIRST_HFN + 1024 + ((i * 37) % 256)
  gfnToHfn[gfn] = hfn
  if (hfn >= 0) hfnToGfn.set(hfn, gfn)
}
export { hfnToGfn }

/** What the host has in its slot, by virtual CPU: present, supervisor, global. */
export const hostEntryLo = (vcpu: number): number => 0x00003103 + vcpu * 0x1000

export interface WorldOptions {
  readonly vcpus?: number
  readonly limit?: number
  /** Host frames that can be had for shadow tables. */
  readonly shadowFrames?: number
}

// One memory for all worlds of a test file: 9 MiB would be much to make anew for each run.
const sharedMemory = new TestMemory()

export class World implements GuestMemory {
  readonly memory = sharedMemory
  readonly allocator: TestAllocator
  readonly hardware: Hardware[]
  readonly mmu: Mmu4
  readonly gfnToHfn = gfnToHfn

  constructor(options: WorldOptions = {}) {
    this.memory.words.fill(0)
    this.memory.beforeExchange = () => undefined
    this.allocator = new TestAllocator(options.shadowFrames ?? SHADOW_LAST - SHADOW_FIRST)
    this.hardware = Array.from({ length: options.vcpus ?? 1 }, () => new Hardware(this.memory))
    this.mmu = createShadowMmu({
      heap: SharedHeap.create(),
      memory: this.memory,
      frames: { count: GUEST_FRAMES, gfnToHfn: (gfn) => gfnToHfn[gfn]! },
      allocator: this.allocator,
      flushers: this.hardware,
      host: { slots: [HOST_SLOT], entryLo: (_, vcpu) => hostEntryLo(vcpu), entryHi: () => 0 },
      ...(options.limit === undefined ? {} : { limit: options.limit }),
    })
  }

  isMemory(gfn: number): boolean {
    return gfn < GUEST_FRAMES && gfn !== HOLE
  }

  hpa(gpa: number): number {
    return gfnToHfn[Math.floor(gpa / 4096)]! * 4096 + (gpa % 4096)
  }

  read64(gpa: number): bigint | undefined {
    return this.isMemory(Math.floor(gpa / 4096)) ? this.memory.read64(this.hpa(gpa)) : undefined
  }

  /** A store behind the MMU's back, for set-up. */
  poke(gpa: number, value: bigint): void {
    this.memory.write64(this.hpa(gpa), value)
  }
}
