/* Generated from src/host/x86_64/process.S by npm run guests: do not edit. */

/** Offsets of the symbols of the x86_64 host's process from its first byte. */
export const symbols = {
  _start: 0x0,
} as const

/** The machine code, base64. */
export const code =
  "Mdu4JwAAAA8FAcNTuUAAAABIAQwk4vpbuCMAAAC/AOH1BQ8F69w="
