import { EMULATE, FIXED, GUEST_FAULT, KILL, MMIO } from "../../src/mmu4/index.ts"
import { check } from "./invariants.ts"
import { HOST_SLOT, permits, referenceWalk, type Access, type Outcome, type Translation } from "./reference.ts"
import { GUEST_FRAMES, type Hardware, hfnToGfn, HOLE, hostEntryLo, World, type WorldOptions } from "./world.ts"

/*
 * A guest that does whatever a list of steps says, on one or two virtual CPUs, and what the architecture promises it.
 *
 * The promise: a translation that a processor uses is what the guest's tables say now, or what they said at some time
 * since that processor last flushed the address. A fault is what they say now. So for each processor, view and address the
 * simulation remembers all translations since the last flush, and holds each access against them.
 */

const PS = 0x80n

/** Guest frames 0..POOL-1 serve as page tables, as data, or as both; [frame]: the level that kernel-like entries expect. */
export const NOMINAL = [4, 4, 3, 3, 2, 2, 1, 1, 1, 0] as const
export const POOL = NOMINAL.length
const ofLevel = (level: number): number[] => NOMINAL.flatMap((l, frame) => (l === level ? [frame] : []))
/** Data, tables as data, devices and nothing; and what large pages start at. */
const PAGES = [30, 30, 31, 31, 600, 1030, 1031, ...ofLevel(1), ...ofLevel(1), 2, 4, HOLE, 0xf0000]
const LARGE = [0, 512, 512, 1024, 0x40000]
const ANYTHING = [...NOMINAL.keys(), ...NOMINAL.keys(), ...PAGES, ...LARGE, GUEST_FRAMES, 0xfffffff]

/** An entry before it is known which frame it lies in. */
export interface Entry {
  readonly wild: boolean
  readonly pick: number
  readonly flags: bigint
}

/** The entry's bits, for a place in a pool frame. */
export const resolve = (frame: number, e: Entry): bigint => {
  const level = NOMINAL[frame]!
  const large = (level === 2 || level === 3) && (e.flags & PS) !== 0n
  const choices = e.wild || level === 0 ? ANYTHING : large ? LARGE : level === 1 ? PAGES : ofLevel(level - 1)
  const flags = level === 4 && !e.wild ? e.flags & ~PS : e.flags
  return flags | (BigInt(choices[e.pick % choices.length]!) << 12n)
}

const WINDOW_L3 = 20
const WINDOW_L2 = 21
const WINDOW_L1 = 22
const WINDOW_L2_LARGE = 23
/** PML4 slots through which the guest kernel reaches the pool: by 4 KiB, 2 MiB and 1 GiB pages. */
export const WINDOW_SLOTS = [256, 257, 258] as const
/** Indices that random entries and addresses use. */
export const INDICES = [0, 1, 511] as const

const P_RW = 3n

export interface Step {
  readonly vcpu: number
  readonly op:
    | { readonly kind: "access"; readonly address: number; readonly how: 0 | 1 | 2; readonly user: boolean }
    | {
        readonly kind: "store"
        readonly frame: number
        readonly index: number
        readonly value: Entry
        readonly window: number
        readonly size: 1 | 4 | 8
        readonly by: "write" | "window"
      }
    | {
        /** A store to an entry that an address goes through: [depth] of its path, PML4 first, or the last. */
        readonly kind: "edit"
        readonly address: number
        readonly depth: number
        readonly value: Entry
        readonly window: number
        readonly size: 1 | 4 | 8
        readonly by: "write" | "window"
      }
    | { readonly kind: "announce"; readonly frame: number; readonly index: number }
    | { readonly kind: "device"; readonly frame: number; readonly index: number; readonly value: Entry }
    | { readonly kind: "cr3"; readonly frame: number }
    | { readonly kind: "linear" }
    | { readonly kind: "flush"; readonly global: boolean }
    | { readonly kind: "invlpg"; readonly address: number }
    | { readonly kind: "translate"; readonly address: number; readonly how: 0 | 1 | 2; readonly user: boolean }
    | { readonly kind: "zapAll" }
    | { readonly kind: "zapFrame"; readonly frame: number }
    | { readonly kind: "reclaim"; readonly pages: number }
}

type View = 0 | 1

/** What the promise is about: where, and with which rights. */
const nameOf = (t: Translation): string =>
  `${t.gfn}${t.writable ? "W" : ""}${t.executable ? "X" : ""} by ${t.path.map((gpa) => gpa.toString(16)).join(" ")}`

/** Translations by name (and, since an announcement is about one entry, by path). */
type Seen = Map<string, Translation>

class Processor {
  /** The roots that it was given last, newest first, and the host's entry there: it may be on either. */
  readonly roots: Array<{ readonly root: number; readonly host: number }> = []
  /** Guest PML4; -1: linear. */
  pgd = -1
  /** By PML4: [view * addresses + i], translations since the last flush. */
  readonly spaces = new Map<number, Seen[]>()
  private readonly addresses: number
  constructor(addresses: number) {
    this.addresses = addresses
  }

  seenIn(pgd: number): Seen[] {
    let seen = this.spaces.get(pgd)
    if (seen === undefined) {
      seen = Array.from({ length: 2 * this.addresses }, () => new Map<string, Translation>())
      this.spaces.set(pgd, seen)
    }
    return seen
  }
  get seen(): Seen[] {
    return this.seenIn(this.pgd)
  }
}

export class Simulation {
  world: World
  readonly vpns: readonly number[]
  private readonly processors: Processor[]
  private readonly options: WorldOptions

  constructor(options: WorldOptions, vpns: readonly number[], tables: readonly (readonly Entry[])[]) {
    this.options = options
    this.world = new World(options)
    this.vpns = [...vpns, ...WINDOW_SLOTS.map((slot) => slot * 2 ** 27)]
    this.processors = this.world.hardware.map(() => new Processor(this.vpns.length))
    const { world } = this
    const poke = (frame: number, index: number, entry: bigint) => world.poke(frame * 4096 + index * 8, entry)
    const to = (frame: number, flags: bigint) => (BigInt(frame) << 12n) | flags
    poke(WINDOW_L3, 0, to(WINDOW_L2, P_RW))
    poke(WINDOW_L2, 0, to(WINDOW_L1, P_RW))
    poke(WINDOW_L2_LARGE, 0, to(0, P_RW | PS))
    for (let i = 0; i < POOL; i++) {
      poke(WINDOW_L1, i, to(i, P_RW))
      poke(i, WINDOW_SLOTS[0], to(WINDOW_L3, P_RW))
      poke(i, WINDOW_SLOTS[1], to(24, P_RW))
      poke(i, WINDOW_SLOTS[2], to(25, P_RW))
      // In the host's slot the guest may write what it likes.
      poke(i, HOST_SLOT, to(WINDOW_L3, 7n))
      tables[i]?.forEach((entry, k) => poke(i, INDICES[k]!, resolve(i, entry)))
    }
    poke(24, 0, to(WINDOW_L2_LARGE, P_RW))
    poke(25, 0, to(0, P_RW | PS))
    this.processors.forEach((_, i) => this.loaded(i, -1))
  }

  private walk(p: Processor, vpn: number, access: Access): Outcome {
    return referenceWalk(this.world, p.pgd, vpn, access)
  }

  /** Remembers what the tables say now, after they have changed. */
  private remember(): void {
    for (const p of this.processors) for (let i = 0; i < this.vpns.length; i++) this.rememberOne(p, i)
  }

  private rememberOne(p: Processor, i: number): void {
    for (const [pgd, seen] of p.spaces)
      for (const view of [0, 1] as View[]) {
        const access = { write: false, fetch: false, user: view === 1 }
        const now = referenceWalk(this.world, pgd, this.vpns[i]!, access)
        if (now.kind === "ok") seen[view * this.vpns.length + i]!.set(nameOf(now.translation), now.translation)
      }
  }

  /** Flush of an address, in all address spaces. */
  private forgetOne(vcpu: number, i: number): void {
    const p = this.processors[vcpu]!
    for (const seen of p.spaces.values()) {
      seen[i]!.clear()
      seen[this.vpns.length + i]!.clear()
    }
    this.rememberOne(p, i)
  }

  /** Flush of one address space, or all. */
  private forget(vcpu: number, pgd?: number): void {
    const p = this.processors[vcpu]!
    for (const [space, seen] of p.spaces)
      if (pgd === undefined || pgd === space) for (const translations of seen) translations.clear()
    for (let i = 0; i < this.vpns.length; i++) this.rememberOne(p, i)
  }

  /** Another PML4, or none: where loads flush, nothing but what the tables say now is promised from here on. */
  private loaded(vcpu: number, pgd: number): void {
    const p = this.processors[vcpu]!
    p.pgd = pgd
    if (this.world.method !== "throw-away") p.spaces.clear()
    p.seenIn(pgd)
    this.remember()
  }

  /** The guest has said that an entry has changed: nobody goes by what it was. (kvm: what is below it may lag.) */
  private announced(gpa: number): void {
    if (this.world.method === "kvm") return
    for (const { spaces } of this.processors)
      for (const seen of spaces.values())
        for (const translations of seen)
          for (const [name, t] of translations) if (t.path.includes(gpa)) translations.delete(name)
    this.remember()
  }

  run(steps: readonly Step[]): void {
    check(this.world)
    for (const step of steps) {
      this.step(step)
      check(this.world)
      this.checkRoots()
    }
  }

  private enter(vcpu: number, user: boolean): Hardware {
    const hw = this.world.enter(vcpu, user)
    const { roots } = this.processors[vcpu]!
    const apart = user && this.world.options.views !== 1
    roots.unshift({ root: hw.root, host: hostEntryLo(vcpu, apart) })
    roots.length = Math.min(roots.length, 2)
    return hw
  }

  /** What was handed out last, and before that, is there and has the host's entry. */
  private checkRoots(): void {
    const { memory, allocator } = this.world
    this.processors.forEach(({ roots }) => {
      for (const { root, host } of roots) {
        expectEqual(allocator.out.has(root / 4096), true, `the frame of root ${root.toString(16)} is in use`)
        expectEqual(memory.read32(root + 8 * HOST_SLOT) & ~0x20, host, "the host's entry")
      }
    })
  }

  /** Goes on as another thread would: with objects of its own over what is shared. */
  attach(): void {
    const { share, hardware } = this.world
    this.world = new World(this.options, { share, hardware })
  }

  private step({ vcpu: n, op }: Step): void {
    const { mmu } = this.world
    const vcpu = n % this.processors.length
    const cpu = mmu.vcpus[vcpu]!
    switch (op.kind) {
      case "access":
        this.access(vcpu, op.address % this.vpns.length, op.how, op.user)
        return
      case "store":
        this.store(vcpu, op)
        return
      case "edit": {
        const now = this.walk(this.processors[vcpu]!, this.vpns[op.address % this.vpns.length]!, this.kinds(0, false))
        if (now.kind !== "ok" || now.translation.path.length === 0) return
        const { path } = now.translation
        const gpa = path[Math.min(op.depth, path.length - 1)]!
        const frame = Math.floor(gpa / 4096)
        if (frame < POOL) this.store(vcpu, { ...op, kind: "store", frame, index: (gpa % 4096) / 8 })
        return
      }
      case "announce":
        mmu.entryChanged(op.frame * 4096 + op.index * 8)
        this.announced(op.frame * 4096 + op.index * 8)
        return
      case "device":
        this.world.poke(op.frame * 4096 + op.index * 8, resolve(op.frame, op.value))
        mmu.memoryWritten(op.frame * 4096 + op.index * 8, 8)
        this.remember()
        return
      case "cr3": {
        const { kind } = cpu.newRoot(op.frame * 4096)
        if (!this.world.isMemory(op.frame)) {
          expectEqual(kind, KILL, "CR3 out of memory")
          return
        }
        expectEqual(kind, FIXED, "CR3")
        this.loaded(vcpu, op.frame * 4096)
        return
      }
      case "linear":
        cpu.linear()
        this.loaded(vcpu, -1)
        return
      case "flush":
        cpu.flush(op.global)
        this.forget(vcpu, op.global ? undefined : this.processors[vcpu]!.pgd)
        return
      case "invlpg": {
        const i = op.address % this.vpns.length
        cpu.flushAddress(this.vpns[i]!)
        this.forgetOne(vcpu, i)
        return
      }
      case "translate":
        this.translate(vcpu, op.address % this.vpns.length, op.how, op.user)
        return
      case "zapAll":
        mmu.zapAll()
        return
      case "zapFrame":
        mmu.zapFrame(op.frame)
        return
      case "reclaim":
        mmu.reclaim(op.pages)
        return
    }
  }

  private kinds(how: 0 | 1 | 2, user: boolean): Access {
    return { write: how === 1, fetch: how === 2, user }
  }

  private translate(vcpu: number, i: number, how: 0 | 1 | 2, user: boolean): void {
    const access = this.kinds(how, user)
    const now = this.walk(this.processors[vcpu]!, this.vpns[i]!, access)
    const r = this.world.mmu.vcpus[vcpu]!.translate(this.vpns[i]!, 0x123, how === 1 ? 2 : how === 2 ? 16 : 0, user)
    // As a processor may, it answers by what the shadow holds.
    if (r.kind === FIXED) this.expectPromised(vcpu, i, access, Math.floor(r.gpa / 4096))
    else this.compare(r, now, access, false)
  }

  /** Holds an answer of the MMU against what the tables say now. */
  private compare(
    r: { kind: number; error: number; gpa: number; reason: string },
    now: Outcome,
    access: Access,
    fault: boolean,
  ): void {
    if (now.kind === "kill") {
      expectEqual(r.kind, KILL, "tables out of memory")
      expectEqual(/^page table frame 0x[0-9a-f]+ is out of its memory/.test(r.reason), true, r.reason)
    } else if (now.kind === "fault") {
      expectEqual(r.kind, GUEST_FAULT, `a fault with ${now.error}`)
      expectEqual(r.error, now.error, "error code")
    } else {
      const { gfn } = now.translation
      expectEqual(r.gpa, gfn * 4096 + 0x123, "guest-physical address")
      if (!this.world.isMemory(gfn)) expectEqual(r.kind, MMIO, `gfn ${gfn}`)
      else if (r.kind === EMULATE && fault) {
        expectEqual(access.write, true, "emulation of a store")
        expectEqual(this.world.method === "kvm" && this.world.kvm.tables[gfn]! > 0, true, "emulation for a table")
      } else expectEqual(r.kind, FIXED, `gfn ${gfn}`)
      this.expectFlags(now.translation, access.write)
    }
  }

  /** ACCESSED, DIRTY: what a processor would have set. */
  private expectFlags(t: Translation, write: boolean): void {
    t.path.forEach((gpa, i) => {
      const wanted = write && i === t.path.length - 1 ? 0x60n : 0x20n
      expectEqual(this.world.read64(gpa)! & wanted, wanted, `flags of the entry at ${gpa.toString(16)}`)
    })
  }

  /** One access by the processor; the guest frame, or why not. */
  private access(vcpu: number, i: number, how: 0 | 1 | 2, user: boolean): number | "fault" | "emulate" {
    const { world } = this
    const p = this.processors[vcpu]!
    const vpn = this.vpns[i]!
    const access = this.kinds(how, user)
    const cpu = world.mmu.vcpus[vcpu]!
    const hw = this.enter(vcpu, user)
    let hfn = hw.access(vpn, access.write, access.fetch)
    if (hfn < 0) {
      const before = this.walk(p, vpn, access)
      const r = cpu.pageFault(vpn, 0x123, -1 - hfn, user)
      this.compare(r, before, access, true)
      if (r.kind === EMULATE) return "emulate"
      if (r.kind !== FIXED) return "fault"
      // PROGRESS
      this.enter(vcpu, user)
      hfn = hw.access(vpn, access.write, access.fetch)
      expectEqual(hfn >= 0, true, "a fixed access succeeds")
    }
    const gfn = hfnToGfn.get(hfn)
    if (gfn === undefined) throw new Error(`the guest reached host frame ${hfn}`)
    this.expectPromised(vcpu, i, access, gfn)
    return gfn
  }

  /** An access that arrived at guest frame `gfn`: a translation since the last flush says so, and allows it. */
  private expectPromised(vcpu: number, i: number, access: Access, gfn: number): void {
    const p = this.processors[vcpu]!
    const vpn = this.vpns[i]!
    // In one view at ring 3 nothing keeps the user from what is the kernel's.
    const { views, supervisor } = this.options
    const asUser = access.user && !(views === 1 && supervisor !== true)
    const seen = p.seen[(asUser ? 1 : 0) * this.vpns.length + i]!
    const allowed = [...seen.values()].filter((t) => t.gfn === gfn && permits(t, { ...access, user: asUser }))
    if (allowed.length === 0)
      throw new Error(
        `${vpn.toString(16)} is gfn ${gfn} ${JSON.stringify(access)}, not one of ${[...seen.keys()].join()}`,
      )
    const now = this.walk(p, vpn, { ...access, user: asUser })
    if (seen.size === 1 && now.kind === "ok" && now.translation.gfn === gfn) {
      // Flags that the guest has cleared since may be clear. An MMU that watches knows of none unless a table is unsync.
      if (this.world.method === "kvm" && this.world.kvm.unsyncCount === 0)
        this.expectFlags(now.translation, access.write)
    }
  }

  /** A store by the guest kernel to an entry of a pool frame, through one of the windows, if that is mapped. */
  private store(vcpu: number, op: Step["op"] & { kind: "store" }): void {
    const { world } = this
    const slot = WINDOW_SLOTS[op.window % WINDOW_SLOTS.length]!
    const vpn = slot * 2 ** 27 + op.frame
    const cpu = world.mmu.vcpus[vcpu]!
    const whole = resolve(op.frame, op.value)
    const value = op.size === 8 ? whole : whole & (2n ** BigInt(8 * op.size) - 1n)
    const lo = Number(value & 0xffffffffn)
    const hi = Number(value >> 32n)
    const hw = this.enter(vcpu, false)
    let hfn = hw.access(vpn, true, false)
    if (hfn < 0) {
      const r = cpu.pageFault(vpn, op.index * 8, -1 - hfn, false)
      if (r.kind === EMULATE && op.by === "write") {
        expectEqual(world.mmu.guestWrite(r.gpa, op.size, lo, hi), true, "guestWrite")
        this.remember()
        return
      }
      if (r.kind === EMULATE) expectEqual(cpu.openWindow(vpn, false), true, "a window after EMULATE")
      else if (r.kind !== FIXED) return
      this.enter(vcpu, false)
      hfn = hw.access(vpn, true, false)
      expectEqual(hfn >= 0, true, "a fixed store succeeds")
    }
    // Through a stale or strange mapping the store may go elsewhere; wherever it goes is the guest's own doing.
    const gfn = hfnToGfn.get(hfn)
    if (gfn === undefined) throw new Error(`the guest writes host frame ${hfn}`)
    const pa = world.hpa(gfn * 4096 + op.index * 8)
    if (op.size === 1) world.memory.write8(pa, lo)
    else world.memory.write32(pa, lo)
    if (op.size === 8) world.memory.write32(pa + 4, hi)
    cpu.closeWindow()
    this.remember()
  }
}

const expectEqual = <T>(got: T, wanted: T, what: string): void => {
  if (got !== wanted) throw new Error(`${what}: ${String(got)}, not ${String(wanted)}`)
}
