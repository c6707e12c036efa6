import { describe, expect, it } from "vitest"
import { Lab } from "./lab.ts"

/*
 * The flags after DIV and IDIV are undefined, so the silicon test leaves them alone. Measured on Zen, at every width and for
 * every state of the flags before: CF and OF stay, AF is set, SF, ZF and PF are cleared.
 */

const STATUS = 0x8d5
const CF = 0x001
const AF = 0x010
const OF = 0x800

const lab = new Lab()
const { cpu } = lab

/** ModRM of DIV CL and IDIV CL, or ECX, RCX. */
const DIV = 0xf1
const IDIV = 0xf9
const WIDTHS = {
  "8": [0xf6],
  "16": [0x66, 0xf7],
  "32": [0xf7],
  "64": [0x48, 0xf7],
} as const

describe.each(Object.entries(WIDTHS))("division by %s bits", (_width, prefix) => {
  it.each([
    ["DIV", DIV],
    ["IDIV", IDIV],
  ])("%s sets AF, keeps CF and OF, clears the others", (_name, modrm) => {
    for (const dividend of [0n, 9n])
      for (const before of [0, STATUS, CF, OF, STATUS & ~CF, STATUS & ~OF]) {
        lab.enter("long", 0, [...prefix, modrm]).setFlags(before)
        cpu.setGpr(0, dividend)
        cpu.setGpr(1, 3n)
        cpu.setGpr(2, 0n)
        cpu.run(1)
        expect(cpu.gprLo(0)).toBe(Number(dividend / 3n))
        expect(Number(cpu.flags) & STATUS).toBe((before & (CF | OF)) | AF)
      }
  })
})
