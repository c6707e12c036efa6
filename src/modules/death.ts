/**
 * M:010 Part 7, Mastery: "What next?" You have seen how it works when everybody behaves. Now be somebody who does not.
 * You own a Guest, ring 3 and all of its memory; you want a byte of the Host's. For each of the doors that you have
 * come through there is an attack, and next to it stands why it fails. And when we catch you we do not argue.
 *
 * The guest did something that it cannot be let to go on from. Thrown in a gate, caught where the gate ends.
 */
export class GuestKill extends Error {
  override readonly name = "GuestKill"
}

/** Ends the guest that is being served, with the cause in words. */
export const kill = (cause: string): never => {
  throw new GuestKill(cause)
}
