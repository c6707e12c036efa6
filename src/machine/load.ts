import { bootParams, type BootInfo, type Range } from "./bootParams.ts"
import type { Ram } from "./ram.ts"

/*
 * L:030 Then memory. What the Guest takes for physical memory, from address 0 up, is a piece of the Host's in the
 * middle of nowhere; to the Launcher it is an array of bytes. This is the moment of the three kinds of address: gva,
 * what a program in the Guest uses; gpa, what the Guest's page tables make of it; hpa, where the bytes really are. Mix
 * two of them up and you have a security hole.
 *
 * A kernel laid out in memory for Linux's boot protocol: segments at their physical addresses, initrd at the top,
 * command line and boot_params below 64 KiB. Natively that memory is the machine's; under a module it is a part of the
 * host's, from `base` on, which the guest knows as 0.
 */

/** A kernel image after its file format has been dealt with: bytes at (guest-)physical addresses. */
export interface KernelImage {
  readonly arch: "i386" | "x86_64"
  /** Physical address of the first instruction. */
  readonly entry: number
  readonly segments: ReadonlyArray<{
    readonly address: number
    readonly bytes: Uint8Array
    /** Bytes in memory; those after `bytes` are zero. */
    readonly memoryBytes: number
  }>
}

export interface LoadRequest {
  readonly ram: Ram
  readonly base: number
  readonly memoryBytes: number
  readonly kernel: KernelImage
  readonly cmdline: string
  readonly initrd: Uint8Array | undefined
  readonly subarch: BootInfo["subarch"]
  readonly subarchData?: BootInfo["subarchData"]
  /** Memory that is the firmware's. */
  readonly reserved?: Range | undefined
}

/** The image, command line or initrd does not fit the machine. */
export class BootError extends Error {
  override readonly name = "BootError"
}

/** What lies below the kernel, whose lowest address is 64 KiB. */
export const BOOT_PARAMS_AT = 0x2000
const CMDLINE_AT = 0x3000
const KERNEL_LOWEST = 0x1_0000
/** Bytes without the NUL: as much as Linux reads. */
export const CMDLINE_LONGEST = 2047

const hex = (n: number) => `0x${n.toString(16)}`

/** Loads, or throws a BootError and has then written some of it. Memory is zero before. */
export const loadKernel = (request: LoadRequest): void => {
  const { ram, base, memoryBytes, kernel, cmdline, initrd, subarch, subarchData, reserved } = request
  const initrdBytes = initrd?.length ?? 0
  // At the top of memory, page-aligned.
  const initrdAt = initrdBytes > 0 ? Math.floor((memoryBytes - initrdBytes) / 4096) * 4096 : memoryBytes
  const line = new TextEncoder().encode(cmdline)
  if (line.length > CMDLINE_LONGEST)
    throw new BootError(`the command line has ${line.length} bytes; ${CMDLINE_LONGEST} is the longest`)
  if (initrdAt < KERNEL_LOWEST) throw new BootError(`an initrd of ${initrdBytes} bytes does not fit into memory`)
  if (reserved !== undefined && initrdAt < reserved.end)
    throw new BootError(`${Math.floor(memoryBytes / 1024)} KiB of memory are too few: the firmware's tables need some`)
  for (const { address, bytes, memoryBytes: inMemory } of kernel.segments) {
    const end = address + Math.max(inMemory, bytes.length)
    if (address < KERNEL_LOWEST)
      throw new BootError(`the kernel's segment at ${hex(address)} is below 64 KiB, where boot data lies`)
    if (end > initrdAt)
      throw new BootError(
        `the kernel's segment at ${hex(address)} ends at ${hex(end)}, past the ` +
          `${Math.floor(initrdAt / 1024)} KiB of memory that the initrd leaves`,
      )
    if (reserved !== undefined && address < reserved.end && end > reserved.begin)
      throw new BootError(`the kernel's segment at ${hex(address)} lies where the firmware's tables are`)
    ram.copyIn(base + address, bytes)
  }
  if (initrd !== undefined) ram.copyIn(base + initrdAt, initrd)
  ram.copyIn(base + CMDLINE_AT, line)
  ram.copyIn(
    base + BOOT_PARAMS_AT,
    bootParams({
      memoryBytes,
      reserved,
      cmdlineAddress: CMDLINE_AT,
      initrdAddress: initrdBytes > 0 ? initrdAt : 0,
      initrdBytes,
      subarch,
      subarchData,
    }),
  )
}
