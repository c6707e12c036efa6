import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { explain } from "../../src/launcher/errors.ts"
import type { UpOptions } from "../../src/launcher/options.ts"
import { parseUpFile, type UpGuest } from "../../src/launcher/upFile.ts"

const UP: UpOptions = { file: "/x/lab.yaml", deterministic: true, seed: 7, maxInstructions: Infinity, verbose: false }
const parse = (text: string) => Effect.runSync(Effect.result(parseUpFile("/x/lab.yaml", text, UP)))
const guests = (text: string): ReadonlyArray<UpGuest> => {
  const result = parse(text)
  if (Result.isFailure(result)) throw new Error(explain(result.failure).line)
  return result.success
}

describe("a file of guests", () => {
  it("says all there is to say", () => {
    const [a, b] = guests(`
guests:
  a:
    arch: i386
    host: i386
    kernel: vmlinux
    mem: 32M
    pae: true
    append: quiet
    initrd: /abs/init.cpio
    block: ["d.img", "e.img,ro"]
    net: {hub: lan, pcap: a.pcap, mac: "52:54:0:1:2:3"}
    script: |
      ls
      poweroff
  b:
`)
    expect(a).toMatchObject({ name: "a", host: "i386", script: "ls\npoweroff\n" })
    expect([a!.where(), a!.where("mem"), a!.where("smp")]).toEqual([
      ":3: guests.a",
      ":7: guests.a.mem",
      ":3: guests.a.smp",
    ])
    expect(a!.options).toMatchObject({
      arch: "i386",
      kernel: "/x/vmlinux",
      memoryBytes: 32 * 2 ** 20,
      pae: true,
      native: false,
      cmdline: "quiet",
      initrd: "/abs/init.cpio",
      blocks: [
        { file: "/x/d.img", readOnly: false },
        { file: "/x/e.img", readOnly: true },
      ],
      net: { hub: "lan", pcap: "/x/a.pcap", mac: Uint8Array.of(0x52, 0x54, 0, 1, 2, 3) },
      deterministic: true,
      seed: 7,
    })
    expect(b!.options).toMatchObject({ kernel: undefined, memoryBytes: 64 * 2 ** 20, blocks: [], net: undefined })
  })

  it("says how many virtual CPUs, where they run, and what is written about them", () => {
    const [a, b, c] = guests(`
guests:
  a: {smp: 4, pcpus: 2, pin: "0:0,3:1", stats-json: a.json, trace: a.trace, trace-limit: 1M}
  b: {pcpus: 3, trace: /b.trace}
  c: {native: true, smp: 2}
`).map(({ options }) => options)
    const pins = new Map([[0, 0], [3, 1]]) // prettier-ignore
    expect(a).toMatchObject({
      smp: { vcpus: 4, processors: 2, pins, given: true },
      statsJson: "/x/a.json",
      trace: { file: "/x/a.trace", limit: 2 ** 20 },
    })
    expect(b).toMatchObject({
      smp: { vcpus: 1, processors: 3, given: true },
      statsJson: undefined,
      trace: { file: "/b.trace", limit: 2 ** 26 },
    })
    expect(c).toMatchObject({ smp: { vcpus: 2, processors: 2, given: true }, trace: undefined })
  })

  it("names guests in its own order", () =>
    expect(guests("guests: {zed: , b: {native: true}, a: }").map(({ name }) => name)).toEqual(["zed", "b", "a"]))

  it.each([
    ["", ": expected"],
    ["guests: {", "lab.yaml:1"],
    ["guests:\n  a: {\n  b: }\n", "lab.yaml:"],
    ["guests: {}", "lab.yaml:1: guests: there are none"],
    ["quests: {a: }", "lab.yaml:1: quests: there is no such key"],
    ["{}", "lab.yaml:1: guests: is missing"],
    ["guests: {a: }\nhubs: {}", "lab.yaml:2: hubs: there is no such key"],
    ["guests:\n  a:\n    arch: sparc\n", 'lab.yaml:3: guests.a.arch: expected "i386" | "x86_64"'],
    ["guests:\n  a:\n    mem: 1K\n", "lab.yaml:3: guests.a.mem: A guest has from 4M"],
    ["guests:\n  a:\n    mem: [1]\n", "lab.yaml:3: guests.a.mem: expected"],
    ["guests:\n  a:\n    colour: red\n", "lab.yaml:3: guests.a.colour: there is no such key"],
    ["guests:\n  a:\n    net: {hub: ''}\n", "lab.yaml:3: guests.a.net.hub: expected"],
    ["guests:\n  a:\n    net: {mac: '1:2'}\n", "lab.yaml:3: guests.a.net.mac: 1:2 is no MAC address"],
    ["guests:\n  a:\n    block:\n      - a\n      - ',ro'\n", "lab.yaml:5: guests.a.block.1: It is FILE or FILE,ro"],
    ["guests:\n  a:\n    block: [a, b, c, d, e]\n", "lab.yaml:3: guests.a.block: expected"],
    ["guests:\n  a:\n    native: true\n    host: x86_64\n", "lab.yaml:4: guests.a.host: a native guest has no host"],
    ["guests:\n  a:\n    native: true\n    pae: true\n", "lab.yaml:4: guests.a.pae:"],
    ["guests:\n  a:\n    smp: 17\n", "lab.yaml:3: guests.a.smp: it is a number from 1 to 16"],
    ["guests:\n  a:\n    smp: two\n", "lab.yaml:3: guests.a.smp: expected"],
    ["guests:\n  a:\n    pcpus: 0\n", "lab.yaml:3: guests.a.pcpus: it is a number from 1 to 16"],
    ["guests:\n  a:\n    pin: '0'\n", 'lab.yaml:3: guests.a.pin: "0" is no pair'],
    [
      "guests:\n  a:\n    smp: 2\n    pin: '2:0'\n",
      "lab.yaml:4: guests.a.pin: it names virtual CPU 2, and the guest's",
    ],
    ["guests:\n  a:\n    native: true\n    pcpus: 2\n", "lab.yaml:4: guests.a.pcpus: it is for a host's scheduler"],
    ["guests:\n  a:\n    native: true\n    pin: '0:0'\n", "lab.yaml:4: guests.a.pin: it is for a host's scheduler"],
    ["guests:\n  a:\n    trace-limit: 1M\n", "lab.yaml:3: guests.a.trace-limit: it bounds the file of `trace`"],
    ["guests:\n  a:\n    trace: x\n    trace-limit: 1\n", "lab.yaml:4: guests.a.trace-limit: It is a number of bytes"],
    ["guests:\n  a:\n    stats-json: ''\n", "lab.yaml:3: guests.a.stats-json: expected"],
    ["guests:\n  a: \n  1a: \n", "lab.yaml:3: guests.1a: a name is"],
    ["guests:\n  a: \n  a: \n", "Map keys must be unique"],
    [`guests:\n  a:\n    append: ${"x".repeat(5000)}\n`, "bytes are the longest"],
    [`guests: {${Array.from({ length: 17 }, (_, i) => `g${i}: `).join(", ")}}`, "16 guests are the most"],
  ])("refuses %j with its line and key", (text, part) => {
    const result = parse(text)
    expect(Result.isFailure(result)).toBe(true)
    if (!Result.isFailure(result)) return
    const { status, line } = explain(result.failure)
    expect(status).toBe(78)
    expect(line).toContain(part)
    expect(line).not.toContain("\n")
  })

  it("property: any text is guests or one error", () => {
    const token = fc.constantFrom("guests", "a", ":", " ", "\n", "  ", "{", "}", "[", "]", "- ", "mem", "1", "&x", "*x", "'", "|", "<<", "__proto__", "null") // prettier-ignore
    fc.assert(
      fc.property(fc.array(token, { maxLength: 30 }), (tokens) => {
        const result = parse(tokens.join(""))
        if (Result.isFailure(result)) expect(explain(result.failure)).toMatchObject({ status: 78 })
        else expect(result.success.length).toBeGreaterThan(0)
      }),
      { numRuns: 500 },
    )
  })
})
