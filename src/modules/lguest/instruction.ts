/*
 * A question about the bytes at a guest's instruction pointer, asked after the processor has refused the instruction. They
 * were read after the fault, so a hostile guest may have changed them since: the answer only chooses what to do to that guest.
 */

/** Prefixes that may stand before IN, OUT, INS and OUTS in 32-bit code: sizes, repeats, segments, LOCK. */
const isPrefix = (b: number): boolean =>
  b === 0x66 || b === 0x67 || b === 0xf2 || b === 0xf3 || b === 0xf0 || (b & 0xe7) === 0x26 || (b & 0xfe) === 0x64

/** IN and OUT (E4..E7, EC..EF), INS and OUTS (6C..6F). */
export const isPortAccess = (bytes: Uint8Array): boolean => {
  let i = 0
  while (i < bytes.length && isPrefix(bytes[i]!)) i++
  if (i >= bytes.length) return false
  const opcode = bytes[i]!
  return (opcode & 0xf4) === 0xe4 || (opcode & 0xfc) === 0x6c
}
