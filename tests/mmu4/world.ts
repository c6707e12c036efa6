import { type HeapShare, SharedHeap } from "../../src/machine/shared.ts"
import { createOnDemandMmu, createShadowMmu, createThrowAwayMmu } from "../../src/mmu4/index.ts"
import type {
  FrameAllocator,
  PhysicalMemory,
  ShadowMmu,
  ShadowMmuConfig,
  TlbFlusher,
} from "../../src/mmu4/interface.ts"
import { SimpleState } from "../../src/mmu4/simple/state.ts"
import { ShadowState } from "../../src/mmu4/state.ts"
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
  readonly buffer: SharedArrayBuffer
  readonly words: Uint32Array
  private readonly bytes: Uint8Array
  private readonly halves: Uint16Array
  private readonly longs: BigUint64Array

  /** What another processor does just before an atomic operation. */
  beforeExchange: (pa: number) => void = () => undefined

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(HOST_FRAMES * 4096)) {
    this.buffer = buffer
    this.words = new Uint32Array(this.buffer)
    this.bytes = new Uint8Array(this.buffer)
    this.halves = new Uint16Array(this.buffer)
    this.longs = new BigUint64Array(this.buffer)
  }

  private at(pa: number, size: number): number {
    if (!(pa >= 0 && pa + size <= this.bytes.length) || pa % size !== 0) throw new Error(`bad address ${pa}`)
    return pa / size
  }
  read32(pa: number): number {
    return this.words[this.at(pa, 4)]!
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
    return Atomics.compareExchange(this.words, this.at(pa, 4), expected, value)
  }
  fill(pa: number, length: number, value: number): void {
    this.bytes.fill(value, pa, pa + length)
  }
  /** As processors do it: 64 bits at once. */
  read64(pa: number): bigint {
    return Atomics.load(this.longs, this.at(pa, 8))
  }
  write64(pa: number, value: bigint): void {
    Atomics.store(this.longs, this.at(pa, 8), value)
  }
  /** Whether the 64 bits were as expected, and so have been replaced. */
  exchange64(pa: number, expected: bigint, value: bigint): boolean {
    return Atomics.compareExchange(this.longs, this.at(pa, 8), expected, value) === expected
  }
}

/** A guest that reaches this host frame has walked through a frame that is free. */
export const POISON_FRAME = 1

/** Hands out shadow frames and knows which are out. What is free is full of entries that lead to POISON_FRAME. */
export class TestAllocator implements FrameAllocator {
  private readonly stack: Int32Array
  private readonly top: Int32Array
  private readonly isOut: Uint8Array
  private readonly memory: TestMemory

  constructor(heap: SharedHeap, memory: TestMemory, frames: number) {
    this.memory = memory
    this.stack = heap.i32(frames)
    this.top = heap.i32(1)
    this.isOut = heap.u8(SHADOW_FIRST + frames)
    if (!heap.fresh) return
    for (let hfn = SHADOW_FIRST + frames - 1; hfn >= SHADOW_FIRST; hfn--) this.stack[this.top[0]!++] = hfn
  }

  /** Those that are out. */
  get out(): ReadonlySet<number> {
    return new Set([...this.isOut.keys()].filter((hfn) => this.isOut[hfn] === 1))
  }
  alloc(): number {
    if (this.top[0] === 0) return -1
    const hfn = this.stack[--this.top[0]!]!
    this.isOut[hfn] = 1
    return hfn
  }
  free(hfn: number): void {
    if (this.isOut[hfn] !== 1) throw new Error(`frame ${hfn} freed twice`)
    this.isOut[hfn] = 0
    for (let i = 0; i < 512; i++) this.memory.write64(hfn * 4096 + 8 * i, BigInt(POISON_FRAME * 4096) | 0x67n)
    this.stack[this.top[0]!++] = hfn
  }
}

export interface TlbEntry {
  readonly root: number
  readonly vpn: number
  readonly hfn: number
  readonly writable: boolean
  readonly executable: boolean
  readonly user: boolean
}

const P = 1
const RW = 2
const US = 4
const A = 0x20
const D = 0x40
const PS = 0x80

/** A processor on shadow tables. Its TLB forgets nothing by itself, not even at a CR3 load (as with PCIDs). */
export class Hardware {
  root = 0
  /** At ring 3, where paging asks for U; else a supervisor. */
  ring3 = true
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
    if (hit !== undefined && (!write || hit.writable) && (!fetch || hit.executable) && (!this.ring3 || hit.user))
      return hit.hfn
    // A fault, or a walk, drops what was there (SDM vol. 3, 4.10.4.1).
    this.tlb.delete(key)
    let found = this.walk(this.root, vpn, write, fetch)
    while (found === undefined) found = this.walk(this.root, vpn, write, fetch)
    if (typeof found === "number") return -1 - found
    this.tlb.set(key, found)
    return found.hfn
  }

  /** A walk of the shadow; sets A and D like a processor. Undefined: an entry has changed meanwhile. */
  private walk(root: number, vpn: number, write: boolean, fetch: boolean): TlbEntry | number | undefined {
    const m = this.memory
    const cause = (this.ring3 ? US : 0) | (write ? 2 : 0) | (fetch ? 16 : 0)
    let table = root
    let writable = true
    let executable = true
    let user = true
    const path: { readonly at: number; readonly seen: bigint }[] = []
    for (let shift = 27; ; shift -= 9) {
      const at = table + 8 * (Math.floor(vpn / 2 ** shift) % 512)
      const seen = m.read64(at)
      const lo = Number(seen & 0xffffffffn)
      const hi = Number(seen >> 32n)
      if ((lo & P) === 0) return cause
      if ((hi & 0x7fffff00) !== 0) return cause | 9
      path.push({ at, seen })
      writable &&= (lo & RW) !== 0
      executable &&= hi >>> 31 === 0
      user &&= (lo & US) !== 0
      const frame = (hi & 0xff) * 0x100000 + (lo >>> 12)
      const large = shift === 9 && (lo & PS) !== 0
      if ((lo & PS) !== 0 && shift !== 9 && shift !== 0) return cause | 9
      if (shift === 0 || large) {
        if ((write && !writable) || (fetch && !executable) || (this.ring3 && !user)) return cause | 1
        for (const p of path) {
          const flags = BigInt(write && p.at === at ? A | D : A)
          if ((p.seen & flags) !== flags && !m.exchange64(p.at, p.seen, p.seen | flags)) return undefined
        }
        return {
          root,
          vpn,
          hfn: frame + (vpn % 2 ** shift),
          writable: writable && (write || (lo & D) !== 0),
          executable,
          user,
        }
      }
      table = frame * 4096
    }
  }

  /** What the shadow under a root would allow now, without A and D. */
  peek(root: number, vpn: number): Omit<TlbEntry, "root" | "vpn"> | undefined {
    const m = this.memory
    let table = root
    let writable = true
    let executable = true
    let user = true
    for (let shift = 27; ; shift -= 9) {
      const at = table + 8 * (Math.floor(vpn / 2 ** shift) % 512)
      const lo = m.read32(at)
      const hi = m.read32(at + 4)
      if ((lo & P) === 0) return undefined
      writable &&= (lo & RW) !== 0
      executable &&= hi >>> 31 === 0
      user &&= (lo & US) !== 0
      const frame = (hi & 0xff) * 0x100000 + (lo >>> 12)
      if (shift === 0 || (shift === 9 && (lo & PS) !== 0))
        return { hfn: frame + (vpn % 2 ** shift), writable, executable, user }
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

/** All that kernel and user can be to paging, and to each other. */
export const MODES = [
  { name: "two views, the kernel at ring 3", views: 2, supervisor: false },
  { name: "one view, the kernel at ring 3", views: 1, supervisor: false },
  { name: "two views, the kernel at ring 1", views: 2, supervisor: true },
  { name: "one view, the kernel at ring 1", views: 1, supervisor: true },
] as const

/** What the host has in its slot, by virtual CPU and view: present, supervisor, global. */
export const hostEntryLo = (vcpu: number, userView: boolean): number =>
  0x00003103 + vcpu * 0x1000 + (userView ? 0x100000 : 0)

export type Method = "kvm" | "throw-away" | "on-demand"

const FACTORIES: Record<
  Method,
  (config: ShadowMmuConfig) => ShadowMmu & { readonly state: ShadowState | SimpleState }
> = {
  kvm: createShadowMmu,
  "throw-away": createThrowAwayMmu,
  "on-demand": createOnDemandMmu,
}

export interface WorldOptions {
  readonly vcpus?: number
  readonly limit?: number
  readonly views?: 1 | 2
  readonly supervisor?: boolean
  /** Default "kvm". */
  readonly method?: Method
  /** Host frames that can be had for shadow tables. */
  readonly shadowFrames?: number
}

/** What another thread needs to see the same world. */
export interface WorldShare {
  readonly memory: SharedArrayBuffer
  readonly heap: HeapShare
}

/** A world that exists already, seen through other processors. */
export interface Existing {
  readonly share: WorldShare
  readonly hardware: Hardware[]
  readonly flushers?: readonly TlbFlusher[]
}

// One memory for all worlds of a test file: 9 MiB would be much to make anew for each run.
const sharedMemory = new TestMemory()

export class World implements GuestMemory {
  readonly memory: TestMemory
  readonly heap: SharedHeap
  readonly options: WorldOptions
  readonly allocator: TestAllocator
  readonly hardware: Hardware[]
  readonly method: Method
  readonly mmu: ReturnType<(typeof FACTORIES)[Method]>
  readonly gfnToHfn = gfnToHfn

  constructor(options: WorldOptions = {}, existing?: Existing) {
    this.options = options
    if (existing === undefined) {
      this.memory = sharedMemory
      this.memory.words.fill(0)
      this.memory.beforeExchange = () => undefined
      this.heap = SharedHeap.create()
      this.hardware = Array.from({ length: options.vcpus ?? 1 }, () => new Hardware(this.memory))
    } else {
      this.memory = new TestMemory(existing.share.memory)
      this.heap = SharedHeap.attach(existing.share.heap)
      this.hardware = existing.hardware
    }
    this.allocator = new TestAllocator(this.heap, this.memory, options.shadowFrames ?? SHADOW_LAST - SHADOW_FIRST)
    this.method = options.method ?? "kvm"
    this.mmu = FACTORIES[this.method]({
      heap: this.heap,
      memory: this.memory,
      frames: { count: GUEST_FRAMES, gfnToHfn: (gfn) => gfnToHfn[gfn]! },
      allocator: this.allocator,
      flushers: existing?.flushers ?? this.hardware,
      host: { slots: [HOST_SLOT], entryLo: (_, ...of) => hostEntryLo(...of), entryHi: () => 0 },
      ...(options.limit === undefined ? {} : { limit: options.limit }),
      ...(options.views === undefined ? {} : { views: options.views }),
      ...(options.supervisor === undefined ? {} : { supervisor: options.supervisor }),
    })
  }

  /** The processor goes to its guest: at the root for its kernel or its user, at their rings. */
  enter(vcpu: number, user: boolean): Hardware {
    const hw = this.hardware[vcpu]!
    hw.root = this.mmu.vcpus[vcpu]!.rootFor(user)
    hw.ring3 = user || this.options.supervisor !== true
    return hw
  }

  /** The insides of the KVM-style MMU. */
  get kvm(): ShadowState {
    if (!(this.mmu.state instanceof ShadowState)) throw new Error(`${this.method} has no such state`)
    return this.mmu.state
  }
  /** The insides of the others. */
  get simple(): SimpleState {
    if (!(this.mmu.state instanceof SimpleState)) throw new Error(`${this.method} has no such state`)
    return this.mmu.state
  }

  get share(): WorldShare {
    return { memory: this.memory.buffer, heap: this.heap.share }
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
