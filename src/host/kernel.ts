import { EXIT_BUDGET, EXIT_DEBUG, EXIT_GATE, EXIT_HALT, EXIT_SHUTDOWN } from "../machine/core/state.ts"
import type { Machine } from "../machine/machine.ts"
import type { Processor } from "../machine/processor.ts"
import type { Ram } from "../machine/ram.ts"
import { BadState, type State } from "../machine/snapshot.ts"
import { Mutex, type SharedHeap } from "../machine/shared.ts"
import { CpuTable, type HostClock, HostCpu } from "./cpus.ts"
import type { EventLog } from "./eventLog.ts"
import type { FrameAllocator } from "./frames.ts"
import type { GateTable } from "./gates.ts"
import { GuestExits } from "./guestExits.ts"
import { Interleaver } from "./interleaver.ts"
import { Pause } from "./pause.ts"
import { Scheduler } from "./scheduler.ts"
import type { HostStatistics } from "./statistics.ts"
import { NONE, type Task, type TaskKind, TaskTable, type VcpuRunner } from "./task.ts"
import { HostTrace, type TraceBuffers } from "./trace.ts"

/*
 * H:010 Part 5, Host: the kernel below the kernel. It owns the machine; to it a Guest is a task with odd habits. We
 * look at the Host itself first (up to H:080), then at what the module makes of an event (to H:190), and then go down
 * into the page tables, where the light is poor.
 *
 * What the hosts of both architectures have in common: time, and the loop that drives a processor from gate to gate.
 * Each thread has such an object; what it remembers beyond one call is shared (cpus.ts, task.ts, scheduler.ts).
 */

/** The host itself broke: a defect of ours, never a guest's doing. */
export class HostPanic extends Error {
  override readonly name = "HostPanic"
}

/**
 * Why driving came to an end. `handed`: the processor is another thread's now. `debug`: whoever debugs looks at the processor
 * himself.
 */
export type Driven = "asked" | "idle" | "slice" | "handed" | "debug"

/** Time within which a task that has nothing to do gives up the processor. */
const SWITCH_AWAY = 1000

/** Milliseconds for which a thread that only waits leaves its core to others. */
const BREATH_MS = 0.1

/** Length of the scheduler's tick: 100 Hz. */
export const TICK = 10_000_000

export interface KernelParts {
  readonly machine: Machine
  readonly heap: SharedHeap
  readonly frames: FrameAllocator
  readonly gates: GateTable
  /** One for each processor. */
  readonly clocks: ReadonlyArray<HostClock>
  readonly log: EventLog
  /** Where `--trace` remembers what happens; undefined: it is not asked for. */
  readonly trace?: TraceBuffers | undefined
  /** Sets the flag that the assembly on a processor tests on its way out: another task should run. */
  readonly requestReschedule: (cpu: number) => void
  /** Seed of the turns that processors take in one thread. */
  readonly seed: number
}

export class HostKernel {
  readonly machine: Machine
  readonly ram: Ram
  readonly frames: FrameAllocator
  readonly gates: GateTable
  readonly log: EventLog
  readonly trace: HostTrace
  /** Somebody wants to know what happens: the log or the trace. The one test that events pay for when nobody does. */
  readonly observed: boolean
  readonly cpus: ReadonlyArray<HostCpu>
  readonly cpuTable: CpuTable
  readonly tasks: TaskTable
  readonly scheduler: Scheduler
  private readonly interleaver: Interleaver
  private readonly requestReschedule: (cpu: number) => void
  private readonly runners = new Map<number, VcpuRunner>()
  /** [0]: the latest time that any processor has seen. Aligned 8-byte stores are whole on every machine that we run on. */
  private readonly clock: Float64Array
  private readonly clockLock: Mutex
  readonly pauses: Pause
  /** The processor whose gate is being served, or that was driven last. */
  cpu: HostCpu
  /** Set by whoever wants `drive` to return to the launcher after the current gate. */
  asked = false
  /** Threads that the computer runs at once; for hosts whose tasks have threads. */
  cores = Infinity
  /** What no thread ever changes. */
  private readonly nothing = new Int32Array(new SharedArrayBuffer(4))
  private switched = false
  private readonly exits: GuestExits
  /** A gate is being served, on `cpu`. */
  serving = false

  constructor(parts: KernelParts) {
    const { machine, heap } = parts
    this.machine = machine
    this.ram = machine.ram
    this.frames = parts.frames
    this.gates = parts.gates
    this.log = parts.log
    this.trace = new HostTrace(this, parts.clocks.length, parts.trace)
    this.observed = parts.log.any || this.trace.on
    this.requestReschedule = parts.requestReschedule
    this.cpus = parts.clocks.map((clock, i) => new HostCpu(machine, heap, i, clock))
    this.cpu = this.cpus[0]!
    this.cpuTable = new CpuTable(heap, this.cpus.length)
    this.tasks = new TaskTable(heap)
    this.scheduler = new Scheduler(heap, this.tasks, this.cpuTable, this.cpus, parts.requestReschedule, this.trace)
    this.interleaver = new Interleaver(heap, this.cpus, parts.seed)
    this.clock = heap.f64(1)
    this.clockLock = new Mutex(heap)
    this.exits = new GuestExits(this.cpuTable, this.cpus, this.scheduler)
    this.pauses = new Pause(heap)
  }

  get processor(): Processor {
    return this.cpu.processor
  }

  get statistics(): HostStatistics {
    return this.cpu.statistics
  }

  /** Simulated time on the processor that is being served, ns. */
  get now(): number {
    return this.cpu.processor.now
  }

  /** Simulated time of the processor that is furthest, ns. */
  get time(): number {
    let time = this.clock[0]!
    if (!this.scheduler.threaded) for (const cpu of this.cpus) time = Math.max(time, cpu.processor.now)
    return time
  }

  /** The task that runs on the processor that is being served. */
  get current(): Task {
    return this.tasks.of(this.currentPid)
  }

  get currentPid(): number {
    return this.cpuTable.current[this.cpu.index]!
  }

  // ------------------------------------------------------------------------------------------------------------ tasks
  /** The processor that a task is current on, if it is on one. */
  processorOf(task: Task): Processor | undefined {
    const cpu = this.tasks.onCpu[task.pid]!
    return cpu !== NONE && this.cpuTable.current[cpu] === task.pid ? this.cpus[cpu]!.processor : undefined
  }

  /** A task that does not run yet. */
  addTask(kind: TaskKind, name: string, pa: number): Task {
    return this.tasks.add(kind, name, pa)
  }

  /** A processor's idle task, with which it begins. */
  startProcessor(cpu: number, idle: Task): void {
    this.cpuTable.idle[cpu] = this.cpuTable.current[cpu] = idle.pid
    this.tasks.onCpu[idle.pid] = cpu
    idle.runnable = true
  }

  /** What the module does for a virtual CPU's task; each thread says it for itself. */
  setRunner(task: Task, runner: VcpuRunner): void {
    this.runners.set(task.pid, runner)
  }

  /** The module's functions for the virtual CPU whose task is current. */
  get runner(): VcpuRunner {
    return this.runners.get(this.cpuTable.current[this.cpu.index]!)!
  }

  wake(task: Task): void {
    this.scheduler.wake(task.pid)
  }

  /** A task has something new to look at: it wakes up, or what it does elsewhere is interrupted. */
  notify(task: Task): void {
    if (!task.runnable) this.scheduler.wake(task.pid)
    else if (!this.serving || task !== this.current) this.scheduler.kickTask(task.pid)
  }

  /** The current task sleeps from the end of its gate on. */
  sleepCurrent(): void {
    this.current.runnable = false
    this.needResched()
  }

  needResched(): void {
    this.requestReschedule(this.cpu.index)
  }

  /**
   * The current task only waits for another: whoever wants its processor has it from the end of the gate on. If nobody does, the
   * other one may be on a processor whose thread waits for one of the computer's cores, so this thread leaves it its own.
   */
  yieldCurrent(): void {
    const { scheduler } = this
    if (scheduler.contended(this.cpu.index)) this.needResched()
    else if (scheduler.threaded && scheduler.driving > this.cores) Atomics.wait(this.nothing, 0, 0, BREATH_MS)
  }

  /** What a gate does takes long: behind it the launcher has a turn, if it is in the same thread, so that nobody can keep it waiting. */
  giveWay(): void {
    if (!this.scheduler.threaded) this.asked = true
  }

  /** The current task is over: it runs to the end of its gate and never again. */
  endCurrent(): void {
    this.tasks.free(this.current.pid)
    this.needResched()
  }

  /** A task that is on no processor is forgotten. */
  remove(task: Task): void {
    if (this.tasks.onCpu[task.pid] !== NONE) throw new HostPanic(`${task.name} is released while it runs`)
    this.runners.delete(task.pid)
    this.tasks.free(task.pid)
  }

  /** Decides which task runs next on this processor, and makes it the current one; undefined: the one that runs. */
  pickNext(): Task | undefined {
    const before = this.currentPid
    const next = this.scheduler.pickNext(this.cpu.index)
    if (next === NONE) return undefined
    if (this.observed && this.trace.on) this.trace.switch(before, next, this.tasks.isRunnable(before))
    this.switched = true
    this.statistics.contextSwitches++
    this.rearm()
    return this.tasks.of(next)
  }

  /** The task that was switched away from is off this processor. */
  finishSwitch(): void {
    this.scheduler.finishSwitch(this.cpu.index)
  }

  /**
   * Lets a task that has nothing more to do leave its processor: it may be the current one, inside a gate, and must be
   * elsewhere before its stack goes. For hosts in one thread.
   */
  switchAwayFrom(task: Task): void {
    while (this.tasks.onCpu[task.pid] !== NONE) {
      const cpu = this.cpus[this.tasks.onCpu[task.pid]!]!
      this.requestReschedule(cpu.index)
      cpu.clock.kick() // it may be in its guest, for as long as nothing interrupts it
      this.drive(this.time + SWITCH_AWAY)
    }
  }

  // ------------------------------------------------------------------------------------------------------------- time
  /** Sets a task's timer; its runner hears of it, or (a process) it wakes. Infinity: no timer. */
  setTimer(task: Task, at: number): void {
    this.scheduler.setTimer(task.pid, at, this.cpu.index)
    this.rearm()
  }

  /** The hardware timer follows the first of the timers; an idle processor has no tick. */
  rearm(): void {
    const { cpuTable: table, cpu } = this
    const { index } = cpu
    const now = this.now
    if (table.current[index] === table.idle[index]) table.tickAt[index] = Infinity
    else if (table.tickAt[index] === Infinity) table.tickAt[index] = now + TICK
    const next = Math.min(table.tickAt[index]!, this.scheduler.nextTimer(index))
    if (next === table.armedFor[index]) return
    table.armedFor[index] = next
    cpu.clock.arm(next, now)
  }

  /** The timer interrupt's handler. */
  timerInterrupt(): void {
    const { cpuTable: table, scheduler, cpu } = this
    const { index } = cpu
    const now = this.now
    table.armedFor[index] = Infinity
    if (table.tickAt[index]! <= now) {
      if (scheduler.contended(index)) this.needResched()
      table.tickAt[index] = now + TICK
    }
    for (let pid = scheduler.takeDue(index, now); pid !== NONE; pid = scheduler.takeDue(index, now)) {
      const runner = this.runners.get(pid)
      if (runner === undefined) scheduler.wake(pid)
      else runner.timer()
    }
    this.rearm()
  }

  /** When the first of the processors' timers has something to do. */
  nextEvent(): number {
    let first = Infinity
    for (const { clock, processor } of this.cpus) first = Math.min(first, clock.nextEvent(processor.now))
    return first
  }

  /** Idle time passes until `until` on all processors that have nothing to do. For hosts in one thread. */
  skip(until: number): void {
    for (const { processor } of this.cpus) processor.skip(Math.max(0, Math.ceil(until - processor.now)))
  }

  // -------------------------------------------------------------------------------------------------------- guests
  /** The processor that is being served is about to enter guest `guest`. */
  enterGuest(guest: number): void {
    this.exits.enter(this.cpu.index, guest)
  }

  /**
   * Gets every processor that runs guest `guest` out of it and waits until it is: what its shadow tables allowed before,
   * nobody can do any more. The next entry loads the root anew.
   */
  shootDown(guest: number): void {
    const waited = this.exits.shootDown(guest, this.cpu)
    if (this.observed && this.trace.on) this.trace.shootDown(this.exits.lastShot, waited)
  }

  // -------------------------------------------------------------------------------------------------------- driving
  /**
   * Runs the processors, in one thread, until somebody asks for the launcher, all are idle, or `limit` (simulated time) is
   * reached.
   */
  drive(limit: number): Driven {
    if (this.cpus.length === 1) return this.driveProcessor(this.cpus[0]!, limit)
    return this.interleaver.drive(limit, (cpu, until) => this.driveProcessor(cpu, until))
  }

  /**
   * H:050 This loop is the Host's heartbeat: let the processor run; it comes back because it has reached a gate,
   * because it sleeps, or because its time is up; serve the gate; again. Where a C kernel would have a call
   * instruction, we have this.
   *
   * Runs one processor. Instructions are exact: it stops at the limit itself, except that a gate's work is done first.
   */
  driveProcessor(cpu: HostCpu, limit: number): Driven {
    const { processor, clock } = cpu
    const { gate, inGuest } = this.cpuTable
    this.cpu = cpu
    this.asked = false
    const traced = this.trace.on && this.scheduler.threaded
    if (traced) this.trace.drives(this.cpuTable.executor[cpu.index]!)
    for (;;) {
      let at = gate[cpu.index]!
      if (at === NONE) {
        const now = processor.now
        if (now >= limit) return "slice"
        clock.advance(now)
        const reason = processor.run(Math.max(1, Math.min(limit, clock.nextEvent(now)) - now))
        if (reason === EXIT_BUDGET) continue
        if (reason === EXIT_HALT) {
          if (traced) this.trace.releases()
          return "idle"
        }
        if (reason === EXIT_DEBUG) return "debug"
        if (reason !== EXIT_GATE) throw this.panic(processor, reason)
        at = processor.exitDetail
        if (inGuest[cpu.index] !== 0) this.exits.left(cpu.index)
      } else gate[cpu.index] = NONE
      this.serving = true
      this.gates.dispatch(at)
      this.serving = false
      if (this.switched) {
        this.switched = false
        if (traced && this.scheduler.isOthers(cpu.index)) this.trace.releases()
        if (this.scheduler.threaded && this.scheduler.handOver(cpu.index)) return "handed"
      }
      if (this.asked) return "asked"
    }
  }

  private panic(processor: Processor, reason: number): HostPanic {
    const at = `0x${processor.rip.toString(16)}`
    return reason === EXIT_SHUTDOWN
      ? new HostPanic(`the host's processor shut down at ${at}`)
      : new HostPanic(`the processor stopped for reason ${reason} at ${at}`)
  }

  /** All but the processor served last is shared, and between two drives no gate is being served. */
  save(): State {
    return this.cpu.index
  }

  restore(state: State): void {
    const cpu = typeof state === "number" ? this.cpus[state] : undefined
    if (cpu === undefined) throw new BadState("the host has no such processor")
    this.cpu = cpu
  }

  /** A thread's processor catches up with the latest time, or sets it. */
  synchronize(cpu: HostCpu): void {
    const { processor } = cpu
    const now = processor.now
    const latest = this.advanceClock(now)
    if (now < latest) processor.skip(Math.ceil(latest - now))
  }

  /** The latest time is `at` or later; what it is. It never goes back, whoever else sets it meanwhile. */
  private advanceClock(at: number): number {
    this.clockLock.lock()
    const latest = Math.max(this.clock[0]!, at)
    this.clock[0] = latest
    this.clockLock.unlock()
    return latest
  }

  // -------------------------------------------------------------------------------------------------------- pausing
  /** Asks all threads to pause (pause.ts); they have when `paused`. */
  pause(): void {
    this.pauses.ask()
    for (const { clock } of this.cpus) clock.kick()
  }

  /** Whether every thread that drives a processor waits. */
  get paused(): boolean {
    return this.pauses.waiting === this.scheduler.driving
  }

  /** Idle time passes until `until`, for hosts whose tasks have threads: whose timers are due get their processors. */
  passTime(until: number): void {
    this.scheduler.wakeDue(this.advanceClock(until))
  }
}
