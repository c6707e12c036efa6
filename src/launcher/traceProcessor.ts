import { A, HYPERCALL_ARGUMENTS, KIND, PENDING, RECORD_KIND, RECORD_TASK, RECORD_WORDS } from "../host/trace.ts"
import type { TracedHost, TracedTask } from "./traceRun.ts"
import { type Args, type Flows, PROCESSORS, type Slice, type TraceEvent, VCPUS } from "./traceTracks.ts"

/*
 * One processor's records as slices and instants. A processor is always in one of a few states: idle, in a process of the
 * host's, in a guest, or in the host on behalf of a virtual CPU; what it does there gives that slice its name.
 */

/** SYSCALL_EVENT of src/vcpu/descriptor.ts: what left the guest was SYSCALL and no vector. */
const BY_SYSCALL = 0x100
const FIRST_INTERRUPT = 32
/** Category of what a processor does before the first record: nobody knows. */
const UNKNOWN = "unknown"

/** Mnemonics of exceptions (SDM vol. 3, table 6-1). */
const MNEMONICS: ReadonlyArray<string> =
  "#DE #DB NMI #BP #OF #BR #UD #NM #DF CSO #TS #NP #SS #GP #PF 15 #MF #AC #MC #XM #VE #CP".split(" ")

const vectorName = (vector: number): string =>
  vector >= FIRST_INTERRUPT ? `interrupt ${vector}` : `exception ${MNEMONICS[vector] ?? vector}`

export const hex = (lo: number, hi: number): string =>
  hi === 0 ? `0x${(lo >>> 0).toString(16)}` : `0x${(hi >>> 0).toString(16)}${(lo >>> 0).toString(16).padStart(8, "0")}`

/** A slice whose end has not come. */
interface Open {
  readonly start: number
  name: string
  cat: string
  readonly args: Args
  /** The task, if it is a virtual CPU's. */
  readonly vcpu: number | undefined
  /** A record that says what this is all about has been seen. */
  named: boolean
}

/** What comes of the records. */
export interface Collected {
  readonly events: TraceEvent[]
  /** Slices by virtual CPU, and by thread. */
  readonly vcpus: ReadonlyArray<Slice[]>
  readonly threads: Map<number, Slice[]>
  readonly kicks: Flows
  readonly ipis: Flows
}

export interface Names {
  readonly host: TracedHost | undefined
  readonly tasks: ReadonlyMap<number, TracedTask>
  /** Index of a virtual CPU by its task. */
  readonly vcpuOf: ReadonlyMap<number, number>
}

export class ProcessorReader {
  private readonly cpu: number
  private readonly names: Names
  private readonly into: Collected
  private words: Int32Array = new Int32Array(0)
  private at = 0
  private now: number
  private open: Open
  private driver: { readonly thread: number; readonly start: number } | undefined

  constructor(cpu: number, names: Names, into: Collected, begin = 0) {
    this.now = begin
    this.cpu = cpu
    this.names = names
    this.into = into
    this.open = names.host === undefined ? this.opened("runs", "guest", undefined) : this.opened("", UNKNOWN, undefined)
  }

  private opened(name: string, cat: string, vcpu: number | undefined, args: Args = {}): Open {
    return { start: this.now, name, cat, args, vcpu, named: false }
  }

  private word(i: number): number {
    return this.words[this.at + A + i]!
  }

  private address(i: number): string {
    return hex(this.word(i), this.word(i + 1))
  }

  private get vcpu(): number | undefined {
    return this.names.vcpuOf.get(this.words[this.at + RECORD_TASK]!)
  }

  /** Ends the open slice now; `then`: what its virtual CPU does meanwhile. */
  private close(then?: string): void {
    const { start, name, cat, args, vcpu } = this.open
    const end = Math.max(start, this.now)
    if (end === start || cat === UNKNOWN) return
    const { cpu, into } = this
    const hasArgs = Object.keys(args).length > 0
    const dur = end - start
    const onVcpu = vcpu === undefined ? args : { vcpu, ...args }
    into.events.push({
      ph: "X",
      pid: PROCESSORS,
      tid: cpu,
      ts: start,
      dur,
      name,
      cat,
      ...(hasArgs || vcpu !== undefined ? { args: onVcpu } : {}),
    })
    if (vcpu === undefined) return
    into.vcpus[vcpu]!.push({ start, end, name, cat, args: { processor: cpu, ...args }, ...(then ? { then } : {}) })
  }

  private instant(pid: number, tid: number, name: string, cat: string, args: Args): void {
    this.into.events.push({ ph: "i", pid, tid, ts: this.now, name, cat, args })
  }

  /** On the virtual CPU's track, where there is one. */
  private onVcpu(name: string, cat: string, args: Args): void {
    const { vcpu } = this
    if (vcpu !== undefined) this.instant(VCPUS, vcpu, name, cat, args)
  }

  /** What the host does now: the name of its slice if it has none, else an instant in it. */
  private tell(name: string, cat: string, args: Args): void {
    const { open } = this
    if (open.cat === "host" && !open.named) {
      open.name = name
      Object.assign(open.args, args)
      open.named = true
    } else this.onVcpu(name, cat, args)
  }

  private drivenBy(thread: number | undefined): void {
    const { driver, now, cpu } = this
    if (driver !== undefined && now > driver.start) {
      const { threads } = this.into
      const slice: Slice = { start: driver.start, end: now, name: `processor ${cpu}`, cat: "thread" }
      const list = threads.get(driver.thread)
      if (list === undefined) threads.set(driver.thread, [slice])
      else list.push(slice)
    }
    this.driver = thread === undefined ? undefined : { thread, start: now }
  }

  /** All records of this processor, then its end. */
  read(words: Int32Array, times: Float64Array, records: number, end: number): void {
    this.words = words
    for (let i = 0; i < records; i++) {
      this.at = i * RECORD_WORDS
      this.now = times[this.at >>> 1]!
      if (this.now > end) break
      this.record(words[this.at + RECORD_KIND]!)
    }
    this.now = Math.max(this.now, end)
    this.close()
    this.drivenBy(undefined)
  }

  private record(kind: number): void {
    switch (kind) {
      case KIND.enter:
        this.close()
        this.open = this.opened(this.viewName(), "guest", this.vcpu, { rip: this.address(2), root: this.address(4) })
        return
      case KIND.leave:
        this.leave(this.word(0))
        return
      case KIND.trap: {
        const args = { vector: this.word(0), error: this.word(1) >>> 0, rip: this.address(2) }
        // The next record may know better what it was.
        if (this.open.cat === "host" && !this.open.named) {
          this.open.name = vectorName(this.word(0))
          Object.assign(this.open.args, args)
        } else this.onVcpu(vectorName(this.word(0)), "host", args)
        return
      }
      case KIND.fault: {
        const outcome = this.names.host?.faultOutcomes[this.word(0)] ?? String(this.word(0))
        this.tell("page fault", "mmu", { address: this.address(2), error: this.word(1) >>> 0, outcome })
        return
      }
      case KIND.hypercall:
        this.hypercall()
        return
      case KIND.systemCall:
        this.tell(`system call ${this.word(0)}`, "host", { from: this.address(2) })
        return
      case KIND.inject:
        this.inject()
        return
      case KIND.pending:
        this.pending(PENDING[this.word(0)])
        return
      case KIND.interrupt:
        this.interrupt(this.word(0), this.word(1))
        return
      case KIND.switch:
        this.switch(this.word(0), this.word(1), this.word(2) !== 0)
        return
      case KIND.kick:
        this.instant(PROCESSORS, this.cpu, `kick processor ${this.word(0)}`, "ipi", {})
        this.into.kicks.send(this.word(0), this.word(1), { pid: PROCESSORS, tid: this.cpu, ts: this.now })
        return
      case KIND.ipi: {
        const { vcpu } = this
        if (vcpu === undefined) return
        const to = this.names.vcpuOf.get(this.word(0))
        this.onVcpu(`IPI to vcpu ${to}`, "ipi", {})
        this.into.ipis.send(this.word(0), this.word(1), { pid: VCPUS, tid: vcpu, ts: this.now })
        return
      }
      case KIND.shootDown: {
        const [processors, wait] = [this.word(0), this.word(1)]
        const name = processors === 0 ? "TLB flush" : "TLB shootdown"
        this.instant(PROCESSORS, this.cpu, name, "mmu", { processors, ...(wait < 0 ? {} : { waitNs: wait }) })
        return
      }
      case KIND.hostSystemCall:
        this.instant(PROCESSORS, this.cpu, `host system call ${this.word(0)}`, "process", {})
        return
      case KIND.drive:
        if (this.driver?.thread !== this.word(0)) this.drivenBy(this.word(0))
        return
      case KIND.release:
        this.drivenBy(undefined)
        return
      case KIND.delivered:
        this.instant(PROCESSORS, this.cpu, vectorName(this.word(0)), "interrupt", {
          vector: this.word(0),
          error: this.word(1) >>> 0,
          rip: this.address(2),
        })
        return
      case KIND.gap:
        this.close()
        this.open =
          this.word(0) === 1 && this.names.host === undefined
            ? this.opened("runs", "guest", undefined)
            : this.opened("", UNKNOWN, undefined)
        return
      case KIND.idle:
        this.close()
        this.open = this.opened("idle", "idle", undefined)
        this.now += (this.word(3) >>> 0) * 2 ** 32 + (this.word(2) >>> 0)
        this.close()
        this.open = this.opened("runs", "guest", undefined)
    }
  }

  private viewName(): string {
    return this.names.host?.views[this.word(0)] ?? "guest"
  }

  private leave(vector: number): void {
    const name = vector === BY_SYSCALL ? "SYSCALL" : vectorName(vector)
    // An interrupt's handler has been there before us.
    if (this.open.cat !== "guest" && this.open.cat !== UNKNOWN) return
    this.open.args.leave = name
    this.close()
    this.open = this.opened(name, "host", this.vcpu)
  }

  private interrupt(vector: number, kicks: number): void {
    const { cpu, open, into } = this
    if (kicks >= 0) into.kicks.take(cpu, kicks, { pid: PROCESSORS, tid: cpu, ts: this.now })
    if (open.cat !== "guest") {
      this.instant(PROCESSORS, cpu, vectorName(vector), "interrupt", { vector })
      return
    }
    open.args.leave = vectorName(vector)
    this.close()
    this.open = this.opened(vectorName(vector), "host", this.vcpu, { vector })
    this.open.named = true
  }

  private hypercall(): void {
    const number = this.word(0)
    const asynchronous = this.word(1) !== 0
    const given = Array.from({ length: HYPERCALL_ARGUMENTS }, (_, i) => this.address(4 + 2 * i))
    const name = `hypercall ${this.names.host?.hypercallNames[number] ?? number}`
    if (asynchronous) this.onVcpu(name, "host", { arguments: given, asynchronous })
    else this.tell(name, "host", { arguments: given })
  }

  private inject(): void {
    const { vcpu, now } = this
    const pid = this.words[this.at + RECORD_TASK]!
    this.onVcpu(`inject irq ${this.word(0)}`, "interrupt", { irq: this.word(0), rip: this.address(2) })
    if (vcpu !== undefined && this.word(0) === this.names.host?.ipiIrq)
      this.into.ipis.take(pid, this.word(1), { pid: VCPUS, tid: vcpu, ts: now })
  }

  private pending(kind: (typeof PENDING)[number] | undefined): void {
    if (kind !== "io") {
      this.onVcpu(kind ?? "?", "host", {})
      return
    }
    const { open } = this
    const port = this.word(2) === 0 && this.word(3) === 0
    // What was a page fault until now.
    if (open.cat === "host") open.name = port ? "port access" : "device access"
    if (!port) open.args.address = this.address(2)
  }

  private switch(from: number, to: number, runnable: boolean): void {
    const { tasks, vcpuOf } = this.names
    const nameOf = (pid: number) => tasks.get(pid)?.name ?? `task ${pid}`
    this.close(runnable ? "waits for a processor" : "asleep")
    this.instant(PROCESSORS, this.cpu, "switch", "sched", { from: nameOf(from), to: nameOf(to) })
    const vcpu = vcpuOf.get(to)
    const kind = tasks.get(to)?.kind
    if (kind === "idle") this.open = this.opened("idle", "idle", undefined)
    else if (vcpu === undefined) this.open = this.opened(`process ${nameOf(to)}`, "process", undefined)
    else {
      this.open = this.opened("switched to", "host", vcpu)
      this.open.named = true
    }
  }
}
