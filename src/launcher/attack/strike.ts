import { ATT_NMI, CR3 } from "../../machine/core/state.ts"
import type { Strike } from "./registry.ts"
import type { Verdict } from "./verdict.ts"
import type { World } from "./world.ts"

/*
 * An event at each instruction that the host executes on the way out of a guest and back. First the boundaries are listed, by going
 * through some laps one instruction at a time; then each of them is gone to, struck once, and the guest has to go on as if nothing
 * had happened.
 */

/** Instructions before the guest does the same again and again, and within which several laps are over. */
const WARM_UP = 60_000
const LAPS = 6_000
/** Within which all is as before. */
const SETTLE = 4_000
/** No boundary is further away. */
const SEARCH = 400_000

const RING_0 = 0

export const strikeEverywhere = (world: World, strike: Strike): Verdict => {
  const { kernel } = world.hosted
  const { processor } = kernel.cpus[0]!
  const run = (instructions: number) => world.run(kernel.now + instructions)
  /** The boundary that the processor is at: where, and on which tables. */
  const boundary = () => (processor.cpl === RING_0 ? `${processor.rip.toString(16)} ${processor.long(CR3)}` : undefined)
  const broken = (what: string): Verdict => ({ kind: "breached", gains: [what] })

  run(WARM_UP)
  if (world.laps() === 0) return broken("the process did not come around even once")
  const open = new Set<string>()
  for (let i = 0; i < LAPS; i++) {
    const at = boundary()
    if (at !== undefined) open.add(at)
    run(1)
  }
  const all = open.size
  for (let i = 0; open.size > 0 && i < SEARCH; i++) {
    const at = boundary()
    if (at === undefined || !open.delete(at)) {
      run(1)
      continue
    }
    if (strike === "nmi") processor.attend(ATT_NMI)
    else kernel.cpus[0]!.clock.kick()
    const before = world.laps()
    const pending = run(SETTLE)
    if (pending.kind === "killed")
      return broken(`an event at 0x${at.split(" ")[0]} killed the guest: ${pending.death.cause}`)
    if (pending.kind !== "slice" || world.laps() === before)
      return broken(`an event at 0x${at.split(" ")[0]} stopped the guest`)
  }
  return { kind: "withstood", note: `struck at ${all - open.size} of ${all} instructions` }
}
