import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { at, defines, struct } from "../../src/machine/layout.ts"

describe("layouts", () => {
  it("refuses fields that overlap and fields past the end", () => {
    expect(() => struct("s", "S", 16, "", { a: at(0, 8, ""), b: at(4, 4, "") })).toThrow("s.b at 4 overlaps a")
    expect(() => struct("s", "S", 16, "", { a: at(8, 4, "", 3) })).toThrow("ends at 20, past the structure's 16 bytes")
  })

  it("accepts any fields laid out one behind the other", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(1, 2, 4, 8), fc.integer({ min: 1, max: 9 })), { maxLength: 20 }),
        (list) => {
          let offset = 0
          const fields = Object.fromEntries(
            list.map(([width, count], i) => {
              const field = at(offset, width, "", count)
              offset += width * count
              return [`f${i}`, field]
            }),
          )
          expect(struct("s", "S", offset, "", fields).size).toBe(offset)
        },
      ),
    )
  })

  it("names symbols as assembler and C expect", () => {
    const text = defines(struct("pda", "PDA", 16, "doc", { flags: at(0, 1, "each", 8), kernelStack: at(8, 8, "top") }))
    expect(text).toMatch(/#define PDA_FLAGS +0x0 \/\* u8\[8\]: each \*\//)
    expect(text).toMatch(/#define PDA_KERNEL_STACK +0x8 \/\* u64: top \*\//)
    expect(text).toMatch(/#define PDA_SIZE +0x10/)
  })
})
