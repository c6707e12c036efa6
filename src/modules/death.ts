/** The guest did something that it cannot be let to go on from. Thrown in a gate, caught where the gate ends. */
export class GuestKill extends Error {
  override readonly name = "GuestKill"
}

/** Ends the guest that is being served, with the cause in words. */
export const kill = (cause: string): never => {
  throw new GuestKill(cause)
}
