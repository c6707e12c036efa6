import type { Arch, Choices } from "../../design/dimensions.ts"
import type { Pending } from "../../host/devLguest.ts"
import { makeRoom } from "../garbage.ts"
import { STATUS_FORGED } from "./layout.ts"
import type { Platform } from "./platform.ts"
import { platform32 } from "./platform32.ts"
import { platform64 } from "./platform64.ts"
import type { Attack } from "./registry.ts"
import { strikeEverywhere } from "./strike.ts"
import type { Verdict } from "./verdict.ts"
import { World } from "./world.ts"

/*
 * One attack on one design. Guests of all variants come and go on one host, as long as nothing is gained: then that host is not to be
 * trusted any more, and the attack is over.
 */

export interface RunAttackOptions {
  /** Of the secrets, and of the turns of several processors; default 0. */
  readonly seed?: number
  /** What is done to the host once the attacker's guest is there, before it runs: for tests of what is found out. */
  readonly prepare?: (world: World) => void
}

/** Simulated time that a run has, ns. */
const LIMIT = 3_000_000
/** Between two NMIs, ns: a prime, so that they come everywhere. */
const NMI_EVERY = 131
/** Ends of attacks whose process found its registers changed. */
const STATUS_WRONG = 99
/** And of those who had an exception that they did not expect. */
const STATUS_EXCEPTION = 200

const PLATFORMS: Record<Arch, Platform> = { x86_64: platform64, i386: platform32 }

const lines = (error: unknown): string => (error instanceof Error ? `${error.name}: ${error.message}` : String(error))
const panic = (error: unknown): Verdict => ({ kind: "breached", gains: [`the host broke (${lines(error)})`] })
const breached = (gains: ReadonlyArray<string>): Verdict => ({ kind: "breached", gains })

/** What the end of a run says by itself. */
const ending = (pending: Pending): Verdict => {
  if (pending.kind === "killed") return { kind: "killed", reason: pending.death.cause }
  if (pending.kind !== "shutdown") return { kind: "withstood", note: "it went on for ever" }
  if (pending.status === STATUS_FORGED) return breached(["made a hypercall as a process"])
  if (pending.status === STATUS_WRONG) return breached(["changed a process's registers by an event"])
  if (pending.status >= STATUS_EXCEPTION)
    return { kind: "withstood", note: `exception ${pending.status - STATUS_EXCEPTION}` }
  return { kind: "withstood" }
}

/** One run in a world; its guest is closed afterwards. */
const runOnce = (world: World, attack: Attack, variant: number, prepare?: (world: World) => void): Verdict => {
  world.begin(attack.entry, variant)
  prepare?.(world)
  const before = world.hosted.kernel.time
  const { strike } = attack
  const struck = strike === undefined ? undefined : strikeEverywhere(world, strike)
  if (struck !== undefined && struck.kind === "breached") return struck
  const pending = strike === undefined ? world.run(before + (attack.limit ?? LIMIT)) : ({ kind: "slice" } as const)
  const gains = [...world.gains(attack.through)]
  if (gains.length === 0 && pending.kind === "slice" && !world.isServed())
    gains.push("kept the processor from everybody else")
  const end = struck ?? ending(pending)
  if (end.kind === "breached") return breached([...end.gains, ...gains])
  if (gains.length > 0) return breached(gains)
  world.end()
  return end
}

export const runAttack = (
  core: WebAssembly.Module,
  choices: Choices,
  attack: Attack,
  { seed = 0, prepare }: RunAttackOptions = {},
): Verdict => {
  // What throws while a guest runs is the host's panic; what throws before is nobody's verdict.
  let killed: Verdict | undefined
  let note: string | undefined
  for (let s = 0; s < (attack.seeds ?? 1); s++) {
    makeRoom()
    const world = new World({
      core,
      platform: PLATFORMS[choices.arch],
      design: choices,
      vcpus: attack.vcpus ?? 1,
      seed: seed + s,
      lateChecks: attack.lateChecks === true,
      shadowLimit: attack.shadowLimit,
      user: attack.side === "user",
    })
    if (attack.nmis === true) world.nmiEvery = NMI_EVERY
    try {
      for (let variant = 0; variant < (attack.variants ?? 1); variant++) {
        const verdict = runOnce(world, attack, variant, prepare)
        if (verdict.kind === "breached") return verdict
        if (verdict.kind === "killed") killed ??= verdict
        else note ??= verdict.note
      }
      const illness = world.health()
      if (illness.length > 0) return breached(illness)
    } catch (error) {
      return panic(error)
    }
  }
  return killed ?? { kind: "withstood", note }
}

/** Why an attack cannot be tried on a design; undefined: it can. */
export const notApplicable = (choices: Choices, attack: Attack): string | undefined =>
  (attack.vcpus ?? 1) > 1 && choices.smp === "one" ? "it takes two virtual CPUs" : undefined
