import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

/* Builds the benchmark images with the system's gcc and binutils; the images are committed, so that nobody needs to. */

const here = dirname(fileURLToPath(import.meta.url))
const SOURCES = ["kernels/start.S", "kernels/kernels.c", "kernels/image.lds"]
export const MANIFEST = join(here, "images/manifest.json")

const FLAGS = (
  "-O2 -ffreestanding -fno-pic -fno-pie -mgeneral-regs-only -fno-stack-protector -fcf-protection=none " +
  "-fno-asynchronous-unwind-tables -fno-tree-vectorize -fno-tree-loop-distribute-patterns -mno-red-zone -Wall -Wextra"
).split(" ")

/** SHA-256 of every source, by its path. */
export const sourceHashes = (): Record<string, string> =>
  Object.fromEntries(
    SOURCES.map((source) => [
      source,
      createHash("sha256")
        .update(readFileSync(join(here, source)))
        .digest("hex"),
    ]),
  )

export const buildBenchImages = (): void => {
  mkdirSync(join(here, "images"), { recursive: true })
  const work = mkdtempSync(join(tmpdir(), "bench-"))
  try {
    for (const [arch, bits, emulation] of [
      ["i386", "-m32", "elf_i386"],
      ["x86_64", "-m64", "elf_x86_64"],
    ] as const) {
      const run = (command: string, ...args: string[]) => execFileSync(command, args, { cwd: here, stdio: "inherit" })
      const machine = arch === "i386" ? ["-march=i686"] : ["-march=x86-64"]
      const compiler = [bits, ...machine, ...FLAGS, "-c"]
      run("gcc", ...compiler, "-o", join(work, "start.o"), "kernels/start.S")
      run("gcc", ...compiler, "-o", join(work, "kernels.o"), "kernels/kernels.c")
      const elf = join(work, "image.elf")
      run("ld", "-m", emulation, "--build-id=none", "-z", "noexecstack", "-z", "max-page-size=4096", "-T",
        "kernels/image.lds", "-o", elf, join(work, "start.o"), join(work, "kernels.o")) // prettier-ignore
      run("objcopy", "-O", "binary", "-j", ".text", elf, join(here, `images/${arch}.bin`))
    }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  writeFileSync(MANIFEST, JSON.stringify(sourceHashes(), null, 2) + "\n")
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) buildBenchImages()
