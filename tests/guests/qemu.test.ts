import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { cpio } from "../../scripts/guests/cpio.ts"
import { buildImages, kernelImage, root } from "../../scripts/guests/images.ts"
import { type Arch, ARCHES, flags, tool } from "../../scripts/guests/toolchain.ts"
import { boot as bootMachine, buildLoader, failures, inFolder, reason } from "./qemu/machine.ts"

/*
 * puppy on a machine that is not ours: QEMU. It agrees with real hardware where our simulator might share a mistake with
 * our kernel. `qemu/checks.c` is the first process and asks for everything that the kernel promises.
 */
if (reason !== undefined) console.log(`puppy under QEMU is not tested: ${reason}`)

describe.skipIf(reason !== undefined)("puppy under QEMU", () => {
  const work = mkdtempSync(join(tmpdir(), "puppy-qemu-"))
  const file = inFolder(work)

  beforeAll(async () => {
    await buildImages(work, ARCHES.map(kernelImage))
    await buildLoader(file("loader.elf"))
    for (const arch of ARCHES) {
      const program = file(`checks-${arch}`)
      await tool(root, "gcc", [...flags(arch), "-O1", "-s", "-o", program, "tests/guests/qemu/checks.c"])
      writeFileSync(
        file(`checks-${arch}.cpio`),
        cpio([{ kind: "file", path: "init", mode: 0o755, bytes: readFileSync(program) }]),
      )
    }
  }, 120_000)

  afterAll(() => rmSync(work, { recursive: true, force: true }))

  const boot = (arch: Arch, memory: string, append: string, devices: ReadonlyArray<string>): Promise<string> =>
    bootMachine({
      arch,
      memory,
      loader: file("loader.elf"),
      kernel: file(kernelImage(arch)),
      initramfs: file(`checks-${arch}.cpio`),
      append,
      devices,
    })

  const serial = ["-serial", "stdio"]
  const virtio = [
    ...["-device", "virtio-serial-pci,disable-legacy=on", "-chardev", "stdio,id=console"],
    ...["-device", "virtconsole,chardev=console"],
  ]
  describe.each(ARCHES)("%s", (arch) => {
    it.each([
      ["the serial port", "128", "", serial] as const,
      ["the virtio console", "128", "", virtio] as const,
      ["4 MiB of memory", "128", "mem=4", serial] as const,
      // i386: some of it lies outside the kernel's direct map.
      ...(arch === "i386" ? [["1 GiB of memory", "1024", "mem=1000", serial] as const] : []),
    ])("keeps its promises with %s", { timeout: 90_000 }, async (_, memory, append, devices) => {
      const console = await boot(arch, memory, append, devices)
      expect(failures(console)).toEqual([])
      expect(console).toContain("checks passed")
    })

    it("keeps its promises on four processors", { timeout: 90_000 }, async () => {
      const console = await boot(arch, "128", "", [...virtio, "-smp", "4,sockets=4"])
      expect(console).toContain("smp: 4 processors")
      expect(failures(console)).toEqual([])
      expect(console).toContain("checks passed")
    })

    it("says what it lacks with 1 MiB of memory", { timeout: 90_000 }, async () => {
      expect(await boot(arch, "128", "mem=1", serial)).toContain("puppy needs 4 MiB")
    })
  })
})
