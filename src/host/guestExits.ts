import { DEBUG_LEFT, EXIT_BUDGET, EXIT_DEBUG, EXIT_GATE } from "../machine/core/state.ts"
import { waitWhile } from "../machine/shared.ts"
import type { CpuTable, HostCpu } from "./cpus.ts"
import type { Scheduler } from "./scheduler.ts"

/*
 * Which processors may be inside a guest, and how they are got out: a shootdown. What a guest's shadow tables allowed until
 * now a processor inside may still have in its TLB; so it is interrupted, and waited for. Entering loads the root anew, hence who
 * is outside has nothing stale.
 */

/** How often a thread looks whether a processor has left its guest before it sleeps: some 20 us. */
const EXIT_SPINS = 1000
/** Instructions within which an interrupt takes a processor out of a guest. */
const STEP_OUT = 1000

export class GuestExits {
  private readonly table: CpuTable
  private readonly cpus: ReadonlyArray<HostCpu>
  private readonly scheduler: Scheduler
  /** Of the processors during a shootdown: how often they had left a guest before, and whether they were in this one. */
  private readonly seenExits: Int32Array
  private readonly shot: Uint8Array

  constructor(table: CpuTable, cpus: ReadonlyArray<HostCpu>, scheduler: Scheduler) {
    this.table = table
    this.cpus = cpus
    this.scheduler = scheduler
    this.seenExits = new Int32Array(cpus.length)
    this.shot = new Uint8Array(cpus.length)
  }

  /** A processor is about to load the root of guest `guest`. */
  enter(cpu: number, guest: number): void {
    Atomics.store(this.table.inGuest, cpu, guest + 1)
  }

  /** A processor has come to a gate: it is in no guest. */
  left(cpu: number): void {
    const { inGuest, exits, watchers } = this.table
    Atomics.store(inGuest, cpu, 0)
    if (Atomics.load(watchers, cpu) === 0) return
    Atomics.add(exits, cpu, 1)
    Atomics.notify(exits, cpu)
  }

  /**
   * H:310 With several processors we owe them what every kernel owes (G:170): before a right is really gone, all TLBs
   * must have forgotten it. Somebody who is in the Guest is interrupted and waited for; somebody who is not will load
   * CR3 on the way in. All of it rests on the order in which a few words are written and read here.
   *
   * Gets every processor that runs guest `guest` out of it and waits until it is, for processor `by`, which counts.
   * Returns the simulated ns that the slowest took, -1 where that is another thread's time.
   */
  shootDown(guest: number, by: HostCpu): number {
    const { table, cpus, scheduler } = this
    let waited = 0
    // From here on whoever leaves the guest counts it; one that comes back afterwards has the new tables.
    for (let i = 0; i < cpus.length; i++) {
      Atomics.add(table.watchers, i, 1)
      this.seenExits[i] = Atomics.load(table.exits, i)
      this.shot[i] = Atomics.load(table.inGuest, i) === guest + 1 ? 1 : 0
      if (this.shot[i] === 0) continue
      by.statistics.interprocessorInterrupts++
      by.statistics.shootdowns++
      scheduler.kick(i)
    }
    for (let i = 0; i < cpus.length; i++) {
      if (this.shot[i] !== 0) {
        if (!scheduler.threaded) waited = Math.max(waited, this.stepOut(cpus[i]!))
        else this.awaitExit(i, guest + 1, this.seenExits[i]!)
      }
      Atomics.sub(table.watchers, i, 1)
    }
    return scheduler.threaded ? -1 : waited
  }

  /** How many processors the last shootdown found inside. */
  get lastShot(): number {
    return this.shot.reduce((sum, shot) => sum + shot, 0)
  }

  /** A processor that really runs leaves its guest within microseconds, sooner than a thread falls asleep and wakes up. */
  private awaitExit(cpu: number, guest: number, seen: number): void {
    const { inGuest, exits } = this.table
    const inside = () => Atomics.load(inGuest, cpu) === guest && Atomics.load(exits, cpu) === seen
    for (let i = 0; i < EXIT_SPINS; i++) if (!inside()) return
    while (inside()) waitWhile(exits, cpu, seen)
  }

  /**
   * In one thread nobody else drives the other processor: it is driven to where it has left the guest, and no further.
   * Returns the simulated ns that it took.
   */
  private stepOut({ index, processor }: HostCpu): number {
    const { inGuest, gate } = this.table
    const before = processor.now
    while (inGuest[index] !== 0) {
      const reason = processor.run(STEP_OUT)
      if (reason === EXIT_GATE) {
        gate[index] = processor.exitDetail
        inGuest[index] = 0
      } else if (reason === EXIT_DEBUG) processor.setLong(DEBUG_LEFT, processor.rip)
      else if (reason !== EXIT_BUDGET) throw new Error(`processor ${index} stopped in a guest for reason ${reason}`)
    }
    return processor.now - before
  }
}
