import type { ShadowState } from "./state.ts"

/*
 * Shadow pages by guest frame. All pages of a frame are in one chain, whatever their role, because write protection asks
 * for exactly those; a lookup compares frame and role along the chain.
 */

interface Hashed {
  readonly pageGfn: Int32Array
  /** Next slot + 1 in the hash chain. */
  readonly hashNext: Int32Array
  /** First slot + 1 of each chain; a power of two long. */
  readonly buckets: Int32Array
}

const bucketOf = (s: Hashed, gfn: number): number =>
  ((Math.imul(gfn, 0x9e3779b1) >>> 0) ^ (gfn >>> 7)) & (s.buckets.length - 1)

/** First slot of the chain in which all pages of `gfn` are (and others); -1: empty. */
export const chainOf = (s: Hashed, gfn: number): number => s.buckets[bucketOf(s, gfn)]! - 1

/** The one after `sp` in its chain; -1: end. */
export const chainNext = (s: Hashed, sp: number): number => s.hashNext[sp]! - 1

export const hashInsert = (s: Hashed, sp: number): void => {
  const bucket = bucketOf(s, s.pageGfn[sp]!)
  s.hashNext[sp] = s.buckets[bucket]!
  s.buckets[bucket] = sp + 1
}

export const hashRemove = (s: Hashed, sp: number): void => {
  const bucket = bucketOf(s, s.pageGfn[sp]!)
  let at = s.buckets[bucket]! - 1
  if (at === sp) {
    s.buckets[bucket] = s.hashNext[sp]!
  } else {
    while (s.hashNext[at] !== sp + 1) at = s.hashNext[at]! - 1
    s.hashNext[at] = s.hashNext[sp]!
  }
  s.hashNext[sp] = 0
}

/** The page of a frame in a role, of the present generation; -1: none. */
export const findPage = (s: ShadowState, gfn: number, role: number): number => {
  let sp = chainOf(s, gfn)
  while (sp >= 0 && (s.pageGfn[sp] !== gfn || s.pageRole[sp] !== role || s.pageGeneration[sp] !== s.generation))
    sp = chainNext(s, sp)
  return sp
}
