/* Generated from src/i386/callPage_32.S by npm run guests: do not edit. */

/** Offsets of the symbols of the call page from its first byte. */
export const symbols = {
  rom_iret: 0x14b,
} as const

/** The machine code, base64. */
export const code =
  "zR/DzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzDahABDA/sPMzMzM" +
  "zMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMw2owAQwP42hQUEEMD+D4W5AAAAw8zM" +
  "zMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMNscFABDA/gAAAADDzMzMzMzMzMzMzMzMzMzMzMzMzMzM" +
  "zMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzDbHBQAQwP4AAgAANoM9BBDA/gB1N8PMzMzMzMzMzMzMzMzMzMzMzMzMzMzM" +
  "zMzMzMzMzMzMzMzMzMzMzMzMzMz/dCQINo8FABDA/s9QuBMAAADNH1jD"
