import type { Arch } from "../../design/dimensions.ts"
import { attacks32 } from "./registry32.ts"
import { attacks64 } from "./registry64.ts"

/* What there is in guests/attacks. */

/** What the harness does to the host while the attack runs. */
export type Strike = "nmi" | "interrupt"

export interface Attack {
  readonly name: string
  readonly arch: Arch
  /** Who attacks: a guest's kernel, or one of its processes. */
  readonly side: "kernel" | "user"
  readonly text: string
  /** The symbol at which the program begins. */
  readonly entry: string
  /** It is run once for each of the numbers below this one, default 1. */
  readonly variants?: number
  /** And with the turns of as many seeds, default 1. */
  readonly seeds?: number
  /** Virtual CPUs and processors, default 1. */
  readonly vcpus?: number
  /** Simulated time of a run, ns. */
  readonly limit?: number
  /** Most shadow pages of the guest. */
  readonly shadowLimit?: number
  /** The processor checks late. */
  readonly lateChecks?: true
  /** What the numbers of its R_THROUGH mean. */
  readonly through?: Readonly<Record<number, string>>
  /** NMIs come all the time. */
  readonly nmis?: true
  /** One strikes at each instruction of the host's that the program makes it execute. */
  readonly strike?: Strike
}

export const ATTACKS: ReadonlyArray<Attack> = [...attacks64, ...attacks32]

/** The attacks on an architecture, or those of them that are named. */
export const attacksOn = (arch: Arch, names?: ReadonlyArray<string>): ReadonlyArray<Attack> =>
  ATTACKS.filter((attack) => attack.arch === arch && (names === undefined || names.includes(attack.name)))
