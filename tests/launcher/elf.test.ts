import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { KernelError, type Limits, parseElf } from "../../src/launcher/elf.ts"
import { type Arch, CODE, codeImage, EHDR, elf, LOAD_AT, PHDR } from "./images.ts"

const MEMORY = 16 * 2 ** 20
const limits: Limits = {
  memoryBytes: MEMORY,
  reserved: { i386: [0xffc00000n, 0xffffffffn], x86_64: [0xffffff0000000000n, 0xffffff7fffffffffn] },
}
const problem = (bytes: Uint8Array, within = limits): string => {
  try {
    parseElf(bytes, within)
  } catch (thrown) {
    if (thrown instanceof KernelError) return thrown.message
    throw thrown
  }
  return ""
}
const patched = (image: Buffer, at: number, ...bytes: number[]): Buffer => {
  const copy = Buffer.from(image)
  copy.set(bytes, at)
  return copy
}
const page = (paddr: number) => ({ paddr, bytes: new Uint8Array(4096) })

describe.each<Arch>(["i386", "x86_64"])("an image for %s", (arch) => {
  const good = codeImage(arch, CODE.forever)

  it("is read", () => {
    const kernel = parseElf(good, limits)
    expect(kernel.arch).toBe(arch)
    expect(kernel.entry).toBe(LOAD_AT)
    expect(kernel.segments).toHaveLength(1)
    expect(kernel.segments[0]).toMatchObject({ address: LOAD_AT, memoryBytes: 2 })
    expect([...kernel.segments[0]!.bytes]).toEqual(CODE.forever)
  })

  it("is refused at any length but its own", () => {
    for (let length = 0; length < good.length; length++) expect(problem(good.subarray(0, length))).not.toBe("")
  })

  it.each<[string, () => Buffer, RegExp]>([
    ["an empty file", () => Buffer.alloc(0), /empty/],
    ["no ELF file", () => Buffer.from("#!/bin/sh\nexit 1\n"), /not an ELF file/],
    ["a gzip file", () => Buffer.concat([Buffer.from([0x1f, 0x8b, 8]), good]), /gzip/],
    ["an unknown class", () => patched(good, 4, 3), /class 3/],
    ["the other byte order", () => patched(good, 5, 2), /big-endian/],
    ["another machine", () => patched(good, 18, 183), /machine 183/],
    ["the other class", () => patched(good, 4, arch === "i386" ? 2 : 1), /machine|truncated/],
    ["a relocatable object", () => patched(good, 16, 1), /no executable/],
    ["a position-independent program", () => patched(good, 16, 3), /position-independent/],
    ["no program headers", () => patched(good, arch === "i386" ? 44 : 56, 0, 0), /no program headers/],
    ["program headers of another size", () => patched(good, arch === "i386" ? 42 : 54, 8), /program headers of 8/],
    ["program headers past the end", () => patched(good, arch === "i386" ? 44 : 56, 200), /truncated/],
    ["a dynamic linker", () => elf({ arch, segments: [{ ...page(LOAD_AT), type: 3 }] }), /dynamic linker/],
    ["nothing to load", () => elf({ arch, segments: [{ ...page(LOAD_AT), type: 4 }] }), /PT_LOAD/],
    ["more in the file than in memory", () => elf({ arch, segments: [{ ...page(LOAD_AT), memsz: 100 }] }), /only 100/],
    ["overlapping segments", () => elf({ arch, segments: [page(LOAD_AT + 8), page(LOAD_AT)] }), /overlap/],
    ["a segment past memory", () => elf({ arch, segments: [page(LOAD_AT), page(MEMORY - 1)] }), /16 MiB/],
    ["a huge bss", () => elf({ arch, segments: [{ ...page(LOAD_AT), memsz: 0xc0000000 }] }), /more than the guest/],
    ["an entry outside", () => elf({ arch, segments: [page(LOAD_AT)], entry: LOAD_AT + 4096 }), /nothing is loaded/],
    [
      "a physical address that is a virtual one",
      () => patched(good, EHDR[arch] + (arch === "i386" ? 15 : 31), 0xff),
      arch === "i386" ? /memory up to 0xff/ : /for its segment 0 paddr/,
    ],
    [
      "an address that wraps around",
      () =>
        elf({
          arch,
          segments: [{ ...page(LOAD_AT), vaddr: arch === "i386" ? 0xfffff800n : 0xffff_ffff_ffff_f800n }],
        }),
      /wraps/,
    ],
    [
      "an address of the host's",
      () =>
        elf({ arch, segments: [{ ...page(LOAD_AT), vaddr: arch === "i386" ? 0xffbff001n : 0xffff_feff_ffff_f001n }] }),
      /collides with the host/,
    ],
  ])("with %s is refused", (_what, image, message) => {
    const bytes = image()
    expect(problem(bytes)).toMatch(message)
    expect(problem(bytes)).not.toContain("\n")
  })

  it("may use every address where there is no host", () => {
    const image = elf({
      arch,
      segments: [{ ...page(LOAD_AT), vaddr: arch === "i386" ? 0xffd00000n : 0xffffff1000000000n }],
    })
    expect(problem(image, { ...limits, reserved: undefined })).toBe("")
  })

  it("with any bytes changed is read within its bounds, or refused", () => {
    const header = EHDR[arch] + PHDR[arch]
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: header - 1 }), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
        (changes) => {
          const bytes = Buffer.from(good)
          for (const [at, value] of changes) bytes[at] = value
          let kernel
          try {
            kernel = parseElf(bytes, limits)
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(KernelError)
            return
          }
          for (const segment of kernel.segments) {
            expect(segment.bytes.length).toBeLessThanOrEqual(segment.memoryBytes)
            expect(segment.address + segment.memoryBytes).toBeLessThanOrEqual(MEMORY)
          }
        },
      ),
      { numRuns: 2000 },
    )
  })
})

describe("a bzImage", () => {
  it("is recognised", () => {
    const image = Buffer.alloc(1024)
    image.write("HdrS", 0x202)
    expect(problem(image)).toMatch(/bzImage/)
  })
})
