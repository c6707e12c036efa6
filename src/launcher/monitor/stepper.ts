import { Progress } from "../debug/progress.ts"
import { DebugTarget } from "../debug/target.ts"
import type { Engine, EngineEvent } from "../engine.ts"

/* Single steps of one virtual CPU of an engine that runs in this thread. The others go on meanwhile. */

/** Simulated time of one call of `run`, ns, and calls without a step after which it is given up. */
const SLICE = 1_000_000
const PATIENCE = 1000

export type Stepped =
  | { readonly kind: "done" }
  /** It waits for an interrupt, or never got to a processor. */
  | { readonly kind: "waits"; readonly steps: number }
  /** The run is over, or begins anew. */
  | { readonly kind: "over"; readonly event: EngineEvent }

/** One instruction: undefined if it was done. */
const one = async (engine: Engine, target: DebugTarget, vcpu: number): Promise<"waits" | EngineEvent | undefined> => {
  const progress = new Progress(target, vcpu)
  for (let i = 0; i < PATIENCE;) {
    const event = await engine.run(SLICE)
    const arrival = target.arrival()
    if (arrival?.vcpu !== undefined && progress.made(arrival)) return undefined
    if (arrival !== undefined) continue
    if (event.kind === "idle") return "waits"
    if (event.kind !== "budget") return event
    i++
  }
  return "waits"
}

/** `interrupted` is asked between two steps. */
export const stepGuest = async (
  engine: Engine,
  vcpu: number,
  count: number,
  interrupted: () => boolean,
): Promise<Stepped> => {
  const target = new DebugTarget(engine.inspect())
  target.pass()
  target.setStepping(true)
  try {
    for (let steps = 0; steps < count && !interrupted(); steps++) {
      const outcome = await one(engine, target, vcpu)
      if (outcome === "waits") return { kind: "waits", steps }
      if (outcome !== undefined) return { kind: "over", event: outcome }
      // Keys and signals are seen even while a million steps are made.
      if (steps % 1000 === 999) await new Promise((resolve) => setImmediate(resolve))
    }
    return { kind: "done" }
  } finally {
    target.setStepping(false)
  }
}
