import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { cpio } from "../../scripts/guests/cpio.ts"
import { buildImages, filesUnder, kernelImage, root } from "../../scripts/guests/images.ts"
import { ARCHES, flags, tool } from "../../scripts/guests/toolchain.ts"
import { boot, buildLoader, failures, inFolder, reason } from "./qemu/machine.ts"

/*
 * puppy's network card, entropy device and sockets under QEMU, whose devices and whose gateway are not of our making.
 * `qemu/netchecks.c` is the first process.
 */
if (reason !== undefined) console.log(`puppy's network under QEMU is not tested: ${reason}`)

describe.skipIf(reason !== undefined)("puppy's network under QEMU", () => {
  const work = mkdtempSync(join(tmpdir(), "puppy-netqemu-"))
  const file = inFolder(work)
  const library = filesUnder("guests/user/lib").filter((name) => /\.[cS]$/.test(name))

  beforeAll(async () => {
    await buildImages(work, ARCHES.map(kernelImage))
    await buildLoader(file("loader.elf"))
    for (const arch of ARCHES) {
      const program = file(`netchecks-${arch}`)
      await tool(root, "gcc", [
        ...[...flags(arch), "-O1", "-s", "-Wl,--gc-sections", "-o", program],
        ...["tests/guests/qemu/netchecks.c", ...library],
      ])
      const init = { kind: "file", path: "init", mode: 0o755, bytes: readFileSync(program) } as const
      writeFileSync(file(`netchecks-${arch}.cpio`), cpio([init]))
    }
  }, 120_000)

  afterAll(() => rmSync(work, { recursive: true, force: true }))

  const devices = [
    ...["-serial", "stdio", "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,disable-legacy=on"],
    ...["-device", "virtio-rng-pci,disable-legacy=on"],
  ]

  const cases = ARCHES.flatMap((arch) => [1, 4].map((processors) => [arch, processors] as const))

  it.each(cases)("keeps its promises on %s with %i processors", { timeout: 90_000 }, async (arch, processors) => {
    const console = await boot({
      ...{ arch, memory: "128", loader: file("loader.elf"), kernel: file(kernelImage(arch)) },
      ...{ initramfs: file(`netchecks-${arch}.cpio`), append: "ip=10.0.2.15/24" },
      devices: [...devices, "-smp", `${processors},sockets=${processors}`],
    })
    expect(failures(console)).toEqual([])
    expect(console).toContain("checks passed")
  })
})
