import { readFileSync } from "node:fs"
import * as fc from "fast-check"
import { Code, CpuidFeature, Decoder, DecoderOptions, type Instruction, Mnemonic, OpKind, Register } from "iced-x86"
import { beforeAll, describe, expect, it } from "vitest"
import { coreFile } from "../../scripts/build-core.ts"
import { openBus } from "../../src/machine/bus.ts"
import * as O from "../../src/machine/core/ops.ts"
import * as R from "../../src/machine/core/record.ts"
import { CPU_AREA, MODE_16, MODE_32, MODE_64 } from "../../src/machine/core/state.ts"
import { Machine } from "../../src/machine/machine.ts"

/*
 * The core's decoder against iced-x86: for any bytes both say that it is no instruction, or both give the same operation,
 * length and operands. iced-x86 decodes as an AMD processor does (66 before a near branch in 64-bit mode counts), as the
 * core does. Where the two differ for a reason, the reason is given.
 */

type Bitness = 16 | 32 | 64
const MODES: Readonly<Record<Bitness, number>> = { 16: MODE_16, 32: MODE_32, 64: MODE_64 }

/** What both decoders are asked for, in words that two can share. */
interface Decoded {
  readonly length: number
  readonly operation: number
  readonly operands: ReadonlyArray<string>
}

// --------------------------------------------------------------------------------------------- the core's answer

let core: { inspect(mode: number, address: number, available: number): number }
let area: DataView
let scratch: Uint8Array
let scratchAddress: number

beforeAll(() => {
  const module = new WebAssembly.Module(readFileSync(coreFile))
  const machine = Machine.create({ core: module, ramBytes: 0x10000, processors: 1, bus: openBus })
  core = machine.processors[0]!.exports as unknown as typeof core
  area = new DataView(machine.memory.buffer, CPU_AREA)
  scratchAddress = machine.ram.wasmAddress(0)
  scratch = new Uint8Array(machine.memory.buffer, scratchAddress, 64)
})

/** In 64-bit mode only FS and GS are segments (SDM vol. 1, 3.3.4); iced-x86 names the others as they are written. */
const segmentName = (segment: number, bitness: Bitness) => (bitness === 64 && segment < 4 ? "flat" : `${segment}`)

const SIGNED = (v: bigint) => BigInt.asIntN(64, v)

const coreMemory = (bitness: Bitness): string => {
  const base = area.getUint8(R.D_BASE)
  const index = area.getUint8(R.D_INDEX)
  const name = (r: number) => (r === R.NO_REGISTER ? "-" : r === R.RIP_BASE ? "rip" : `${r}`)
  const scale = index === R.NO_REGISTER ? 0 : area.getUint8(R.D_SCALE)
  const bits = BigInt(8 * area.getUint32(R.D_ADDRESS_SIZE, true))
  const displacement = BigInt.asUintN(Number(bits), area.getBigInt64(R.D_DISPLACEMENT, true))
  return `${segmentName(area.getUint8(R.D_SEGMENT), bitness)}:[${name(base)}+${name(index)}<<${scale}+${displacement.toString(16)}]`
}

const coreOperand = (which: number, bitness: Bitness): string => {
  const at = R.D_OPERANDS + R.OPERAND_STRIDE * which
  const number = area.getUint8(at + 1)
  const size = area.getUint16(at + 2, true)
  const immediate = area.getBigInt64(R.D_IMMEDIATE, true)
  const cut = (v: bigint) => BigInt.asUintN(8 * size, v).toString(16)
  switch (area.getUint8(at)) {
    case R.OPERAND_REGISTER:
      return `r${number}/${size}`
    case R.OPERAND_MEMORY:
      return coreMemory(bitness)
    case R.OPERAND_IMMEDIATE:
      return `$${cut(immediate)}`
    case R.OPERAND_ONE:
      return "$1"
    case R.OPERAND_IMMEDIATE2:
      return `$${area.getUint32(R.D_IMMEDIATE2, true).toString(16)}`
    case R.OPERAND_RELATIVE:
      return `->${cut(BigInt(IP) + BigInt(area.getUint32(R.D_LENGTH, true)) + immediate)}`
    case R.OPERAND_FAR:
      return `${area.getUint32(R.D_IMMEDIATE2, true).toString(16)}:${cut(immediate)}`
    case R.OPERAND_SEGMENT:
      return `sreg${number}`
    case R.OPERAND_CONTROL:
      return `cr${number}`
    case R.OPERAND_DEBUG:
      return `dr${number}`
    case R.OPERAND_SOURCE_STRING:
      return `source ${segmentName(area.getUint8(R.D_SEGMENT), bitness)}/${area.getUint32(R.D_ADDRESS_SIZE, true)}`
    case R.OPERAND_TARGET_STRING:
      return `target/${area.getUint32(R.D_ADDRESS_SIZE, true)}`
    default:
      return ""
  }
}

/** undefined: no instruction. */
const coreDecode = (bytes: Uint8Array, bitness: Bitness): Decoded | undefined => {
  scratch.fill(0)
  scratch.set(bytes)
  const length = core.inspect(MODES[bitness], scratchAddress, bytes.length)
  if (length < 0) return undefined
  const operation = area.getUint32(R.D_OPERATION, true)
  // The vector units are absent: whatever their opcodes would mean, they are #UD.
  if (operation === O.VECTOR) return undefined
  const operands = [0, 1, 2].map((which) => coreOperand(which, bitness)).filter((o) => o !== "")
  return { length, operation, operands }
}

// --------------------------------------------------------------------------------------------- iced-x86's answer

const IP = 0x1000
/** AMD's decoding, and what opcodes mean to a processor without WBNOINVD, TZCNT and LZCNT, to which F3 means nothing there. */
const OPTIONS = DecoderOptions.AMD | DecoderOptions.NoWbnoinvd | DecoderOptions.NoMPFX_0FBC | DecoderOptions.NoMPFX_0FBD

/** What the simulated processor has; everything else is #UD to it. */
const FEATURES: ReadonlySet<number> = new Set([
  ...[CpuidFeature.INTEL8086, CpuidFeature.INTEL186, CpuidFeature.INTEL286, CpuidFeature.INTEL386],
  ...[CpuidFeature.INTEL486, CpuidFeature.X64, CpuidFeature.CMOV, CpuidFeature.CMPXCHG16B, CpuidFeature.CX8],
  ...[CpuidFeature.MSR, CpuidFeature.MULTIBYTENOP, CpuidFeature.PAUSE, CpuidFeature.CLFSH, CpuidFeature.PREFETCHW],
  ...[CpuidFeature.CPUID, CpuidFeature.TSC, CpuidFeature.RDTSCP, CpuidFeature.RDPMC, CpuidFeature.SEP],
  ...[CpuidFeature.SYSCALL, CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387],
])
/** Of later extensions it has these: fences, prefetches and the non-temporal store are the integer part of SSE and SSE2. */
const ALSO: ReadonlySet<number> = new Set([
  ...[Mnemonic.Lfence, Mnemonic.Mfence, Mnemonic.Sfence, Mnemonic.Movnti, Mnemonic.Prefetchnta, Mnemonic.Prefetcht0],
  ...[Mnemonic.Prefetcht1, Mnemonic.Prefetcht2, Mnemonic.Prefetch, Mnemonic.Prefetchw, Mnemonic.Prefetchwt1],
  // Extensions whose opcodes are no-operations without them.
  ...[Mnemonic.Endbr32, Mnemonic.Endbr64, Mnemonic.Rdsspd, Mnemonic.Rdsspq, Mnemonic.Cldemote],
  ...[Mnemonic.Prefetchit0, Mnemonic.Prefetchit1],
])
/** Defined to be undefined. */
const NEVER: ReadonlySet<number> = new Set([Mnemonic.Ud0, Mnemonic.Ud1, Mnemonic.Ud2])

const CONDITIONS = "o no b ae e ne be a s ns p np l ge le g".split(" ")
const NAMES = new Map(Object.entries(Mnemonic).map(([name, value]) => [value as number, name.toLowerCase()]))

/** Families whose members differ in size only, and other names of iced-x86's. */
const FAMILIES: ReadonlyArray<readonly [RegExp, number]> = [
  [/^movs[bwdq]$/, O.MOVS],
  [/^cmps[bwdq]$/, O.CMPS],
  [/^stos[bwdq]$/, O.STOS],
  [/^lods[bwdq]$/, O.LODS],
  [/^scas[bwdq]$/, O.SCAS],
  [/^ins[bwd]$/, O.INS],
  [/^outs[bwd]$/, O.OUTS],
  [/^(cbw|cwde|cdqe)$/, O.CBW],
  [/^(cwd|cdq|cqo)$/, O.CWD],
  [/^pushad?$/, O.PUSHA],
  [/^popad?$/, O.POPA],
  [/^pushf[dq]?$/, O.PUSHF],
  [/^popf[dq]?$/, O.POPF],
  [/^iret[dq]?$/, O.IRET],
  [/^movsxd?$/, O.MOVSX],
  [/^xlatb$/, O.XLAT],
  [/^j[er]?cxz$/, O.JCXZ],
  [/^l[defgs]s$/, O.LOADFAR],
  [/^[lms]fence$/, O.FENCE],
  [/^prefetch(w|wt1)?$/, O.PREFETCH],
  // Hints, and what later processors made of the reserved no-operations 0F 18 to 0F 1F.
  [/^(reservednop|nop|prefetch\w+|endbr32|endbr64|rdssp[dq]|cldemote)$/, O.NOP],
  [/^cmpxchg(8|16)b$/, O.CMPXCHG8B],
  [/^sysretq?$/, O.SYSRET],
  [/^sysexitq?$/, O.SYSEXIT],
  [/^wait$/, O.FWAIT],
]

const OPERATIONS = new Map(Object.entries(O).map(([name, value]) => [name.toLowerCase(), value as number]))
const isIn = (register: number, first: number, count: number) => register >= first && register < first + count

const operationOf = (i: Instruction): number => {
  const name = NAMES.get(i.mnemonic)!
  if (i.cpuidFeatures().some((f) => f === CpuidFeature.FPU || f === CpuidFeature.FPU287 || f === CpuidFeature.FPU387))
    return name === "wait" ? O.FWAIT : O.X87
  for (const [pattern, operation] of FAMILIES) if (pattern.test(name)) return operation
  const conditional = /^(j|set|cmov)(\w+)$/.exec(name)
  const condition = CONDITIONS.indexOf(conditional?.[2] ?? "")
  if (condition >= 0) return { j: O.JCC, set: O.SETCC, cmov: O.CMOVCC }[conditional![1] as "j"] + condition
  const registers = [0, 1].map((n) =>
    i.opCount > n && i.opKind(n) === OpKind.Register ? i.opRegister(n) : Register.None,
  )
  const segment = (n: number) => isIn(registers[n]!, Register.ES, 6)
  const far = i.opCount > 0 && [OpKind.FarBranch16, OpKind.FarBranch32].includes(i.op0Kind)
  const indirectFar = i.isJmpFarIndirect || i.isCallFarIndirect
  const indirect = i.isJmpNearIndirect || i.isCallNearIndirect
  switch (name) {
    case "mov":
      if (registers.some((r) => isIn(r, Register.CR0, 16))) return O.MOVCR
      if (registers.some((r) => isIn(r, Register.DR0, 16))) return O.MOVDR
      return segment(0) ? O.LOADSEG : segment(1) ? O.MOVSEG : O.MOV
    case "push":
      return segment(0) ? O.PUSHSEG : O.PUSH
    case "pop":
      return segment(0) ? O.POPSEG : O.POP
    case "imul":
      return [0, O.IMUL, O.IMUL2, O.IMUL3][i.opCount]!
    case "jmp":
      return far || indirectFar ? O.JMPF : indirect ? O.JMPIND : O.JMP
    case "call":
      return far || indirectFar ? O.CALLF : indirect ? O.CALLIND : O.CALL
    default:
      return OPERATIONS.get(name) ?? -1
  }
}

const REGISTER_BANKS: ReadonlyArray<readonly [first: number, count: number, number: number, size: number]> = [
  [Register.AL, 4, 0, 1],
  [Register.AH, 4, 16, 1],
  [Register.SPL, 12, 4, 1],
  [Register.AX, 16, 0, 2],
  [Register.EAX, 16, 0, 4],
  [Register.RAX, 16, 0, 8],
]
const registerNumber = (register: number): number => {
  for (const [first, count, number] of REGISTER_BANKS)
    if (isIn(register, first, count)) return register - first + number
  return -1
}
const icedRegister = (register: number): string => {
  for (const [first, count, number, size] of REGISTER_BANKS)
    if (isIn(register, first, count)) return `r${register - first + number}/${size}`
  if (isIn(register, Register.ES, 6)) return `sreg${register - Register.ES}`
  if (isIn(register, Register.CR0, 16)) return `cr${register - Register.CR0}`
  if (isIn(register, Register.DR0, 16)) return `dr${register - Register.DR0}`
  return `?${register}`
}

const icedMemory = (i: Instruction, addressBits: number, bitness: Bitness): string => {
  const ipRelative = i.isIpRelMemoryOperand
  const name = (r: number) => (r === Register.None ? "-" : `${registerNumber(r)}`)
  const base = ipRelative ? "rip" : name(i.memoryBase)
  const scale = i.memoryIndex === Register.None ? 0 : Math.log2(i.memoryIndexScale)
  const raw = ipRelative ? i.memoryDisplacement - BigInt(IP + i.length) : i.memoryDisplacement
  return `${segmentName(i.memorySegment - Register.ES, bitness)}:[${base}+${name(i.memoryIndex)}<<${scale}+${BigInt.asUintN(addressBits, raw).toString(16)}]`
}

const icedOperand = (i: Instruction, n: number, addressBits: number, bitness: Bitness): string => {
  const kind = i.opKind(n)
  const size = addressBits / 8
  switch (kind) {
    case OpKind.Register:
      return icedRegister(i.opRegister(n))
    case OpKind.Memory:
      return icedMemory(i, addressBits, bitness)
    case OpKind.NearBranch16:
    case OpKind.NearBranch32:
    case OpKind.NearBranch64:
      return `->${i.nearBranchTarget.toString(16)}`
    case OpKind.FarBranch16:
      return `${i.farBranchSelector.toString(16)}:${i.farBranch16.toString(16)}`
    case OpKind.FarBranch32:
      return `${i.farBranchSelector.toString(16)}:${i.farBranch32.toString(16)}`
    case OpKind.MemorySegSI:
    case OpKind.MemorySegESI:
    case OpKind.MemorySegRSI:
      return `source ${segmentName(i.memorySegment - Register.ES, bitness)}/${size}`
    case OpKind.MemoryESDI:
    case OpKind.MemoryESEDI:
    case OpKind.MemoryESRDI:
      return `target/${size}`
    default: {
      const bits =
        kind === OpKind.Immediate8 || kind === OpKind.Immediate8_2nd
          ? 8
          : kind === OpKind.Immediate16 || kind === OpKind.Immediate8to16
            ? 16
            : kind === OpKind.Immediate32 || kind === OpKind.Immediate8to32
              ? 32
              : 64
      return `$${BigInt.asUintN(bits, SIGNED(i.immediate(n))).toString(16)}`
    }
  }
}

const addressBitsOf = (bytes: Uint8Array, bitness: Bitness): number => {
  for (const b of bytes) {
    if (b === 0x67) return bitness === 64 ? 32 : bitness === 32 ? 16 : 32
    const prefix = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0xf0, 0xf2, 0xf3].includes(b)
    if (!prefix && !(bitness === 64 && (b & 0xf0) === 0x40)) break
  }
  return bitness
}

const icedDecode = (bytes: Uint8Array, bitness: Bitness): Decoded | undefined => {
  const decoder = new Decoder(bitness, bytes, OPTIONS)
  decoder.ip = BigInt(IP)
  const i = decoder.decode()
  try {
    if (i.code === Code.INVALID || NEVER.has(i.mnemonic)) return undefined
    if (!ALSO.has(i.mnemonic) && i.cpuidFeatures().some((f) => !FEATURES.has(f))) return undefined
    const bits = addressBitsOf(bytes.subarray(0, i.length), bitness)
    const operands = Array.from({ length: i.opCount }, (_, n) => icedOperand(i, n, bits, bitness))
    return { length: i.length, operation: operationOf(i), operands }
  } finally {
    i.free()
    decoder.free()
  }
}

// --------------------------------------------------------------------------------------------------- comparison

/** Operations of which only the length is compared: they have no operands, or none that ModRM names, or nobody looks. */
const WITHOUT_OPERANDS: ReadonlySet<number> = new Set([O.X87, O.NOP, O.PREFETCH, O.FENCE, O.FWAIT, O.XLAT])
/** Selectors are 16 bits whatever the size of the register that iced-x86 names. */
const SELECTOR_OPERATIONS: ReadonlySet<number> = new Set([
  ...[O.LAR, O.LSL, O.VERR, O.VERW, O.LLDT, O.LTR, O.LMSW, O.LOADSEG, O.MOVSEG, O.SLDT, O.STR, O.SMSW, O.ARPL],
])

const normal = (d: Decoded | undefined): string => {
  if (d === undefined) return "no instruction"
  let operands = d.operands
  if (WITHOUT_OPERANDS.has(d.operation)) operands = []
  if (SELECTOR_OPERATIONS.has(d.operation)) operands = operands.map((o) => o.replace(/^(r\d+)\/\d$/, "$1"))
  // LDS and its like: the core names the segment register as a third operand, iced-x86 does not.
  if (d.operation === O.LOADFAR) operands = operands.slice(0, 2)
  const name = [...OPERATIONS].find(([n, v]) => v === d.operation && n !== "groups")?.[0] ?? `${d.operation}`
  return `${name}#${d.operation} (${d.length}) ${operands.join(", ")}`
}

/**
 * Where iced-x86 is wrong about AMD's processors, as the real one says (tests/silicon): PREFETCH of a register is #UD, not a
 * no-operation; F3 90 with REX.B exchanges R8 and rAX, it is no PAUSE.
 */
const realProcessorDiffers = (bytes: Uint8Array, expected: Decoded | undefined): boolean => {
  if (expected === undefined) return false
  const tail = [...bytes.subarray(0, expected.length)].slice(-3)
  const registerPrefetch = tail[0] === 0x0f && tail[1] === 0x0d && tail[2]! >= 0xc0
  const pauseOfR8 = expected.operation === O.PAUSE && (tail[1]! & 0xf1) === 0x41
  return registerPrefetch || pauseOfR8
}

const check = (bytes: Uint8Array, bitness: Bitness): void => {
  const decoded = coreDecode(bytes, bitness)
  const expected = icedDecode(bytes, bitness)
  // All of D8 to DF belongs to a unit that is absent: no member of it is better than another.
  if (expected === undefined && decoded?.operation === O.X87) return
  if (realProcessorDiffers(bytes, expected)) return
  const ours = normal(decoded)
  const theirs = normal(expected)
  if (ours !== theirs)
    expect.fail(`${Buffer.from(bytes).toString("hex")} in ${bitness}-bit mode\n  core ${ours}\n  iced ${theirs}`)
}

const PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x48, 0x41, 0x44, 0x4f, 0x40]

/** Prefixes, an opcode of either map, random bytes behind: most of these are instructions. */
const structured = fc
  .tuple(
    fc.array(fc.constantFrom(...PREFIXES), { maxLength: 3 }),
    fc.constantFrom([], [0x0f]),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  )
  .map(([prefixes, map, rest]) => Uint8Array.from([...prefixes, ...map, ...rest]))

/** A structured one with bytes changed, dropped and inserted, or cut short. */
const mutated = fc
  .tuple(
    structured,
    fc.array(fc.tuple(fc.nat(12), fc.nat(255), fc.constantFrom("set", "drop", "insert", "flip")), {
      minLength: 1,
      maxLength: 3,
    }),
    fc.option(fc.nat(10), { nil: 32 }),
  )
  .map(([bytes, changes, length]) => {
    const out = [...bytes]
    for (const [at, value, how] of changes) {
      if (how === "set") out[at] = value
      if (how === "flip") out[at]! ^= 1 << (value & 7)
      if (how === "drop") out.splice(at, 1)
      if (how === "insert") out.splice(at, 0, value)
    }
    return Uint8Array.from(out.slice(0, length))
  })

describe.each([16, 32, 64] as const)("the core's decoder and iced-x86 agree in %i-bit mode", (bitness) => {
  it("on every opcode with every ModRM.reg", () => {
    const tail = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa]
    for (const prefix of [[], [0x66], [0x67], [0xf2], [0xf3], [0xf0], [0x48], [0x65]])
      for (const map of [[], [0x0f]])
        for (let opcode = 0; opcode < 256; opcode++)
          for (const modrm of prefix.length === 0 ? [0x00, 0x44, 0x86, 0x05, 0xc0, 0xc1] : [0x44, 0xc1])
            for (let reg = 0; reg < 8; reg++)
              check(Uint8Array.from([...prefix, ...map, opcode, modrm ^ (reg << 3), ...tail]), bitness)
  })

  it("on random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 20 }), (bytes) => check(bytes, bitness)),
      { numRuns: 10_000 },
    )
  })

  it("on prefixes, opcodes and random operands", () => {
    fc.assert(
      fc.property(structured, (bytes) => check(bytes, bitness)),
      { numRuns: 15_000 },
    )
  })

  it("on mutated instructions", () => {
    fc.assert(
      fc.property(mutated, (bytes) => check(bytes, bitness)),
      { numRuns: 15_000 },
    )
  })
})
