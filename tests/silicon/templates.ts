import { existsSync, readFileSync } from "node:fs"
import {
  Code,
  CpuidFeature,
  Decoder,
  DecoderOptions,
  type Instruction,
  InstructionInfoFactory,
  MemorySizeExt,
  Mnemonic,
  OpKind,
  Register,
} from "iced-x86"
import { CODE, SELECTORS } from "./layout.ts"
import type { Random } from "./random.ts"

/*
 * Instructions to be tried: the opcode maps are walked systematically, each opcode with random prefixes, ModRM, SIB,
 * displacement and immediate, and with every value of ModRM.reg, which selects the operation in the groups. iced-x86
 * tells what the bytes mean, so that operands can be aimed (cases.ts) and flags that are undefined be ignored.
 */

export type Bitness = 16 | 32 | 64

/** A place in memory that the instruction touches; registers by encoding number, -1 for none. */
export interface Operand {
  readonly base: number
  readonly index: number
  readonly scale: number
  readonly displacement: bigint
  /** In encoding order: ES CS SS DS FS GS. */
  readonly segment: number
  /** Bytes. */
  readonly size: number
  readonly implicit: boolean
  /** XLAT: the index is AL. */
  readonly indexIsByte: boolean
}

export interface Template {
  readonly bytes: Uint8Array
  readonly bitness: Bitness
  readonly mnemonic: string
  readonly code: number
  /** False: the processor must raise #UD (or #GP where it is too long). */
  readonly valid: boolean
  readonly addressSize: number
  readonly operands: ReadonlyArray<Operand>
  /** Where a displacement that stands alone lies in the bytes, and how long it is; it can be aimed like a register. */
  readonly displacementAt: number
  readonly displacementBytes: number
  readonly ipRelative: boolean
  /** RFLAGS bits that the manual leaves undefined; shifts are refined by their count (compare.ts). */
  readonly undefinedFlags: number
  readonly repeats: boolean
  /** Size of the first operand in bits, and shifts' immediate count (-1: CL). */
  readonly width: number
  readonly count: number
  /** Register operands by encoding number, -1 where the operand is none. */
  readonly register: readonly [number, number]
  readonly memoryFirst: boolean
  readonly operandSize: number
  /** The selector of a far pointer in the instruction, 0 where there is none. */
  readonly farSelector: number
}

/** What the simulated processor has: the integer instruction set of x86-64-v1. */
const FEATURES: ReadonlySet<number> = new Set([
  ...[CpuidFeature.INTEL8086, CpuidFeature.INTEL186, CpuidFeature.INTEL286, CpuidFeature.INTEL386],
  ...[CpuidFeature.INTEL486, CpuidFeature.X64, CpuidFeature.CMOV, CpuidFeature.CMPXCHG16B, CpuidFeature.CX8],
  ...[CpuidFeature.MSR, CpuidFeature.MULTIBYTENOP, CpuidFeature.PAUSE, CpuidFeature.CLFSH, CpuidFeature.SSE],
  ...[CpuidFeature.SSE2, CpuidFeature.PREFETCHW],
])

/** Of SSE and SSE2 it has these. */
const CACHE: ReadonlySet<number> = new Set([
  ...[Mnemonic.Lfence, Mnemonic.Mfence, Mnemonic.Sfence, Mnemonic.Movnti, Mnemonic.Clflush],
  ...[Mnemonic.Prefetchnta, Mnemonic.Prefetcht0, Mnemonic.Prefetcht1, Mnemonic.Prefetcht2, Mnemonic.Prefetchw],
])

/**
 * Valid, but no case for the oracle: they leave the process (system calls), differ from one machine to the next, or are
 * emulated by Linux (UMIP).
 */
const EXCLUDED: ReadonlySet<number> = new Set([
  ...[Mnemonic.Syscall, Mnemonic.Sysenter, Mnemonic.Sysexit, Mnemonic.Sysexitq, Mnemonic.Sysret, Mnemonic.Sysretq],
  ...[Mnemonic.Cpuid, Mnemonic.Rdtsc, Mnemonic.Rdtscp, Mnemonic.Rdpmc, Mnemonic.Wbnoinvd],
  ...[Mnemonic.Sgdt, Mnemonic.Sidt, Mnemonic.Sldt, Mnemonic.Str, Mnemonic.Smsw, Mnemonic.Wait, Mnemonic.Salc],
  ...[Mnemonic.Loadall, Mnemonic.Umov, Mnemonic.Ud0],
  // A hypervisor that intercepts #DB hands it on with the RIP of the instruction, not of the next.
  Mnemonic.Int1,
])

const SSE_ARITHMETIC = new Set<number>([CpuidFeature.SSE, CpuidFeature.SSE2])

const factory = new InstructionInfoFactory()
const names = (of: object) => new Map(Object.entries(of).map(([name, value]) => [value as number, name]))
const MNEMONICS = names(Mnemonic)
export const mnemonicName = (mnemonic: number): string => (MNEMONICS.get(mnemonic) ?? `?${mnemonic}`).toLowerCase()

const within = (register: number, first: number, count: number) => register >= first && register < first + count

/** Encoding number of a general register of any width; AH, CH, DH, BH count as their whole register; -1 for others. */
export const encoding = (register: number): number => {
  if (within(register, Register.AL, 4)) return register - Register.AL
  if (within(register, Register.AH, 4)) return register - Register.AH
  if (within(register, Register.SPL, 12)) return register - Register.SPL + 4
  if (within(register, Register.AX, 16)) return register - Register.AX
  if (within(register, Register.EAX, 16)) return register - Register.EAX
  if (within(register, Register.RAX, 16)) return register - Register.RAX
  return -1
}

const widthOf = (register: number): number => {
  if (register >= Register.AL && register < Register.AX) return 8
  if (within(register, Register.AX, 16)) return 16
  if (within(register, Register.EAX, 16)) return 32
  if (within(register, Register.RAX, 16)) return 64
  return 0
}

/** Whether the oracle can say something about these bytes. */
const acceptable = (instruction: Instruction, bytes: Uint8Array, bitness: Bitness): boolean => {
  if (instruction.code === Code.INVALID) return plainlyInvalid(bytes, bitness)
  if (EXCLUDED.has(instruction.mnemonic)) return false
  const features = [...instruction.cpuidFeatures()]
  if (features.some((f) => !FEATURES.has(f))) return false
  if (features.some((f) => SSE_ARITHMETIC.has(f)) && !CACHE.has(instruction.mnemonic)) return false
  if (instruction.mnemonic === Mnemonic.Int && (instruction.immediate8 === 0x80 || instruction.immediate8 === 0x81))
    return false
  for (let i = 0; i < instruction.opCount; i++) {
    const r = instruction.opKind(i) === OpKind.Register ? instruction.opRegister(i) : Register.None
    // Reading them depends on CR4.DE; test registers are long gone.
    if (r === Register.DR4 || r === Register.DR5 || within(r, Register.TR0, 8)) return false
  }
  return true
}

/** No valid instruction, and no escape to extensions that the real processor may know and iced-x86 does not. */
const plainlyInvalid = (bytes: Uint8Array, bitness: Bitness): boolean => {
  let i = 0
  while (i < bytes.length && isPrefix(bytes[i]!, bitness)) i++
  const b = bytes[i]
  // Prefixes without end: too long, #GP.
  if (b === undefined) return i >= 15
  if (i > 13) return false
  if (b === 0xc4 || b === 0xc5 || b === 0x62 || b === 0x8f || (b >= 0xd8 && b <= 0xdf)) return false
  if (b !== 0x0f) return true
  const second = bytes[i + 1]!
  // Groups in which newer processors have put much: 0F 00, 0F 01, 0F 18..1F, 0F 38, 0F 3A, 0F A6, A7, AE, B8, C7.
  return ![
    0x00, 0x01, 0x04, 0x0a, 0x0c, 0x0f, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0xa6, 0xa7, 0xae,
    0xb8, 0xc7, 0xff,
  ].includes(second)
}

const isPrefix = (b: number, bitness: Bitness) => PREFIXES.includes(b) || (bitness === 64 && (b & 0xf0) === 0x40)

const PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]

const repPrefixed = (i: Instruction) => i.isStringInstruction && (i.hasRepPrefix || i.hasRepnePrefix)

const SEGMENTS = [Register.ES, Register.CS, Register.SS, Register.DS, Register.FS, Register.GS]

/** 0 where an address size of `none` stands: no memory operand. */
const addressSizeOf = (bytes: Uint8Array, bitness: Bitness): number => {
  const native = bitness / 8
  for (const b of bytes) {
    if (b === 0x67) return native === 8 ? 4 : native === 4 ? 2 : 4
    if (!isPrefix(b, bitness)) break
  }
  return native
}

/** The vendor of the processor that the tests run on; the simulated one decodes as AMD's do. */
const isAmd = existsSync("/proc/cpuinfo") && readFileSync("/proc/cpuinfo", "latin1").includes("AuthenticAMD")

/**
 * Bytes that AMD's and Intel's processors understand differently (66 before a near branch, and REX.W before a far one or
 * before LSS, in 64-bit mode; PREFETCH of a register; how many bytes a pushed segment register fills; LAR's middle bits):
 * an Intel processor is not asked about them.
 */
const vendorSpecific = (bytes: Uint8Array, bitness: Bitness, amd: Instruction): boolean => {
  if (isAmd) return false
  const decoder = new Decoder(bitness, bytes, DecoderOptions.None)
  const intel = decoder.decode()
  const differ = intel.code !== amd.code || intel.length !== amd.length
  intel.free()
  decoder.free()
  const prefetch = amd.mnemonic === Mnemonic.Nop && amd.opCount > 0 && bytes.includes(0x0d)
  const segmentPush = amd.mnemonic === Mnemonic.Push && within(amd.op0Register, Register.ES, 6)
  return differ || prefetch || segmentPush || amd.mnemonic === Mnemonic.Lar
}

/** What the bytes mean, or undefined if they are no case. `bytes` may be longer than the instruction. */
export const analyse = (bytes: Uint8Array, bitness: Bitness, ip: bigint): Template | undefined => {
  const decoder = new Decoder(bitness, bytes, DecoderOptions.AMD)
  decoder.ip = ip
  const i = decoder.decode()
  try {
    const valid = i.code !== Code.INVALID
    const length = valid ? i.length : Math.min(bytes.length, 15)
    const own = bytes.slice(0, length)
    if (!acceptable(i, own, bitness) || vendorSpecific(bytes, bitness, i)) return undefined
    const addressSize = addressSizeOf(own, bitness)
    const constants = decoder.getConstantOffsets(i)
    const info = factory.info(i)
    const used = info.usedMemory()
    const explicit = i.memoryBase !== Register.None || i.memoryIndex !== Register.None || i.memoryDisplSize > 0
    const operands = used.map((m): Operand => {
      const segment = SEGMENTS.indexOf(m.segment)
      const operand = {
        base: encoding(m.base),
        index: encoding(m.index),
        scale: m.scale,
        displacement: BigInt.asUintN(64, m.displacement),
        segment: segment < 0 ? 3 : segment,
        size: sizeOf(m.memorySize),
        implicit: !(explicit && m.base === i.memoryBase && m.index === i.memoryIndex),
        indexIsByte: m.index === Register.AL,
      }
      m.free()
      return operand
    })
    info.free()
    const first = i.opCount > 0 && i.op0Kind === OpKind.Register ? i.op0Register : Register.None
    const second = i.opCount > 1 && i.op1Kind === OpKind.Register ? i.op1Register : Register.None
    const memoryFirst = i.opCount > 0 && i.op0Kind === OpKind.Memory
    const template: Template = {
      bytes: own,
      bitness,
      mnemonic: valid ? mnemonicName(i.mnemonic) : "(invalid)",
      code: i.code,
      valid,
      addressSize,
      operands,
      displacementAt: constants.displacementOffset,
      displacementBytes:
        constants.hasDisplacement &&
        (i.isIpRelMemoryOperand || (i.memoryBase === Register.None && i.memoryIndex === Register.None))
          ? constants.displacementSize
          : 0,
      ipRelative: i.isIpRelMemoryOperand,
      undefinedFlags: valid ? i.rflagsUndefined : 0,
      repeats: valid && repPrefixed(i),
      width: memoryFirst ? sizeOf(i.memorySize) * 8 : widthOf(first),
      count: shiftCount(i),
      register: [encoding(first), encoding(second)],
      memoryFirst,
      operandSize: operands[0]?.size ?? 0,
      farSelector: 0,
    }
    constants.free()
    return template
  } finally {
    i.free()
    decoder.free()
  }
}

const SHIFTS: ReadonlySet<number> = new Set([
  ...[Mnemonic.Rol, Mnemonic.Ror, Mnemonic.Rcl, Mnemonic.Rcr, Mnemonic.Shl, Mnemonic.Shr, Mnemonic.Sal, Mnemonic.Sar],
  ...[Mnemonic.Shld, Mnemonic.Shrd],
])

const shiftCount = (i: Instruction): number => {
  if (!SHIFTS.has(i.mnemonic)) return -1
  const last = i.opCount - 1
  return i.opKind(last) === OpKind.Immediate8 ? i.immediate8 : -1
}

/** Bytes of a MemorySize; what iced-x86 calls unknown is taken for one byte. */
const sizeOf = (memorySize: number): number => MemorySizeExt.size(memorySize) || 1

// ---------------------------------------------------------------------------------------------------- generation

const REX_LIKELY = [0x48, 0x41, 0x44, 0x49, 0x4c, 0x40, 0x4f, 0x42, 0x45]

const prefixes = (random: Random, bitness: Bitness): number[] => {
  const out: number[] = []
  if (random.chance(25)) out.push(0x66)
  if (random.chance(bitness === 16 ? 20 : 10)) out.push(0x67)
  if (random.chance(12)) out.push(random.pick([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x64, 0x65]))
  if (random.chance(10)) out.push(0xf3)
  if (random.chance(6)) out.push(0xf2)
  if (random.chance(6)) out.push(0xf0)
  if (random.chance(2)) out.push(random.pick(PREFIXES))
  if (out.length > 1 && random.chance(50)) out.reverse()
  if (bitness === 64) {
    if (random.chance(2)) out.push(0x40 | random.below(16), 0x66)
    if (random.chance(55)) out.push(random.chance(70) ? random.pick(REX_LIKELY) : 0x40 | random.below(16))
  }
  return out
}

const STRING_OPCODES = [0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf]
/** ModRM.reg selects among eight instructions: these get more templates. */
const GROUPS = [0x80, 0x81, 0x83, 0xc0, 0xc1, 0xd0, 0xd1, 0xd2, 0xd3, 0xf6, 0xf7, 0xfe, 0xff]
const GROUPS_0F = [0x00, 0x01, 0xba, 0xc7]

const LOCKABLE = [
  0x00, 0x01, 0x08, 0x09, 0x10, 0x11, 0x18, 0x19, 0x20, 0x21, 0x28, 0x29, 0x30, 0x31, 0x80, 0x81, 0x83, 0x86, 0x87,
  0xf6, 0xf7, 0xfe, 0xff,
]
const LOCKABLE_0F = [0xab, 0xb0, 0xb1, 0xb3, 0xba, 0xbb, 0xc0, 0xc1, 0xc7]

/** Random bytes that begin with `opcode` of `map` (0 or 0x0f), with ModRM.reg = `reg` where there is a ModRM. */
const bytesFor = (random: Random, bitness: Bitness, map: number, opcode: number, reg: number): Uint8Array => {
  const out = prefixes(random, bitness)
  if (map === 0 && STRING_OPCODES.includes(opcode) && random.chance(50)) out.unshift(random.pick([0xf2, 0xf3]))
  const lock = (map === 0 ? LOCKABLE : LOCKABLE_0F).includes(opcode) && random.chance(25)
  if (lock) out.unshift(0xf0)
  if (map !== 0) out.push(map)
  out.push(opcode)
  const mode = lock ? random.below(3) : random.below(4)
  const rm = random.chance(20) ? 4 : random.chance(10) ? 5 : random.below(8)
  out.push((mode << 6) | (reg << 3) | rm)
  if (mode !== 3 && rm === 4 && bitness !== 16)
    out.push(random.chance(15) ? (random.u32() & 0xc0) | 0x25 : random.below(256))
  // Displacements and immediates: often small, often a limit.
  while (out.length < 24) {
    const value = random.interesting()
    const n = random.pick([1, 2, 4, 4, 8])
    for (let i = 0; i < n; i++) out.push(Number((value >> BigInt(8 * i)) & 0xffn))
  }
  out.length = 24
  // ENTER: frames that fit, levels that are many.
  if (map === 0 && opcode === 0xc8 && random.chance(80)) {
    const at = out.lastIndexOf(0xc8, 8)
    out[at + 1] = random.below(256)
    out[at + 2] = random.below(4)
    out[at + 3] = random.chance(60) ? random.below(4) : random.below(256)
  }
  return Uint8Array.from(out)
}

/** Far pointers in the instruction: a selector that may be loadable, an offset that may be inside. */
const aimFarPointer = (random: Random, t: Template): Template => {
  const at = t.bytes.findIndex((b) => !PREFIXES.includes(b))
  if (!t.valid || t.bitness === 64 || (t.bytes[at] !== 0xea && t.bytes[at] !== 0x9a)) return t
  const view = new DataView(t.bytes.buffer, t.bytes.byteOffset)
  const farSelector = random.pick(SELECTORS)
  view.setUint16(t.bytes.length - 2, farSelector, true)
  const offset = random.pick([0x800, CODE + 0x800, 0xfff, 0x1000, CODE])
  if (t.bytes.length - 2 - (at + 1) === 4) view.setUint32(at + 1, offset, true)
  else view.setUint16(at + 1, offset & 0xffff, true)
  return { ...t, farSelector }
}

/** `perOpcode` templates for each opcode of the one-byte and the 0F map. */
export function* templates(random: Random, bitness: Bitness, perOpcode: number): Generator<Template> {
  for (const map of [0, 0x0f])
    for (let opcode = 0; opcode < 256; opcode++) {
      if (map === 0 && (PREFIXES.includes(opcode) || opcode === 0x0f)) continue
      if (map === 0 && bitness === 64 && (opcode & 0xf0) === 0x40) continue
      const count = (map === 0 ? GROUPS : GROUPS_0F).includes(opcode) ? 4 * perOpcode : perOpcode
      for (let n = 0; n < count; n++) {
        const bytes = bytesFor(random, bitness, map, opcode, n & 7)
        const t = analyse(bytes, bitness, BigInt(bitness === 16 ? 0x800 : CODE + 0x800))
        if (t === undefined) continue
        // One of these says as much as many.
        if (!t.valid && n >= 8 && !random.chance(10)) continue
        yield aimFarPointer(random, t)
      }
    }
  // Up to the longest instruction that there is, and beyond it.
  for (let length = 12; length <= 18; length++) {
    const bytes = new Uint8Array(length).fill(0x90)
    for (let i = 0; i < length - 1; i++) bytes[i] = random.pick([0x66, 0x67, 0x2e, 0x36, 0x64, 0x65])
    const t = analyse(bytes, bitness, BigInt(CODE))
    if (t !== undefined) yield t
  }
}
