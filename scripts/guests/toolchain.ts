import { execFile, execFileSync } from "node:child_process"
import { promisify } from "node:util"

const execute = promisify(execFile)

const firstLine = (command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).split("\n")[0]

/** Names and versions of the compiler and the linker; undefined where one of them is missing. */
export const toolchain = (): string | undefined => {
  try {
    return `${firstLine("gcc", "--version")}; ${firstLine("ld", "--version")}`
  } catch {
    return undefined
  }
}

/** Can this machine build guests? */
export const gasAvailable = (): boolean => toolchain() !== undefined

export type Arch = "i386" | "x86_64"
export const ARCHES: ReadonlyArray<Arch> = ["i386", "x86_64"]

/** Freestanding code for a processor that has integer instructions alone; no unwinding, no stack protector. */
export const flags = (arch: Arch): ReadonlyArray<string> => [
  ...(arch === "i386" ? ["-m32", "-march=i686"] : ["-m64", "-march=x86-64"]),
  ...["-std=gnu11", "-Wall", "-Wextra", "-ffreestanding", "-fno-pic", "-no-pie", "-mgeneral-regs-only"],
  ...["-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables"],
  // Or memcpy's own loop would become a call to memcpy.
  "-fno-tree-loop-distribute-patterns",
  ...["-ffunction-sections", "-fdata-sections", "-nostdlib", "-static"],
  "-Wl,--build-id=none,-z,noexecstack,-z,noseparate-code,-z,max-page-size=4096",
]

/** Runs gcc, or whatever tool, in `cwd`; its own message is the error. */
export const tool = async (cwd: string, command: string, args: ReadonlyArray<string>): Promise<void> => {
  try {
    const { stderr } = await execute(command, args, { cwd })
    if (stderr) process.stderr.write(stderr)
  } catch (error) {
    const { stderr } = error as { stderr?: string }
    throw new Error(`${command} failed:\n${stderr ?? String(error)}`)
  }
}
