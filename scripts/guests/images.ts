import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { cpio, type Entry } from "./cpio.ts"
import { type Arch, ARCHES, flags, tool } from "./toolchain.ts"

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..")

/** Files under a folder of the repository, sorted, relative to the repository. */
export const filesUnder = (folder: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort()

export const kernelImage = (arch: Arch) => `puppy-${arch}.elf`
export const exampleImage = (name: string) => `${name}.elf`
export const initramfsImage = (arch: Arch) => `initramfs-${arch}.cpio`

/** A source whose name ends in _32 or _64 is for one architecture; kernels' linker scripts are no units. */
const unitsOf = (folder: string, arch: Arch): ReadonlyArray<string> =>
  filesUnder(folder).filter(
    (file) => /\.[cS]$/.test(file) && !file.endsWith(".lds.S") && !file.includes(arch === "i386" ? "_64." : "_32."),
  )

const includes = ["guests/puppy", "guests/puppy/include", "guests/include"].map((folder) => `-I${folder}`)

/**
 * Compiles each unit to an object that is named after it, and links them. (Objects that gcc names itself leave their names,
 * which are random, in the symbol table.)
 */
const build = async (
  compile: ReadonlyArray<string>,
  link: ReadonlyArray<string>,
  units: ReadonlyArray<string>,
  work: string,
  output: string,
): Promise<void> => {
  const folder = mkdtempSync(join(work, "objects-"))
  const objects: string[] = []
  for (const unit of units) {
    const object = `${unit.replaceAll("/", "_")}.o`
    await tool(root, "gcc", [...compile, "-c", "-o", join(folder, object), unit])
    objects.push(object)
  }
  await tool(folder, "gcc", [...compile, ...link, "-o", output, ...objects])
}

/** The kernel, with its symbols: traces name functions by them. */
const buildKernel = async (arch: Arch, work: string, output: string): Promise<void> => {
  const script = join(work, `${arch}.lds`)
  const word = arch === "i386" ? "-m32" : "-m64"
  await tool(root, "gcc", [word, "-E", "-P", "-x", "c", ...includes, "-o", script, "guests/puppy/puppy.lds.S"])
  const compile = [
    ...flags(arch),
    // Three arguments in registers, as Linux passes them; no red zone where interrupts share the stack.
    ...(arch === "i386" ? ["-mregparm=3"] : ["-mcmodel=kernel", "-mno-red-zone"]),
    ...["-O2", "-fno-strict-aliasing", "-fno-delete-null-pointer-checks", "-fno-common"],
    ...includes,
  ]
  await build(compile, ["-T", script], unitsOf("guests/puppy", arch), work, output)
}

/** Guests of one file, and what they are made from. */
const examples = [
  { name: "hello-x86_64", arch: "x86_64", source: "guests/examples/hello-x86_64.S", defines: [] },
  { name: "hello-i386", arch: "i386", source: "guests/examples/hello-i386.S", defines: [] },
  { name: "hello-i386-pae", arch: "i386", source: "guests/examples/hello-i386.S", defines: ["-DPAE"] },
] as const satisfies ReadonlyArray<{ name: string; arch: Arch; source: string; defines: ReadonlyArray<string> }>

/** Without symbols, and with text, data and bss in one segment at 1 MiB. */
const buildExample = (example: (typeof examples)[number], work: string, output: string): Promise<void> =>
  build(
    [...flags(example.arch), "-Iguests/include", ...example.defines],
    ["-s", "-Wl,-N,-Ttext=0x100000,--no-warn-rwx-segments"],
    [example.source],
    work,
    output,
  )

/** Programs of /bin, by the table in the sources; a link is named with - for _. */
const applets = (): ReadonlyArray<string> =>
  [...readFileSync(join(root, "guests/user/bin/applets.h"), "utf8").matchAll(/\bX\((\w+)\)/g)]
    .map(([, name]) => name.replaceAll("_", "-"))
    .filter((name) => name !== "name")

const buildInitramfs = async (arch: Arch, work: string, output: string): Promise<void> => {
  const program = join(work, `puppybox-${arch}`)
  await build([...flags(arch), "-Os"], ["-s", "-Wl,--gc-sections"], unitsOf("guests/user", arch), work, program)
  const directory = (path: string): Entry => ({ kind: "directory", path })
  const link = (path: string, target: string): Entry => ({ kind: "link", path, target })
  writeFileSync(
    output,
    cpio([
      ...["bin", "dev", "etc", "proc", "tmp"].map(directory),
      { kind: "file", path: "bin/puppybox", mode: 0o755, bytes: readFileSync(program) },
      ...applets().map((name) => link(`bin/${name}`, "puppybox")),
      link("init", "bin/puppybox"),
      { kind: "file", path: "etc/motd", mode: 0o644, bytes: readFileSync(join(root, "guests/user/etc/motd")) },
    ]),
  )
}

const builders: ReadonlyArray<readonly [string, (work: string, output: string) => Promise<void>]> = [
  ...ARCHES.flatMap((arch) => [
    [kernelImage(arch), (work: string, output: string) => buildKernel(arch, work, output)] as const,
    [initramfsImage(arch), (work: string, output: string) => buildInitramfs(arch, work, output)] as const,
  ]),
  ...examples.map(
    (example) =>
      [exampleImage(example.name), (work: string, output: string) => buildExample(example, work, output)] as const,
  ),
]

export const imageNames: ReadonlyArray<string> = builders.map(([name]) => name)

/** Builds images (all, unless some are named) into `folder`. The same sources and tools give the same bytes. */
export const buildImages = async (folder: string, names: ReadonlyArray<string> = imageNames): Promise<void> => {
  const work = mkdtempSync(join(tmpdir(), "guests-"))
  mkdirSync(folder, { recursive: true })
  try {
    await Promise.all(
      builders.filter(([name]) => names.includes(name)).map(([name, build]) => build(work, join(folder, name))),
    )
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
