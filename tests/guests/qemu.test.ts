import { execFile, execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { cpio } from "../../scripts/guests/cpio.ts"
import { buildImages, kernelImage, root } from "../../scripts/guests/images.ts"
import { type Arch, ARCHES, flags, gasAvailable, tool } from "../../scripts/guests/toolchain.ts"

/*
 * puppy on a machine that is not ours: QEMU. It agrees with real hardware where our simulator might share a mistake with
 * our kernel. `qemu/checks.c` is the first process and asks for everything that the kernel promises.
 */
const emulator = (arch: Arch) => `qemu-system-${arch}`

const installed = (): boolean => {
  try {
    for (const arch of ARCHES) execFileSync(emulator(arch), ["--version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

const reason = !gasAvailable() ? "gcc and ld are not here" : !installed() ? "QEMU is not here" : undefined
if (reason !== undefined) console.log(`puppy under QEMU is not tested: ${reason}`)

describe.skipIf(reason !== undefined)("puppy under QEMU", () => {
  const work = mkdtempSync(join(tmpdir(), "puppy-qemu-"))
  const file = (name: string) => join(work, name)

  beforeAll(async () => {
    await buildImages(work, ARCHES.map(kernelImage))
    await tool(root, "gcc", [
      ...["-m32", "-O1", "-ffreestanding", "-fno-pic", "-no-pie", "-fno-stack-protector", "-mgeneral-regs-only"],
      ...["-fcf-protection=none", "-nostdlib", "-static", "-Wl,-Ttext=0x3000000,--build-id=none,-z,noexecstack"],
      ...["-Wl,--no-warn-rwx-segments,-N", "-o", file("loader.elf")],
      ...["tests/guests/qemu/loader.S", "tests/guests/qemu/loader.c"],
    ])
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

  /** Boots, and gives what the console said; QEMU ends when the guest powers off, or is ended after a minute. */
  const boot = async (arch: Arch, memory: string, append: string, devices: ReadonlyArray<string>): Promise<string> => {
    const modules = `${file(kernelImage(arch))} ${append},${file(`checks-${arch}.cpio`)}`
    const machine = ["-m", memory, "-display", "none", "-monitor", "none", "-no-reboot"]
    const run = promisify(execFile)(
      emulator(arch),
      [...machine, "-kernel", file("loader.elf"), "-initrd", modules, ...devices],
      { timeout: 60_000 },
    )
    return (await run).stdout.replaceAll("\r", "")
  }

  const serial = ["-serial", "stdio"]
  const virtio = [
    ...["-device", "virtio-serial-pci,disable-legacy=on", "-chardev", "stdio,id=console"],
    ...["-device", "virtconsole,chardev=console"],
  ]
  const failures = (console: string) => console.split("\n").filter((line) => line.startsWith("FAIL"))

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

    it("says what it lacks with 1 MiB of memory", { timeout: 90_000 }, async () => {
      expect(await boot(arch, "128", "mem=1", serial)).toContain("puppy needs 4 MiB")
    })
  })
})
