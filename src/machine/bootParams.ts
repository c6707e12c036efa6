import { at, struct } from "./layout.ts"

/*
 * L:040 A kernel wakes up knowing nothing: how much memory, which command line, am I a guest? One page answers. It is
 * Linux's, so that a Linux of those years would find its way, too.
 *
 * `struct boot_params`, Linux's "zero page" (Documentation/arch/x86/zero-page.rst): how a kernel learns what it was
 * booted with, natively and under a module alike. Only the fields that this project uses.
 */
export const BOOT_PARAMS = struct("boot_params", "BP", 0x1000, "what the boot loader tells the kernel", {
  e820Entries: at(0x1e8, 1, "entries in e820Table"),
  bootFlag: at(0x1fe, 2, "0xaa55"),
  header: at(0x202, 4, "'HdrS'"),
  version: at(0x206, 2, "boot protocol version"),
  typeOfLoader: at(0x210, 1, "0xff: none of the assigned ones"),
  loadFlags: at(0x211, 1, "bit 0: loaded at 1 MiB or above; bit 6: keep the segment registers as they are"),
  ramdiskImage: at(0x218, 4, "guest-physical address of the initrd"),
  ramdiskSize: at(0x21c, 4, "its bytes"),
  cmdLinePtr: at(0x228, 4, "guest-physical address of the NUL-terminated command line"),
  kernelAlignment: at(0x230, 4, "what a relocatable kernel's address must be a multiple of"),
  hardwareSubarch: at(0x23c, 4, "0 a PC, 1 lguest"),
  hardwareSubarchData: at(0x240, 8, "for the subarchitecture"),
  e820Table: at(0x2d0, 20, "u64 address, u64 size, u32 type (1: memory, 2: not to be used)", 128),
})

export const SUBARCH_PC = 0
export const SUBARCH_LGUEST = 1

const E820_RAM = 1
const E820_RESERVED = 2
const UNKNOWN_LOADER = 0xff
/** 2.07 is the first protocol with hardware_subarch. */
const PROTOCOL = 0x207
const HEADER_MAGIC = 0x53726448
const BOOT_FLAG = 0xaa55
const LOADED_HIGH = 1 << 0
/** A guest that followed habit and loaded a GDT of its own would be dead before it knows that it is a guest. */
const KEEP_SEGMENTS = 1 << 6
/** CONFIG_PHYSICAL_ALIGN's largest value. */
const KERNEL_ALIGNMENT = 0x100_0000

/** Physical addresses from `begin` up to, but not including, `end`. */
export interface Range {
  readonly begin: number
  readonly end: number
}

export interface BootInfo {
  /** Bytes of memory, from address 0. */
  readonly memoryBytes: number
  /** A part within it that is the firmware's; none: all of it is usable. */
  readonly reserved?: Range | undefined
  readonly cmdlineAddress: number
  readonly initrdAddress: number
  readonly initrdBytes: number
  readonly subarch: number
  /** hardware_subarch_data, its halves; default 0. */
  readonly subarchData?: { readonly lo: number; readonly hi: number } | undefined
}

const memoryMap = ({ memoryBytes, reserved }: BootInfo): ReadonlyArray<Range & { readonly type: number }> =>
  reserved === undefined
    ? [{ begin: 0, end: memoryBytes, type: E820_RAM }]
    : [
        { begin: 0, end: reserved.begin, type: E820_RAM },
        { ...reserved, type: E820_RESERVED },
        { begin: reserved.end, end: memoryBytes, type: E820_RAM },
      ]

/** The page, filled. */
export const bootParams = (info: BootInfo): Uint8Array => {
  const page = new Uint8Array(BOOT_PARAMS.size)
  const view = new DataView(page.buffer)
  const f = BOOT_PARAMS.fields
  const map = memoryMap(info)
  view.setUint8(f.e820Entries.offset, map.length)
  view.setUint16(f.bootFlag.offset, BOOT_FLAG, true)
  view.setUint32(f.header.offset, HEADER_MAGIC, true)
  view.setUint16(f.version.offset, PROTOCOL, true)
  view.setUint8(f.typeOfLoader.offset, UNKNOWN_LOADER)
  view.setUint8(f.loadFlags.offset, LOADED_HIGH | (info.subarch === SUBARCH_LGUEST ? KEEP_SEGMENTS : 0))
  view.setUint32(f.ramdiskImage.offset, info.initrdAddress, true)
  view.setUint32(f.ramdiskSize.offset, info.initrdBytes, true)
  view.setUint32(f.cmdLinePtr.offset, info.cmdlineAddress, true)
  view.setUint32(f.kernelAlignment.offset, KERNEL_ALIGNMENT, true)
  view.setUint32(f.hardwareSubarch.offset, info.subarch, true)
  view.setUint32(f.hardwareSubarchData.offset, info.subarchData?.lo ?? 0, true)
  view.setUint32(f.hardwareSubarchData.offset + 4, info.subarchData?.hi ?? 0, true)
  map.forEach(({ begin, end, type }, i) => {
    const entry = f.e820Table.offset + i * f.e820Table.width
    view.setUint32(entry, begin, true)
    view.setUint32(entry + 8, end - begin, true)
    view.setUint32(entry + 16, type, true)
  })
  return page
}
