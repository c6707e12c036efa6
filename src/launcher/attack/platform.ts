import type { Choices } from "../../design/dimensions.ts"
import type { LguestDevice } from "../../host/devLguest.ts"
import type { Hosted, HostedShape } from "../../modules/hosted.ts"
import type { Span } from "./guard.ts"

/* What the harness has to know of an architecture's host; platform64.ts and platform32.ts say it. */

/** A page that the host has mapped at an address that a guest may try. */
export interface HostPage {
  /** As it is told: "the PDA of processor 0". */
  readonly name: string
  readonly va: bigint
  readonly pa: number
  /** What the host itself writes there; undefined: nobody knows, and only the canary is looked at. */
  readonly volatile: ReadonlyArray<Span> | undefined
  /** Where in it there is room that nobody uses; default: wherever there are most zeros. */
  readonly place?: number
  /** No secret is put there. */
  readonly plain?: boolean
}

export interface Platform {
  /** The image of the attacks and the offsets of its symbols. */
  readonly image: Uint8Array
  readonly symbols: Readonly<Record<string, number>>
  readonly boot: (core: WebAssembly.Module, shape: HostedShape) => Hosted
  /** Of all pages of the host that have an address of their own; `device` is the attacker. */
  readonly pages: (hosted: Hosted, design: Choices, device: LguestDevice) => ReadonlyArray<HostPage>
  /** What the attacker is told, by the names of ATTACK_PARAMS. */
  readonly known: (
    hosted: Hosted,
    design: Choices,
    device: LguestDevice,
    pages: ReadonlyArray<HostPage>,
  ) => Readonly<Record<string, bigint>>
  /** Registers of a processor that are the host's alone: LSTAR, IDTR... */
  readonly registers: (hosted: Hosted, cpu: number) => ReadonlyArray<bigint>
  /** Whether an address of the attacker's lies in the host's direct map or its fixed pages. */
  readonly isHostAddress: (hosted: Hosted, design: Choices, value: bigint) => boolean
}
