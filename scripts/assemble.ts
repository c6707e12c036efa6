import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..")

/** One piece of the hosts' machine code: sources, where it is linked, and the symbols that they include. */
export interface AssemblyUnit {
  readonly name: string
  /** The source that is assembled; relative to the repository. */
  readonly source: string
  /** Everything it is made of, for the manifest; relative to the repository. */
  readonly sources: ReadonlyArray<string>
  /** Virtual address of its first byte. */
  readonly address: bigint
  readonly bits: 32 | 64
  /** Contents of `offsets.h`. */
  readonly offsets: string
  /** Symbols that lie outside of the image, such as gates. */
  readonly external: ReadonlyMap<string, bigint>
  /** The generated TypeScript module; relative to the repository. */
  readonly output: string
}

const run = (command: string, args: ReadonlyArray<string>) =>
  execFileSync(command, args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

/** Assembles and links one unit with the system's gcc and binutils, and writes its TypeScript module. */
export const assemble = (unit: AssemblyUnit): void => {
  const work = mkdtempSync(join(tmpdir(), "assemble-"))
  try {
    writeFileSync(join(work, "offsets.h"), unit.offsets)
    const object = join(work, "unit.o")
    const image = join(work, "unit.elf")
    const flat = join(work, "unit.bin")
    run("gcc", [`-m${unit.bits}`, "-c", "-x", "assembler-with-cpp", `-I${work}`, "-o", object, unit.source])
    run("ld", [
      "-m",
      unit.bits === 64 ? "elf_x86_64" : "elf_i386",
      "--build-id=none",
      "-z",
      "noexecstack",
      "-e",
      "0",
      `-Ttext=0x${unit.address.toString(16)}`,
      ...[...unit.external].map(([name, value]) => `--defsym=${name}=0x${value.toString(16)}`),
      "-o",
      image,
      object,
    ])
    run("objcopy", ["-O", "binary", "-j", ".text", image, flat])
    const symbols = run("nm", ["--defined-only", "-g", image])
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/) as [string, string, string])
      .filter(([, , name]) => !unit.external.has(name) && !/^(__bss_start|_edata|_end|edata|end)$/.test(name))
      .map(([value, , name]) => [name, BigInt(`0x${value}`) - unit.address] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1))
    const base64 = readFileSync(flat).toString("base64")
    const lines = base64.match(/.{1,100}/g) ?? []
    const output = join(root, unit.output)
    mkdirSync(dirname(output), { recursive: true })
    writeFileSync(
      output,
      [
        `/* Generated from ${unit.source} by npm run guests: do not edit. */`,
        "",
        `/** Offsets of the symbols of ${unit.name} from its first byte. */`,
        "export const symbols = {",
        ...symbols.map(([name, value]) => `  ${name}: 0x${value.toString(16)},`),
        "} as const",
        "",
        "/** The machine code, base64. */",
        "export const code =",
        ...lines.map((line, i) => `  "${line}"${i < lines.length - 1 ? " +" : ""}`),
        "",
      ].join("\n"),
    )
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** All units; each architecture names its own in `scripts/units-*.ts`. */
export const allUnits = async (): Promise<ReadonlyArray<AssemblyUnit>> => {
  const { units: x86_64 } = await import("./units-x86_64.ts")
  const { units: i386 } = await import("./units-i386.ts")
  const { units: attacks } = await import("./units-attacks.ts")
  return [...x86_64, ...i386, ...attacks]
}

export const assembleAll = async (): Promise<ReadonlyArray<AssemblyUnit>> => {
  const units = await allUnits()
  for (const unit of units) assemble(unit)
  return units
}

if (process.argv[1] !== undefined && relative(process.argv[1], fileURLToPath(import.meta.url)) === "") {
  const units = await assembleAll()
  for (const { name, output } of units) console.log(`${name}: ${output}`)
}
