import type { Ram } from "../machine/ram.ts"

/** A guest's memory: host-physical address of guest-physical 0, and bytes. */
interface GuestRange {
  readonly base: number
  readonly bytes: number
}

/** A NUL-terminated line of at most `limit` characters from a guest's memory, made printable. */
export const guestMessage = (ram: Ram, { base, bytes }: GuestRange, gpa: number, limit: number): string => {
  let text = ""
  for (let i = 0; i < limit && gpa + i < bytes; i++) {
    const c = ram.read8(base + gpa + i)
    if (c === 0) break
    text += c >= 32 && c < 127 ? String.fromCharCode(c) : "?"
  }
  return text
}
