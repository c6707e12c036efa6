import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Keys } from "../../src/launcher/keys.ts"

/** What comes of pieces of input: characters sent, Q for quit, H for help. */
const typed = (...pieces: ReadonlyArray<string>): string => {
  let happened = ""
  const keys = new Keys({
    send: (bytes) => (happened += Buffer.from(bytes).toString("latin1")),
    quit: () => (happened += "<Q>"),
    help: () => (happened += "<H>"),
    monitor: () => (happened += "<M>"),
    next: () => (happened += "<N>"),
  })
  for (const piece of pieces) keys.input(Buffer.from(piece, "latin1"))
  return happened
}

describe("keys", () => {
  it.each([
    ["ls\r", "ls\r"],
    ["a\x01xb", "a<Q>"],
    ["\x01h", "<H>"],
    ["\x01a\x01\x01b", "\x01\x01b"],
    ["\x01zq", "q"],
    ["a\x01nb", "a<N>b"],
    ["a\x01cb\x01cd", "a<M>b<M>d"],
    ["\x03\x1a", "\x03\x1a"],
  ])("%j gives %j", (input, output) => expect(typed(input)).toBe(output))

  it("do not depend on how the input is cut", () => {
    const key = fc.constantFrom("\x01", "a", "h", "q", "z", "\r")
    fc.assert(
      fc.property(fc.array(key), (all) => {
        const whole = typed(all.join("")).replaceAll(/<H>/g, "")
        expect(typed(...all).replaceAll(/<H>/g, "")).toBe(whole)
      }),
    )
  })
})
