/* Generated from src/i386/process.S by npm run guests: do not edit. */

/** Offsets of the symbols of the i386 host's process from its first byte. */
export const symbols = {
  _start: 0x0,
} as const

/** The machine code, base64. */
export const code =
  "Mdu4FAAAAM2AAcNTuUAAAAABDCTi+164ogAAALsA4fUFzYCJ8+vb"
