import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { AddressedLines, pieces, SharedOutput } from "../../src/launcher/upConsole.ts"

const bytes = (text: string) => Buffer.from(text, "latin1")
const make = (interactive = false) => {
  let shown = ""
  const output = new SharedOutput((part) => (shown += Buffer.from(part).toString("latin1")), interactive)
  return { a: output.channel("a"), b: output.channel("b"), output, shown: () => shown }
}

describe("consoles that share a terminal", () => {
  it("show whole lines with their guest's name", () => {
    const { a, b, shown } = make()
    a.write(bytes("hel"))
    b.write(bytes("one\r\ntwo\r\nth"))
    a.pause()
    a.write(bytes("lo\r\n"))
    b.end()
    expect(shown()).toBe("b| one\r\nb| two\r\na| hello\r\nb| th\r\n")
  })

  it("show a prompt where somebody looks on", () => {
    const { a, b, shown } = make(true)
    a.write(bytes("$ "))
    a.pause()
    a.write(bytes("l"))
    a.pause()
    b.write(bytes("x\n"))
    a.write(bytes("s\n"))
    expect(shown()).toBe("a| $ l\r\nb| x\na| s\n")
  })

  it("property: nothing is lost, whatever the parts", () => {
    const part = fc.tuple(fc.boolean(), fc.constantFrom("x", "yy", "\n", "a\nb", "\r\n", "long ".repeat(9)))
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const { a, b, shown } = make()
        const said: [string, string] = ["", ""]
        for (const [first, text] of parts) {
          said[first ? 0 : 1] += text
          ;(first ? a : b).write(bytes(text))
        }
        a.end()
        b.end()
        const of = (name: string) => shown().split(/(?<=\n)/).filter((line) => line.startsWith(`${name}| `)).map((line) => line.slice(3)).join("") // prettier-ignore
        const whole = (text: string) => (text === "" || text.endsWith("\n") ? text : `${text}\r\n`)
        expect(of("a")).toBe(whole(said[0]))
        expect(of("b")).toBe(whole(said[1]))
      }),
      { numRuns: 100 },
    )
  })

  it("cut a line without end", () => {
    const { a, shown } = make()
    for (let i = 0; i < 1000; i++) a.write(bytes("x".repeat(100)))
    expect(shown().length).toBeGreaterThan(80_000)
  })
})

describe("input for several guests", () => {
  it("property: lines find their guest however they come", () => {
    const line = fc.tuple(fc.constantFrom("a", "b2", "c-d"), fc.stringMatching(/^[ -~]{0,20}$/))
    fc.assert(
      fc.property(fc.array(line), fc.integer({ min: 1, max: 9 }), (all, step) => {
        const text = all.map(([name, rest]) => `${name}:${rest}\n`).join("")
        const lines = new AddressedLines()
        const got: string[] = []
        for (let i = 0; i < text.length; i += step) got.push(...lines.add(bytes(text.slice(i, i + step))))
        got.push(...lines.rest())
        const split = got.map((one) => AddressedLines.split(one)!)
        expect(split.map(({ name, bytes: rest }) => [name, Buffer.from(rest).toString("latin1")])).toEqual(
          all.map(([name, rest]) => [name, `${rest}\n`]),
        )
      }),
    )
  })

  it("knows a line without a name", () => {
    expect(AddressedLines.split("ls\n")).toBeUndefined()
    expect(AddressedLines.split(":ls\n")).toBeUndefined()
  })

  it("types long lines in parts", () => {
    const parts = pieces(bytes(`${"x".repeat(300)}\nshort\nrest`))
    expect(parts.map((part) => part.length)).toEqual([256, 45, 6, 4])
  })
})
