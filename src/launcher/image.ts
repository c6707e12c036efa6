import * as Effect from "effect/Effect"
import { lguest, lguest64 } from "../paravirt_ops/index.ts"
import type { KernelImage } from "../machine/load.ts"
import { cpioProblem } from "./cpio.ts"
import { KernelError, type Limits, parseElf } from "./elf.ts"
import { BadImage, type MissingFile, UsageError } from "./errors.ts"
import { Files } from "./files.ts"
import { ONE_VCPU_IS_I386, PAE_IS_I386, type RunOptions } from "./options.ts"

/* Finds and checks what is to be booted: the kernel, and its initrd. */

export interface BootImage {
  /** The kernel's file, for messages. */
  readonly file: string
  /** Its bytes, and what is in them. */
  readonly source: Uint8Array
  readonly kernel: KernelImage
  readonly initrd: Uint8Array | undefined
}

/** First and last virtual address of the hosts. PML4 slots are 512 GiB; the upper half of them is sign-extended. */
const slot = BigInt.asUintN(64, (BigInt(lguest64.HOST_PML4_SLOT) << 39n) | (0xffffn << 48n))
const RESERVED: Limits["reserved"] = {
  i386: [BigInt(lguest.SWITCHER_ADDR), 0xffff_ffffn],
  x86_64: [slot, slot + (1n << 39n) - 1n],
}

/** What is in a kernel's file, for the machine that the options ask for. */
export const kernelOf = (
  file: string,
  bytes: Uint8Array,
  { memoryBytes, native }: Pick<RunOptions, "memoryBytes" | "native">,
): Effect.Effect<KernelImage, BadImage> =>
  Effect.try({
    try: () => parseElf(bytes, { memoryBytes, reserved: native ? undefined : RESERVED }),
    catch: (thrown) => {
      if (!(thrown instanceof KernelError)) throw thrown
      return new BadImage({ file, problem: thrown.message })
    },
  })

export const loadImages = (options: RunOptions): Effect.Effect<BootImage, BadImage | MissingFile | UsageError, Files> =>
  Effect.gen(function* () {
    const files = yield* Files
    const own = options.kernel === undefined
    const arch = options.arch ?? "x86_64"
    const file = options.kernel ?? files.own(`guests/images/puppy-${arch}.elf`)
    const source = yield* files.read(file)
    const kernel = yield* kernelOf(file, source, options)
    if (options.arch !== undefined && options.arch !== kernel.arch)
      return yield* new BadImage({
        file,
        problem: `is a kernel for ${kernel.arch}, and --arch asks for ${options.arch}`,
      })

    if (options.pae && kernel.arch !== "i386") return yield* new UsageError({ problem: PAE_IS_I386 })
    if (options.smp.vcpus > 1 && kernel.arch === "i386" && !options.native)
      return yield* new UsageError({ problem: ONE_VCPU_IS_I386 })

    const initrdFile = options.initrd ?? (own ? files.own(`guests/images/initramfs-${arch}.cpio`) : undefined)
    if (initrdFile === undefined) return { file, source, kernel, initrd: undefined }
    const initrd = yield* files.read(initrdFile)
    const problem = cpioProblem(initrd)
    if (problem !== undefined) return yield* new BadImage({ file: initrdFile, problem })
    return { file, source, kernel, initrd }
  })
