import {
  CR0,
  CR2,
  CR3,
  CR4,
  EXIT_BUDGET,
  EXIT_REASON,
  HALTED,
  MSR_EFER,
  MSR_KERNEL_GS_BASE,
  SEG,
  SEG_BASE,
  SEG_CS,
  SEG_DS,
  SEG_ES,
  SEG_FS,
  SEG_GS,
  SEG_SELECTOR,
  SEG_SS,
  SEG_STRIDE,
} from "./core/state.ts"
import { GPR_NAMES, type Processor } from "./processor.ts"

/*
 * A guest as a debugger sees it: virtual CPUs with registers and page tables of their own, over one physical memory. Who
 * runs the guest says what that means: natively it is the processor itself; a hypervisor's module knows where it keeps the
 * registers of a virtual CPU that is not in its guest, and what the guest believes its own registers to be.
 */

const SELECTORS = ["cs", "ss", "ds", "es", "fs", "gs"] as const
const CONTROL = ["cr0", "cr2", "cr3", "cr4"] as const
const LONG_CONTROL = ["fs_base", "gs_base", "k_gs_base", "efer"] as const

/** Registers by their names in 64-bit mode; on i386 `rax` is %eax. */
export type RegisterName =
  | (typeof GPR_NAMES)[number]
  | "rip"
  | "eflags"
  | (typeof SELECTORS)[number]
  | (typeof CONTROL)[number]
  | (typeof LONG_CONTROL)[number]

export const REGISTER_NAMES: ReadonlyArray<RegisterName> = [
  ...GPR_NAMES,
  "rip",
  "eflags",
  ...SELECTORS,
  ...CONTROL,
  ...LONG_CONTROL,
]

export interface VcpuInspection {
  /** The processor that is between two instructions of this virtual CPU's guest, if one is. */
  running(): Processor | undefined
  /** The register as the guest has it; 0 for one that does not exist there. */
  read(register: RegisterName): bigint
  /** False: it cannot be changed from here. */
  write(register: RegisterName, value: bigint): boolean
  /** Guest-physical address of a guest-virtual one by the guest's own tables, -1 for none; nothing is changed by asking. */
  translate(address: bigint): number
}

export interface GuestInspection {
  readonly bits: 32 | 64
  readonly vcpus: ReadonlyArray<VcpuInspection>
  /** All processors of the machine. */
  readonly processors: ReadonlyArray<Processor>
  /** The lowest ring in which the guest runs. */
  readonly ring: 0 | 1
  /** Where guest-physical 0 is in the machine's memory, and how many bytes the guest has. */
  readonly base: number
  readonly bytes: number
  /** The debugger has written [gpa, gpa + bytes). */
  written(gpa: number, bytes: number): void
}

export const SELECTOR_INDEX = { es: SEG_ES, cs: SEG_CS, ss: SEG_SS, ds: SEG_DS, fs: SEG_FS, gs: SEG_GS } as const
const CONTROL_FIELD = { cr0: CR0, cr2: CR2, cr3: CR3, cr4: CR4, efer: MSR_EFER } as const

export const isGpr = (register: RegisterName): register is (typeof GPR_NAMES)[number] =>
  (GPR_NAMES as ReadonlyArray<string>).includes(register)

export const gprIndex = (register: (typeof GPR_NAMES)[number]): number => GPR_NAMES.indexOf(register)

const segment = (index: number, field: number): number => SEG + index * SEG_STRIDE + field

/** A register of the processor itself. */
export const readProcessor = (cpu: Processor, register: RegisterName): bigint => {
  if (isGpr(register)) return cpu.gpr(gprIndex(register))
  switch (register) {
    case "rip":
      return cpu.rip
    case "eflags":
      return cpu.flags
    case "cs":
    case "ss":
    case "ds":
    case "es":
    case "fs":
    case "gs":
      return BigInt(cpu.word(segment(SELECTOR_INDEX[register], SEG_SELECTOR)) & 0xffff)
    case "fs_base":
      return cpu.long(segment(SEG_FS, SEG_BASE))
    case "gs_base":
      return cpu.long(segment(SEG_GS, SEG_BASE))
    case "k_gs_base":
      return cpu.long(MSR_KERNEL_GS_BASE)
    default:
      return cpu.long(CONTROL_FIELD[register])
  }
}

/** Changes one; those whose change would need a reload of hidden state cannot be: selectors and control registers. */
export const writeProcessor = (cpu: Processor, register: RegisterName, value: bigint): boolean => {
  if (isGpr(register)) cpu.setGpr(gprIndex(register), value)
  else if (register === "rip") {
    cpu.rip = value
    // Sent elsewhere, it does not wait for an interrupt any more.
    cpu.setWord(HALTED, 0)
  } else if (register === "eflags") cpu.flags = value
  else if (register === "fs_base") cpu.setLong(segment(SEG_FS, SEG_BASE), value)
  else if (register === "gs_base") cpu.setLong(segment(SEG_GS, SEG_BASE), value)
  else if (register === "k_gs_base") cpu.setLong(MSR_KERNEL_GS_BASE, value)
  else return false
  return true
}

/** What a stop of the debugger's has been seen to; the next one is told from it. */
export const forgetExit = (cpu: Processor): void => cpu.setWord(EXIT_REASON, EXIT_BUDGET)

/** A guest that has the machine for itself. */
export const inspectNative = (
  processors: ReadonlyArray<Processor>,
  bits: 32 | 64,
  memoryBytes: number,
): GuestInspection => ({
  bits,
  vcpus: processors.map((cpu) => ({
    running: () => cpu,
    read: (register) => readProcessor(cpu, register),
    write: (register, value) => writeProcessor(cpu, register, value),
    translate: (address) => Number(cpu.exports.translate(BigInt.asIntN(64, address), 0, 0, 0)),
  })),
  processors,
  ring: 0,
  base: 0,
  bytes: memoryBytes,
  written: () => undefined,
})
