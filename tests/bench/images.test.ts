import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { MANIFEST, sourceHashes } from "../../bench/build.ts"
import { type Arch, ARCHES, KERNELS } from "../../bench/kernels.ts"
import { runNative } from "../../bench/native.ts"
import { coreFile } from "../../scripts/build-core.ts"

/** A few rounds of each kernel, and what they compute: the first four as the same C printed on a real processor. */
const EXPECTED: Record<string, { repeats: number } & Record<Arch, string>> = {
  integer: { repeats: 1000, i386: "894c9138", x86_64: "47cef0a3" },
  memory: { repeats: 1, i386: "7fff8000", x86_64: "7fff8000" },
  branchy: { repeats: 100, i386: "a903324b", x86_64: "a903324b" },
  calls: { repeats: 2, i386: "e3722847", x86_64: "e3722847" },
  loop: { repeats: 1000, i386: "00000000", x86_64: "00000000" },
  syscall: { repeats: 50, i386: "00000018", x86_64: "00000000" }, // what the way back leaves in the register
  fault: { repeats: 600, i386: "00000258", x86_64: "00000258" }, // faults taken
  cr3: { repeats: 50, i386: "00000000", x86_64: "00000000" },
}

describe("benchmark images", () => {
  it("were built from these sources (else: npx tsx bench/build.ts)", () => {
    expect(JSON.parse(readFileSync(MANIFEST, "utf8"))).toEqual(sourceHashes())
  })

  const core = new WebAssembly.Module(readFileSync(coreFile))
  it.each(KERNELS)("$name computes what it should on both architectures", (kernel) => {
    const { repeats, ...checksums } = EXPECTED[kernel.name]
    for (const arch of ARCHES) expect(runNative(core, arch, kernel, repeats).checksum).toBe(checksums[arch])
  })
})
