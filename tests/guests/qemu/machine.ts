import { execFile, execFileSync, spawn } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { root } from "../../../scripts/guests/images.ts"
import { type Arch, ARCHES, gasAvailable, tool } from "../../../scripts/guests/toolchain.ts"

/* A machine that is not ours: QEMU, for each architecture its own. */

const emulator = (arch: Arch) => `qemu-system-${arch}`

const installed = (): boolean => {
  try {
    for (const arch of ARCHES) execFileSync(emulator(arch), ["--version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

/** Why nothing can be tested with it, if so. */
export const reason = !gasAvailable() ? "gcc and ld are not here" : !installed() ? "QEMU is not here" : undefined

/** Builds what QEMU starts, and what brings the kernel up in turn. */
export const buildLoader = (output: string): Promise<void> =>
  tool(root, "gcc", [
    ...["-m32", "-O1", "-ffreestanding", "-fno-pic", "-no-pie", "-fno-stack-protector", "-mgeneral-regs-only"],
    ...["-fcf-protection=none", "-nostdlib", "-static", "-Wl,-Ttext=0x3000000,--build-id=none,-z,noexecstack"],
    ...["-Wl,--no-warn-rwx-segments,-N", "-o", output],
    ...["tests/guests/qemu/loader.S", "tests/guests/qemu/loader.c"],
  ])

export interface Boot {
  readonly arch: Arch
  /** MiB. */
  readonly memory: string
  readonly loader: string
  readonly kernel: string
  readonly initramfs: string
  readonly append: string
  readonly devices: ReadonlyArray<string>
}

const commandLine = ({ memory, loader, kernel, initramfs, append, devices }: Boot): ReadonlyArray<string> => [
  ...["-m", memory, "-display", "none", "-monitor", "none", "-no-reboot"],
  ...["-kernel", loader, "-initrd", `${kernel} ${append},${initramfs}`, ...devices],
]

const LONGEST_MS = 60_000

/** Gives what the console said; QEMU ends when the guest powers off, or is ended after a minute. */
export const boot = async (options: Boot): Promise<string> => {
  const run = promisify(execFile)(emulator(options.arch), commandLine(options), { timeout: LONGEST_MS })
  return (await run).stdout.replaceAll("\r", "")
}

/** The same, for somebody to talk to. */
export const start = (options: Boot) =>
  spawn(emulator(options.arch), commandLine(options), { stdio: "pipe", timeout: LONGEST_MS, killSignal: "SIGKILL" })

/** What a program of checks has to complain about. */
export const failures = (console: string) => console.split("\n").filter((line) => line.startsWith("FAIL"))

/** A file in a test's folder. */
export const inFolder = (folder: string) => (name: string) => join(folder, name)
