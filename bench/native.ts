import type { KernelImage } from "../src/machine/load.ts"
import { NativePc } from "../src/machine/pc.ts"
import { type Arch, type Kernel, kernelImage, LOAD_ADDRESS, type Measurement, SerialMarks } from "./kernels.ts"

const MEMORY = 64 << 20
/** Short enough that V8 can change to its optimised code between two calls: it cannot in the middle of one. */
const SLICE = 1_000_000

export interface NativeMeasurement extends Measurement {
  /** Executed from power-on to power-off; all but some thousands between the marks. */
  readonly instructions: number
}

/** Runs one kernel on a native PC of ours. */
export const runNative = (core: WebAssembly.Module, arch: Arch, kernel: Kernel, repeats: number): NativeMeasurement => {
  const image = kernelImage(arch, kernel, repeats)
  const marks = new SerialMarks()
  const loaded: KernelImage = {
    arch,
    entry: image.entry,
    segments: [{ address: LOAD_ADDRESS, bytes: image.bytes, memoryBytes: image.memoryBytes }],
  }
  const pc = NativePc.create({
    core,
    memoryBytes: MEMORY,
    kernel: loaded,
    cmdline: "",
    consoleOut: () => undefined,
    serialOut: (bytes) => marks.byte(bytes[0]),
    clock: () => 0,
  })
  for (;;) {
    const event = pc.run(SLICE)
    if (event.kind === "powerOff") break
    if (event.kind !== "budget")
      throw new Error(`${kernel.name} on ${arch}: ${"reason" in event ? event.reason : event.kind}`)
  }
  return { ...marks.result, instructions: pc.processor.instructions }
}
