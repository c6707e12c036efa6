/*
 * The format of a 64-bit page-table entry (SDM vol. 3, 4.5), shared by guest and shadow tables. An entry is a pair of
 * 32-bit halves, lo and hi; bits are named in the half where they lie.
 */

/** In lo. */
export const P = 0x001
export const RW = 0x002
export const US = 0x004
export const A = 0x020
export const D = 0x040
/** In levels 2 and 3: maps a page of 2 MiB or 1 GiB. */
export const PS = 0x080
/** In hi. */
export const NX_HI = 0x80000000

export const ENTRIES = 512
export const ENTRY_BYTES = 8
export const FRAME_BYTES = 4096
export const LEVELS = 4

/** 4 KiB frames that one entry of a level covers; [0] is unused. */
export const FRAMES_PER_ENTRY = [0, 1, 512, 512 * 512, 512 * 512 * 512] as const
/** 4 KiB frames in a 2 MiB page. */
export const HUGE_FRAMES = 512

/** Index into the table of a level for a virtual page. */
export const indexAt = (vpn: number, level: number): number => Math.floor(vpn / FRAMES_PER_ENTRY[level]!) & 511

/** Frame number in an entry: bits 12..51, a plain number. */
export const frameOf = (lo: number, hi: number): number => (hi & 0x000fffff) * 0x100000 + (lo >>> 12)

/** First frame of the block of 512^level frames in which a frame lies: what a table of that level can cover. */
export const blockBase = (frame: number, level: number): number =>
  frame - (frame % (FRAMES_PER_ENTRY[level]! * ENTRIES))

/** Whether an entry maps a page (and does not refer to another table). */
export const mapsPage = (lo: number, level: number): boolean => level === 1 || (lo & PS) !== 0

/** Reserved bits of lo: alignment of large pages (bit 12 is PAT), and PS in a PML4 entry. */
export const reservedLo = (lo: number, level: number): number => {
  if (level === 4) return PS
  if ((lo & PS) === 0 || level === 1) return 0
  return level === 2 ? 0x001fe000 : 0x3fffe000
}

/** Reserved bits of hi: address bits from `physicalBits` (32..52) to 51. */
export const reservedHi = (physicalBits: number): number => 0x000fffff & ~(2 ** (physicalBits - 32) - 1)
