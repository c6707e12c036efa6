/*
 * The architecture's own walk (SDM vol. 3, 4.5 to 4.7), written a second time and in 64-bit integers: what a processor
 * with CR0.WP = 1 and EFER.NXE = 1 would do with the guest's tables. It changes nothing.
 */

export interface GuestMemory {
  /** 64-bit word at a guest-physical address; undefined: no memory. */
  read64(gpa: number): bigint | undefined
}

export interface Access {
  readonly write: boolean
  readonly fetch: boolean
  readonly user: boolean
}

export type Outcome =
  | { readonly kind: "ok"; readonly translation: Translation }
  | { readonly kind: "fault"; readonly error: number }
  | { readonly kind: "kill" }

export interface Translation {
  readonly gfn: number
  readonly writable: boolean
  readonly executable: boolean
  readonly user: boolean
  /** Guest-physical addresses of the entries, PML4 first. */
  readonly path: readonly number[]
  readonly largest: number
}

const MAXPHYADDR = 40n
const bit = (n: bigint) => 1n << n
const bits = (low: bigint, high: bigint) => (bit(high + 1n) - 1n) & ~(bit(low) - 1n)
const NX = bit(63n)
const HIGH_RESERVED = bits(MAXPHYADDR, 51n)
const ADDRESS = bits(12n, MAXPHYADDR - 1n)
const PS = bit(7n)

type Looked = Translation | { readonly error: number } | "kill"

/** Where the tables lead, whatever the access; the error has P and RSVD only. */
const look = (memory: GuestMemory, pgdGpa: number, vpn: number): Looked => {
  let table = pgdGpa
  let writable = true
  let executable = true
  let user = true
  const path: number[] = []
  for (let shift = 27; shift >= 0; shift -= 9) {
    const gpa = table + 8 * (Math.floor(vpn / 2 ** shift) % 512)
    const entry = memory.read64(gpa)
    if (entry === undefined) return "kill"
    if ((entry & 1n) === 0n) return { error: 0 }
    const large = (shift === 18 || shift === 9) && (entry & PS) !== 0n
    const align = large ? bits(13n, BigInt(shift) + 11n) : 0n
    const reserved = HIGH_RESERVED | align | (shift === 27 ? PS : 0n)
    if ((entry & reserved) !== 0n) return { error: 9 }
    writable &&= (entry & 2n) !== 0n
    user &&= (entry & 4n) !== 0n
    executable &&= (entry & NX) === 0n
    path.push(gpa)
    if (shift === 0 || large) {
      const base = Number((entry & ADDRESS & ~align & ~(large ? bit(12n) : 0n)) / 4096n)
      return { gfn: base + (vpn % 2 ** shift), writable, executable, user, path, largest: 2 ** shift }
    }
    table = Number(entry & ADDRESS)
  }
  throw new Error("unreachable")
}

export const permits = (t: Translation, a: Access): boolean =>
  (!a.user || t.user) && (!a.write || t.writable) && (!a.fetch || t.executable)

const accessBits = (a: Access): number => (a.write ? 2 : 0) | (a.user ? 4 : 0) | (a.fetch ? 16 : 0)

export const HOST_SLOT = 510
const LINEAR = 2 ** 20

/** `pgdGpa` < 0: the linear view. */
export const referenceWalk = (memory: GuestMemory, pgdGpa: number, vpn: number, a: Access): Outcome => {
  if (Math.floor(vpn / 2 ** 27) === HOST_SLOT) return { kind: "fault", error: accessBits(a) }
  let found: Looked
  if (pgdGpa >= 0) found = look(memory, pgdGpa, vpn)
  else if (vpn >= LINEAR) found = { error: 0 }
  else found = { gfn: vpn, writable: true, executable: true, user: false, path: [], largest: LINEAR }
  if (found === "kill") return { kind: "kill" }
  if ("error" in found) return { kind: "fault", error: found.error | accessBits(a) }
  if (!permits(found, a)) return { kind: "fault", error: 1 | accessBits(a) }
  return { kind: "ok", translation: found }
}
