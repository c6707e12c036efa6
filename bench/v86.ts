import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { type Kernel, kernelImage, type Measurement, SerialMarks } from "./kernels.ts"

/*
 * The same i386 kernels in the v86 package, in this process. It loads the flat image by its Multiboot header, without a
 * BIOS; its JIT warms up in a first short run, as ours would.
 */

interface Emulator {
  add_listener(event: string, listener: (value: number) => void): void
  destroy(): Promise<void>
}
type V86Constructor = new (options: Record<string, unknown>) => Emulator

const LONGEST_MS = 120_000

/** Loads the package; undefined if it is not installed (it is a development dependency). */
export const loadV86 = async (): Promise<((kernel: Kernel, repeats: number) => Promise<Measurement>) | undefined> => {
  let entry: string
  try {
    entry = createRequire(import.meta.url).resolve("v86")
  } catch {
    return undefined
  }
  const { V86 } = (await import(entry)) as { V86: V86Constructor }
  const wasm = join(dirname(entry), "v86.wasm")
  return async (kernel, repeats) => {
    const image = kernelImage("i386", kernel, repeats)
    const marks = new SerialMarks()
    let emulator: Emulator | undefined
    try {
      return await new Promise<Measurement>((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`v86 did not finish ${kernel.name}`)), LONGEST_MS)
        emulator = new V86({
          wasm_path: wasm,
          memory_size: 64 << 20,
          vga_memory_size: 1 << 20,
          multiboot: { buffer: image.bytes.slice().buffer },
          autostart: true,
          disable_keyboard: true,
          disable_mouse: true,
          disable_speaker: true,
          log_level: 0,
        })
        emulator.add_listener("serial0-output-byte", (byte) => {
          marks.byte(byte)
          if (!marks.done) return
          clearTimeout(late)
          resolve(marks.result)
        })
      })
    } finally {
      await emulator?.destroy()
    }
  }
}
