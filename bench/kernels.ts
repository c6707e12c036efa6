import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

/*
 * The benchmark kernels: what they are and how their images are set up. Sources in bench/kernels, one flat image an
 * architecture, loaded at 1 MiB; a Multiboot header at its start says where it is entered.
 */

export type Arch = "i386" | "x86_64"
export const ARCHES: ReadonlyArray<Arch> = ["i386", "x86_64"]

export interface Kernel {
  readonly name: string
  /** Its place in `kernels[]` of bench/kernels/kernels.c. */
  readonly number: number
  /** Rounds that take a simulator of 100 MIPS about a second. */
  readonly repeats: number
  /** `MIPS`, or what one round is (then rounds are counted by the second). */
  readonly unit: string
}

export const KERNELS: ReadonlyArray<Kernel> = [
  { name: "loop", number: 0, repeats: 50_000_000, unit: "MIPS" },
  { name: "integer", number: 1, repeats: 4_000_000, unit: "MIPS" },
  { name: "memory", number: 2, repeats: 100, unit: "MIPS" },
  { name: "branchy", number: 3, repeats: 80_000, unit: "MIPS" },
  { name: "calls", number: 4, repeats: 2_500, unit: "MIPS" },
  { name: "syscall", number: 5, repeats: 1_000_000, unit: "system calls" },
  { name: "fault", number: 6, repeats: 300_000, unit: "page faults" },
  { name: "cr3", number: 7, repeats: 500_000, unit: "CR3 loads" },
]

export const LOAD_ADDRESS = 0x10_0000
/** Offsets in the image: of the Multiboot header's last two addresses, and of the words to set (start.S). */
const HEADER_BSS_END = 0x18
const HEADER_ENTRY = 0x1c
const SELECTED = 0x20
const REPEATS = 0x24

export interface Image {
  readonly bytes: Uint8Array
  readonly entry: number
  /** Bytes in memory, the zeroed ones at the end included. */
  readonly memoryBytes: number
}

/** The image of `arch`, set up to run one kernel. */
export const kernelImage = (arch: Arch, kernel: Kernel, repeats = kernel.repeats): Image => {
  const bytes = new Uint8Array(readFileSync(fileURLToPath(new URL(`images/${arch}.bin`, import.meta.url))))
  const view = new DataView(bytes.buffer)
  view.setUint32(SELECTED, kernel.number, true)
  view.setUint32(REPEATS, repeats, true)
  return {
    bytes,
    entry: view.getUint32(HEADER_ENTRY, true),
    memoryBytes: view.getUint32(HEADER_BSS_END, true) - LOAD_ADDRESS,
  }
}

/** What one run gave. */
export interface Measurement {
  /** Between the marks that the image writes to the serial port. */
  readonly seconds: number
  /** What the kernel computed, as it printed it: the same on every machine that works. */
  readonly checksum: string
}

/** Watches the serial port for the image's marks: `B`, `E`, eight digits, newline. */
export class SerialMarks {
  private begin = 0
  private end = 0
  private text = ""
  done = false

  byte(byte: number): void {
    const character = String.fromCharCode(byte)
    if (character === "B") this.begin = performance.now()
    else if (character === "E") this.end = performance.now()
    else if (character === "\n") this.done = true
    else this.text += character
  }

  get result(): Measurement {
    return { seconds: (this.end - this.begin) / 1000, checksum: this.text }
  }
}
