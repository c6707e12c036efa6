/*
 * Questions about the bytes at a guest's instruction pointer, each asked after the processor has refused the
 * instruction. They were read after the fault, so a hostile guest may have changed them since: the answers only choose
 * what to do to that guest.
 */

/** Legacy and REX prefixes that may stand before IN, OUT, INS, OUTS and INT. */
const isPrefix = (b: number): boolean =>
  b === 0x66 ||
  b === 0x67 ||
  b === 0xf2 ||
  b === 0xf3 ||
  (b & 0xe7) === 0x26 ||
  (b & 0xfe) === 0x64 ||
  (b & 0xf0) === 0x40

const opcodeAt = (bytes: Uint8Array): number => {
  let i = 0
  while (i < bytes.length && isPrefix(bytes[i]!)) i++
  return i
}

/** IN and OUT (E4..E7, EC..EF), INS and OUTS (6C..6F). */
export const isPortAccess = (bytes: Uint8Array): boolean => {
  const i = opcodeAt(bytes)
  if (i >= bytes.length) return false
  const opcode = bytes[i]!
  return (opcode & 0xf4) === 0xe4 || (opcode & 0xfc) === 0x6c
}

/** Length of the instruction if it is INT `vector`, else 0. */
export const softwareInterrupt = (bytes: Uint8Array, vector: number): number => {
  const i = opcodeAt(bytes)
  return i + 1 < bytes.length && bytes[i] === 0xcd && bytes[i + 1] === vector ? i + 2 : 0
}

/** Length of the instruction if it is STI, else 0. */
export const turningOn = (bytes: Uint8Array): number => {
  const i = opcodeAt(bytes)
  return i < bytes.length && bytes[i] === 0xfb ? i + 1 : 0
}

/** Whether it is one of the coprocessor's (D8..DF), which CR0.TS makes raise #NM (SDM vol. 3, 2.5). */
export const isEscape = (bytes: Uint8Array): boolean => {
  const i = opcodeAt(bytes)
  return i < bytes.length && (bytes[i]! & 0xf8) === 0xd8
}
