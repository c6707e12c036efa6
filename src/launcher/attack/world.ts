import type { Choices } from "../../design/dimensions.ts"
import type { LguestDevice, Pending } from "../../host/devLguest.ts"
import { ATT_NMI } from "../../machine/core/state.ts"
import { BOOT_PARAMS } from "../../machine/bootParams.ts"
import { designWord } from "../../modules/designWord.ts"
import type { Hosted } from "../../modules/hosted.ts"
import { Guard, type Guarded } from "./guard.ts"
import {
  ATTACK_PARAMS,
  ATTACK_REPORTS,
  ATTACKER_BYTES,
  GPA,
  KERNEL_CANARY,
  KINDS,
  MARK,
  REPORT,
  VICTIM_BYTES,
  VICTIM_SECRET,
} from "./layout.ts"
import type { HostPage, Platform } from "./platform.ts"
import { secrets } from "./random.ts"

/*
 * A host with two guests: the attacker, and a victim that does nothing but have a secret. Secrets lie in every page of the host's
 * that has an address, in a frame of its own, in the victim's memory, and in the attacker kernel's own page for attacks that its
 * processes make. What a guest reports is compared with them: nobody has to believe it.
 */

export interface WorldConfig {
  readonly core: WebAssembly.Module
  readonly platform: Platform
  readonly design: Choices
  /** Virtual CPUs of each guest, and processors. */
  readonly vcpus: number
  readonly seed: number
  readonly lateChecks: boolean
  readonly shadowLimit: number | undefined
  /** The process is the attacker: its kernel has secrets as well. */
  readonly user: boolean
}

const GENERAL_PROTECTION = 13
/** Enough for guests this small. */
const SHADOW_LIMIT = 256
const PAGE = 4096
const WORD = 8
/** Of a page's unused part, what is taken: the secret, the canary, the mark, and room around them. */
const PLACE = 64
const CANARY_BYTES = 16
const P = ATTACK_PARAMS.fields
const R = ATTACK_REPORTS.fields

/** Time within which the host's process has to come to its turn when it is woken, and how long its host is watched, ns. */
const TURN = 25_000_000
const WATCH = 250_000_000

const RING_0 = "ran code of its own at ring 0"

export class World {
  readonly hosted: Hosted
  attacker!: LguestDevice
  private readonly config: WorldConfig
  private readonly next: () => bigint
  private readonly secretFrame: number
  /** Secret -> what it is. */
  private readonly secrets = new Map<bigint, string>()
  private guard!: Guard
  /** Physical address of the word that only ring 0 can write. */
  private mark = 0
  /** The same as the host has it. */
  private markVa = 0n
  private readonly registers: ReadonlyArray<ReadonlyArray<bigint>>
  /** Length of a slice after which NMIs strike, ns; 0: none do. */
  nmiEvery = 0

  constructor(config: WorldConfig) {
    this.config = config
    const { core, platform, design, vcpus, seed, lateChecks } = config
    this.next = secrets(seed)
    this.hosted = platform.boot(core, {
      design,
      guestBytes: ATTACKER_BYTES + VICTIM_BYTES,
      startMs: 1_170_000_000_000,
      vcpus,
      processors: vcpus,
      seed,
      lateChecks,
    })
    this.hosted.device.close()
    this.hosted.open(this.base + ATTACKER_BYTES, VICTIM_BYTES, SHADOW_LIMIT)
    this.secretFrame = this.hosted.kernel.frames.alloc() * PAGE
    this.registers = this.hosted.kernel.cpus.map((_, cpu) => platform.registers(this.hosted, cpu))
  }

  /** Host-physical address of the attacker's memory. */
  get base(): number {
    return this.hosted.guestBase
  }

  private get victimSecret(): number {
    return this.base + ATTACKER_BYTES + VICTIM_SECRET
  }

  // ------------------------------------------------------------------------------------------------------- the attacker
  /** Opens the attacker's guest anew, with program `symbol`; the former one is closed. */
  begin(symbol: string, variant: number): void {
    const { hosted, base } = this
    const { platform, design, shadowLimit } = this.config
    const { ram } = hosted.machine
    const offset = platform.symbols[symbol]
    if (offset === undefined) throw new RangeError(`there is no program ${symbol}`)
    ram.fill(base, ATTACKER_BYTES, 0)
    ram.copyIn(base + GPA.IMAGE, platform.image)
    this.attacker = hosted.open(base, ATTACKER_BYTES, shadowLimit ?? SHADOW_LIMIT, design)
    const pages = platform.pages(hosted, design, this.attacker)
    const fixed = this.plant(pages)
    this.tell(variant, pages, fixed)
    const { lo, hi } = designWord(design, base / PAGE)
    ram.write64(base + GPA.BOOT_PARAMS + BOOT_PARAMS.fields.hardwareSubarchData.offset, lo, hi)
    ram.write32(base + GPA.BOOT_PARAMS + BOOT_PARAMS.fields.hardwareSubarch.offset, 1)
    this.attacker.initialize({ entry: GPA.IMAGE + offset, bootParams: GPA.BOOT_PARAMS })
  }

  /** Puts secrets everywhere, and remembers what must not change. Returns the addresses of those in the host's pages. */
  private plant(pages: ReadonlyArray<HostPage>): ReadonlyArray<bigint> {
    const { ram } = this.hosted.machine
    this.secrets.clear()
    const guarded: Guarded[] = []
    const put = (pa: number, name: string) => {
      const secret = this.next()
      this.secrets.set(secret, name)
      ram.writeBig(pa, secret)
      ram.writeBig(pa + WORD, this.next())
    }
    const addresses: bigint[] = []
    const places = new Map<number, number>()
    for (const page of pages) {
      if (page.volatile !== undefined && !places.has(page.pa))
        guarded.push({ name: page.name, pa: page.pa, bytes: PAGE, volatile: page.volatile })
      if (page.plain === true) continue
      const before = places.get(page.pa)
      const at = before ?? page.place ?? unusedPlace(ram.copyOut(page.pa, PAGE), page.name.startsWith("a stack"))
      if (at === undefined) continue
      places.set(page.pa, at)
      if (before === undefined) {
        put(page.pa + at, page.name)
        if (page.volatile === undefined)
          guarded.push({ name: page.name, pa: page.pa + at, bytes: CANARY_BYTES, volatile: [] })
      }
      addresses.push(page.va + BigInt(at))
      if (page.name === "the PDA of processor 0") {
        this.mark = page.pa + at + CANARY_BYTES
        this.markVa = page.va + BigInt(at + CANARY_BYTES)
      }
    }
    put(this.secretFrame, "a frame of the host's")
    put(this.victimSecret, "another guest's memory")
    guarded.push({ name: "a frame of the host's", pa: this.secretFrame, bytes: PAGE, volatile: [] })
    guarded.push({
      name: "another guest's memory",
      pa: this.base + ATTACKER_BYTES,
      bytes: VICTIM_BYTES,
      volatile: [],
    })
    const own = this.base + GPA.KERNEL_PAGE
    if (this.config.user) {
      put(own, "its own kernel's memory")
      ram.writeBig(own + KERNEL_CANARY, this.next())
      guarded.push({ name: "its own kernel's memory", pa: own, bytes: PAGE, volatile: [] })
    }
    this.guard = new Guard(ram, guarded)
    return addresses
  }

  /** Writes down for the attacker what he may know. */
  private tell(variant: number, pages: ReadonlyArray<HostPage>, fixed: ReadonlyArray<bigint>): void {
    const { hosted, base } = this
    const { platform, design } = this.config
    const { ram } = hosted.machine
    const known = platform.known(hosted, design, this.attacker, pages)
    const direct = known.direct ?? 0n
    const all: Readonly<Record<string, bigint>> = {
      ...known,
      variant: BigInt(variant),
      secretPa: BigInt(this.secretFrame),
      secretVa: direct + BigInt(this.secretFrame),
      victimPa: BigInt(this.victimSecret),
      victimVa: direct + BigInt(this.victimSecret),
      base: BigInt(base),
      bytes: BigInt(ATTACKER_BYTES),
      mark: this.markVa,
      fixedCount: BigInt(Math.min(fixed.length, P.fixed.count)),
    }
    const put = (offset: number, value: bigint) => ram.writeBig(base + GPA.PARAMS + offset, BigInt.asUintN(64, value))
    for (const [name, value] of Object.entries(all)) put(P[name as keyof typeof P].offset, value)
    fixed.slice(0, P.fixed.count).forEach((va, i) => put(P.fixed.offset + WORD * i, va))
  }

  // ------------------------------------------------------------------------------------------------------------ running
  /** Runs until the guest is over, sleeps for ever, or simulated time `limit`. */
  run(limit: number): Pending {
    const { kernel } = this.hosted
    for (;;) {
      const slice = this.nmiEvery === 0 ? limit : Math.min(limit, kernel.time + this.nmiEvery)
      const pending = this.attacker.read(slice)
      switch (pending.kind) {
        case "start":
          break
        case "io":
          // There are no devices here: neither ports nor anything above memory.
          this.attacker.trap(GENERAL_PROTECTION, 0)
          break
        case "idle": {
          const until = Math.min(pending.until, limit)
          if (until === Infinity || pending.until > limit) return { kind: "idle", until: pending.until }
          kernel.skip(until)
          break
        }
        case "slice":
          if (kernel.time >= limit) return pending
          for (const { processor } of kernel.cpus) processor.attend(ATT_NMI)
          break
        default:
          return pending
      }
      if (kernel.time >= limit) return { kind: "slice" }
    }
  }

  /** How often the process has come around (doors). */
  laps(): number {
    return this.hosted.machine.ram.read32(this.base + GPA.LAPS)
  }

  /** What the attacker has gained so far, a line for each thing. */
  gains(through: Readonly<Record<number, string>> = {}): ReadonlyArray<string> {
    const { ram } = this.hosted.machine
    const { platform, design } = this.config
    const found = new Set<string>()
    const at = this.base + GPA.REPORTS
    const end = Math.min(ram.read32(at + R.next.offset), REPORT.size * R.reports.count)
    for (let r = 0; r + REPORT.size <= end; r += REPORT.size) {
      const report = at + R.reports.offset + r
      const kind = ram.read32(report + REPORT.fields.kind.offset)
      const address = ram.readBig(report + REPORT.fields.address.offset)
      const value = ram.readBig(report + REPORT.fields.value.offset)
      const secret = this.secrets.get(value)
      const hex = (n: bigint) => `0x${n.toString(16)}`
      if (secret !== undefined) found.add(`read ${secret}`)
      else if (kind === KINDS.READ && address === 0n && platform.isHostAddress(this.hosted, design, value))
        found.add(`saw an address of the host's in a register: ${hex(value)}`)
      else if (kind === KINDS.THROUGH)
        found.add(through[Number(address)] ?? `what must fail did not: number ${address}, with ${hex(value)}`)
      else if (kind === KINDS.FLAGS && (value & 0x3000n) !== 0n) found.add(`has IOPL 3: EFLAGS ${hex(value)}`)
      else if (kind === KINDS.FLAGS && (value & 0x200n) === 0n) found.add(`keeps interrupts off: EFLAGS ${hex(value)}`)
      else if (kind === KINDS.SELECTOR && (value & 3n) === 0n) found.add(RING_0)
    }
    if (this.mark !== 0 && ram.read32(this.mark) === MARK) found.add(RING_0)
    // Code at ring 0 is told first, and what it has written is its doing.
    for (const line of this.guard.changes()) found.add(line)
    return [...found].sort((a, b) => Number(b === RING_0) - Number(a === RING_0))
  }

  // ----------------------------------------------------------------------------------------------------------- liveness
  private get calls(): number {
    return this.hosted.kernel.cpus.reduce((sum, { statistics }) => sum + statistics.hostSystemCalls, 0)
  }

  /** While the guest goes on: the host's process is woken, and has to get a processor. */
  isServed(): boolean {
    const { kernel } = this.hosted
    const process = kernel.tasks.list().find((task) => task.kind === "process")
    if (process === undefined) return false
    const before = this.calls
    kernel.wake(process)
    const end = kernel.time + TURN
    while (kernel.time < end && this.calls === before) {
      const pending = this.run(Math.min(end, kernel.time + 1_000_000))
      // Whose guest is over meanwhile keeps nobody from anything.
      if (pending.kind === "killed" || pending.kind === "shutdown") return true
      if (pending.kind !== "slice") break
    }
    return this.calls > before
  }

  /** Closes the attacker. */
  end(): void {
    this.attacker.close()
  }

  /** Without the guest: what is wrong with the host, if anything. */
  health(): ReadonlyArray<string> {
    const { kernel } = this.hosted
    const before = this.calls
    const end = kernel.time + WATCH
    while (kernel.time < end)
      if (kernel.drive(end) === "idle") kernel.skip(Math.max(kernel.time + 1, Math.min(end, kernel.nextEvent())))
    const lines: string[] = []
    if (this.calls < before + 2) lines.push("stopped the host's own process")
    const { platform } = this.config
    kernel.cpus.forEach((_, cpu) => {
      const now = platform.registers(this.hosted, cpu)
      if (now.some((value, i) => value !== this.registers[cpu]![i])) lines.push(`changed registers of processor ${cpu}`)
    })
    return lines
  }
}

/** Offset of the largest unused part of a page, if it is large enough; a stack's is at its far end. */
const unusedPlace = (page: Uint8Array, stack: boolean): number | undefined => {
  if (stack) return 0
  let best = 0
  let length = 0
  for (let at = 0, from = 0; at <= PAGE; at++) {
    if (at < PAGE && page[at] === 0) continue
    if (at - from > length) {
      best = from
      length = at - from
    }
    from = at + 1
  }
  if (length < 2 * PLACE) return undefined
  return (best + (length >>> 1)) & ~(WORD - 1)
}
