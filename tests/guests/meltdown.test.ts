import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { LGUEST, LGUEST64, type Choices } from "../../src/design/dimensions.ts"
import { CALL_PAGE_PA, PAGE_OFFSET, TEXT_PA } from "../../src/host/x86_64/layout.ts"
import { parseElf } from "../../src/launcher/elf.ts"
import type { Hosted } from "../../src/modules/index.ts"
import { bootDesign, type Ended, MEMORY, Puppy } from "../designs/puppy.ts"

/*
 * puppy's program `meltdown`, on processors that check late: what it prints is what lies there, and only where it is mapped.
 */

const PROPOSAL: Choices = { ...LGUEST64, host: "everything", pageOffset: "guest-moves" }
const AS_WRITTEN: Choices = {
  ...LGUEST64,
  ring: 1,
  vcpu: "known-address",
  spaces: "one",
  selectors: "switched",
  hypercall: "interrupt",
}

/** Where puppy's image begins: physical, and virtual on each architecture (guests/puppy/include/layout.h). */
const IMAGE = 0x100000
const IMAGE_AT = { x86_64: 0xffff_ffff_8000_0000n + BigInt(IMAGE), i386: 0xc000_0000n + BigInt(IMAGE) }

interface Tried extends Ended {
  readonly hosted: Hosted
}

const boot = (design: Choices): Promise<Hosted> => bootDesign(design, { lateChecks: true })

/** Types the lines; the machine's status is the last one's. */
const type = (hosted: Hosted, { arch }: Choices, lines: ReadonlyArray<string>): Tried => {
  const ended = new Puppy(hosted, arch).run([...lines.slice(0, -1), `${lines.at(-1)}; poweroff $?`])
  return { ...ended, hosted }
}

const meltdown = async (design: Choices, address: bigint, length: number): Promise<Tried> =>
  type(await boot(design), design, [`meltdown 0x${address.toString(16)} ${length}`])

/** The lines of a dump, as the program is to print it. */
const dump = (address: bigint, bytes: ReadonlyArray<number | undefined>): string => {
  const lines = Array.from({ length: Math.ceil(bytes.length / 16) }, (_, i) => {
    const row = Array.from({ length: 16 }, (_none, k) => k + 16 * i)
    const cell = (at: number) => (at < bytes.length ? (bytes[at]?.toString(16).padStart(2, "0") ?? "..") : "  ")
    const half = (from: number) =>
      row
        .slice(from, from + 8)
        .map(cell)
        .join(" ")
    const text = bytes
      .slice(16 * i, 16 * i + 16)
      .map((byte) => (byte === undefined ? " " : byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "."))
    return `${(address + BigInt(16 * i)).toString(16).padStart(16, "0")}  ${half(0)}  ${half(8)}  |${text.join("")}|\n`
  })
  return lines.join("")
}

const all = (address: bigint, bytes: ReadonlyArray<number>): string =>
  `${dump(address, bytes)}meltdown: ${bytes.length} of ${bytes.length} bytes of 0x${address.toString(16)}\n`

const none = (address: bigint, length: number): string =>
  dump(address, new Array<undefined>(length).fill(undefined)) +
  "meltdown: nothing: this processor checks in time, or nothing is mapped there\n"

const ramOf = ({ machine }: Hosted, pa: number, length: number): ReadonlyArray<number> =>
  Array.from({ length }, (_, i) => machine.ram.read8(pa + i))

/** The beginning of puppy's image, as it lies in the file. */
const imageOf = (arch: Choices["arch"], length: number): ReadonlyArray<number> => {
  const elf = new Uint8Array(readFileSync(new URL(`../../guests/images/puppy-${arch}.elf`, import.meta.url)))
  const { segments } = parseElf(elf, { memoryBytes: MEMORY, reserved: undefined })
  const first = segments.find(({ address }) => address === IMAGE)!
  return [...first.bytes.subarray(0, length)]
}

describe("meltdown at puppy's shell", () => {
  it("reads the host's memory where all of it is mapped: its text, and every value that a byte can have", async () => {
    const hosted = await boot(PROPOSAL)
    // A page of the host's between its fixed ones and those that it gives away: nobody writes there.
    const secret = CALL_PAGE_PA - 0x1000
    const there = ramOf(hosted, secret, 256)
    expect(there).toEqual(new Array(256).fill(0))
    for (let i = 0; i < 256; i++) hosted.machine.ram.write8(secret + i, (i * 77 + 5) & 0xff)
    const { kind, status, output } = type(hosted, PROPOSAL, [
      `meltdown 0x${(PAGE_OFFSET + BigInt(TEXT_PA)).toString(16)} 40`,
      `meltdown ${(PAGE_OFFSET + BigInt(secret)).toString(16)} 256`,
    ])
    expect([kind, status]).toEqual(["powerOff", 0])
    const text = ramOf(hosted, TEXT_PA, 40)
    expect(new Set(text).size).toBeGreaterThan(5)
    expect(output).toContain(all(PAGE_OFFSET + BigInt(TEXT_PA), text))
    const values = ramOf(hosted, secret, 256)
    expect(new Set(values).size).toBe(256)
    expect(output).toContain(all(PAGE_OFFSET + BigInt(secret), values))
  })

  it("says so where nothing takes longer: on processors that check in time there is no cache", async () => {
    const hosted = await bootDesign(PROPOSAL)
    const { kind, status, output } = type(hosted, PROPOSAL, [
      `meltdown ${(PAGE_OFFSET + BigInt(TEXT_PA)).toString(16)}`,
    ])
    expect([kind, status]).toEqual(["powerOff", 1])
    expect(output).toContain("\nmeltdown: this processor has no cache to tell by\n")
    expect(output).not.toContain("|")
  })

  const AT_HOST = PAGE_OFFSET + BigInt(TEXT_PA)
  // Where no PAGE_OFFSET has moved, the guest's own direct map is at these addresses, as far as its memory goes.
  const BEHIND_GUEST = PAGE_OFFSET + BigInt(MEMORY)
  it.each([
    ["the host under Rusty's answer", LGUEST64, AT_HOST],
    ["the host under Rusty's answer, behind what the guest has", LGUEST64, BEHIND_GUEST],
    ["the host under the design as it was written", AS_WRITTEN, BEHIND_GUEST],
    ["its own kernel in ring 3, in a space apart", LGUEST64, IMAGE_AT.x86_64],
    ["its own kernel under the proposal", PROPOSAL, IMAGE_AT.x86_64],
    ["what is no address at all", PROPOSAL, 1n << 63n],
  ])("reads nothing of %s", async (_, design, address) => {
    const { kind, status, output } = await meltdown(design, address, 40)
    expect([kind, status]).toEqual(["powerOff", 1])
    expect(output).toContain(none(address, 40))
  })

  it("reads its kernel's text in ring 1, where they are in one space", async () => {
    const { status, output } = await meltdown(AS_WRITTEN, IMAGE_AT.x86_64, 48)
    expect(status).toBe(0)
    expect(output).toContain(all(IMAGE_AT.x86_64, imageOf("x86_64", 48)))
  })

  it("reads its kernel's text on i386, page by page what is in its shadows, and not what lies behind the limit", async () => {
    const hosted = await boot(LGUEST)
    const beyond = 0xffc0_0000n
    const pages = Array.from({ length: 32 }, (_, page) => page * 0x1000)
    const { status, output } = type(hosted, LGUEST, [
      ...pages.map((page) => `meltdown 0x${(IMAGE_AT.i386 + BigInt(page)).toString(16)} 16`),
      `meltdown ${beyond.toString(16)} 16`,
    ])
    expect(status).toBe(1)
    const narrow = (text: string) => text.replace(/^0{8}/gm, "")
    expect(output).toContain(narrow(none(beyond, 16)))
    // None gives anything else than what lies there. Those that SIGSEGV's own way leads through must be mapped.
    const had = pages.filter((page) => {
      const at = IMAGE_AT.i386 + BigInt(page)
      const there = narrow(all(at, ramOf(hosted, hosted.guestBase + IMAGE + page, 16)))
      if (!output.includes(there)) expect(output).toContain(narrow(none(at, 16)))
      return output.includes(there)
    })
    expect(had.length).toBeGreaterThan(3)
  })

  it("refuses what is no address, no length, and what goes past the last address", async () => {
    const wrong = ["", "x", "0x", "0x1ffffffffffffffff", "1000 0", "1000 1048577", "1000 64k", "1000 16 16"]
    const lines = [...wrong.map((rest) => `meltdown ${rest}`), "meltdown fffffffffffffff0 17"]
    const { status, output } = type(await boot(LGUEST64), LGUEST64, lines)
    expect(status).toBe(2)
    expect(output.match(/^usage: meltdown ADDRESS \[LENGTH\] .*$/gm)).toHaveLength(wrong.length)
    expect(output).toContain("\nmeltdown: fffffffffffffff0: 17 bytes go past the last address\n")
    expect(output).not.toContain("|")
  })
})
