import { describe, expect, it } from "vitest"
import { BOOT_PARAMS, bootParams, SUBARCH_LGUEST, SUBARCH_PC } from "../../src/machine/bootParams.ts"

/* Offsets as in Linux's arch/x86/include/uapi/asm/bootparam.h, so that a kernel built from there finds its way. */
describe("boot_params", () => {
  const page = (subarch: number) =>
    Buffer.from(
      bootParams({
        memoryBytes: 0x400_0000,
        cmdlineAddress: 0x3000,
        initrdAddress: 0x3ff_0000,
        initrdBytes: 77,
        subarch,
      }),
    )

  it("is one page, and zero where nothing is said", () => {
    const bytes = page(SUBARCH_PC)
    expect(bytes).toHaveLength(4096)
    const said = new Set<number>()
    for (const { offset, width, count } of Object.values(BOOT_PARAMS.fields))
      for (let i = 0; i < width * count; i++) said.add(offset + i)
    expect(bytes.findIndex((byte, i) => byte !== 0 && !said.has(i))).toBe(-1)
  })

  it.each([
    ["natively", SUBARCH_PC, 0, 0x01],
    ["under a module", SUBARCH_LGUEST, 1, 0x41],
  ])("speaks boot protocol 2.07 %s", (_where, subarch, number, loadFlags) => {
    const bytes = page(subarch)
    expect(bytes.readUInt16LE(0x1fe)).toBe(0xaa55)
    expect(bytes.toString("latin1", 0x202, 0x206)).toBe("HdrS")
    expect(bytes.readUInt16LE(0x206)).toBe(0x207)
    expect(bytes[0x210]).toBe(0xff)
    expect(bytes[0x211]).toBe(loadFlags)
    expect(bytes.readUInt32LE(0x218)).toBe(0x3ff_0000)
    expect(bytes.readUInt32LE(0x21c)).toBe(77)
    expect(bytes.readUInt32LE(0x228)).toBe(0x3000)
    expect(bytes.readUInt32LE(0x230)).toBe(0x100_0000)
    expect(bytes.readUInt32LE(0x23c)).toBe(number)
  })

  it("has one piece of memory in its map", () => {
    const bytes = page(SUBARCH_LGUEST)
    expect(bytes[0x1e8]).toBe(1)
    expect(bytes.readBigUInt64LE(0x2d0)).toBe(0n)
    expect(bytes.readBigUInt64LE(0x2d8)).toBe(0x400_0000n)
    expect(bytes.readUInt32LE(0x2e0)).toBe(1)
  })
})
