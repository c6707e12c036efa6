import type { LguestDevice } from "../host/index.ts"

/*
 * L:100 So we do with our hands what the processor refused to do: look at the bytes of the instruction, find out which
 * register and how many bytes, ask the device, put the answer where the Guest expects it, and step over. These are the
 * only Guest instructions that are ever interpreted by anything but the processor.
 *
 * Carrying out a guest's device access. The access faulted, the module forwarded it, and what is left is to decode one
 * MOV, IN or OUT and to do it on the device. The faulting address is known from the fault, so no address is ever
 * computed from registers here. A library could decode any instruction, but it takes longer to load than puppy takes to
 * boot.
 */

/** The guest's devices as the accesses see them. */
export interface DeviceBus {
  portRead(port: number, size: number): number
  portWrite(port: number, size: number, value: number): void
  mmioRead(address: number, size: number): number
  mmioWrite(address: number, size: number, value: number): void
}

const RAX = 0
const RDX = 2
const NO_REX = -1
const LONGEST = 15

/** Bits of a REX prefix. */
const REX_W = 8
const REX_R = 4

class Decoder {
  private readonly bytes: Uint8Array
  private readonly long: boolean
  at = 0
  /** Operand size in bytes, from prefixes. */
  size = 4
  private shortAddress = false
  private rex = NO_REX

  constructor(bytes: Uint8Array, long: boolean) {
    this.bytes = bytes
    this.long = long
  }

  /** The next byte; past the end -1, and the instruction is none that we know. */
  byte(): number {
    const at = this.at++
    return at < this.bytes.length && at < LONGEST ? this.bytes[at]! : -1
  }

  /** Prefixes, then the first byte of the opcode. */
  opcode(): number {
    for (;;) {
      const b = this.byte()
      const isRex = this.long && (b & 0xf0) === 0x40
      if (isRex) {
        this.rex = b
        const next = this.byte()
        if ((this.rex & REX_W) !== 0) this.size = 8
        return next
      }
      if (b === 0x66) this.size = 2
      else if (b === 0x67) this.shortAddress = true
      else if (b !== 0x2e && b !== 0x36 && b !== 0x3e && b !== 0x26 && b !== 0x64 && b !== 0x65) return b
    }
  }

  /** ModRM of a memory operand, with SIB and displacement: the register field, or -1 if it names no memory. */
  memory(): number {
    const modrm = this.byte()
    const mod = modrm >> 6
    if (modrm < 0 || mod === 3 || (this.shortAddress && !this.long)) return -1
    const rm = modrm & 7
    let displacement = mod === 1 ? 1 : mod === 2 ? 4 : 0
    if (rm === 4) {
      const sib = this.byte()
      if (mod === 0 && (sib & 7) === 5) displacement = 4
    } else if (mod === 0 && rm === 5) displacement = 4
    this.at += displacement
    return ((modrm >> 3) & 7) | (this.rex !== NO_REX && (this.rex & REX_R) !== 0 ? 8 : 0)
  }

  /** The absolute address of MOV's accumulator forms. */
  skipOffset(): void {
    this.at += this.long ? (this.shortAddress ? 4 : 8) : this.shortAddress ? 2 : 4
  }

  /** An immediate of at most 4 bytes, unsigned, for an operand of `size` bytes. */
  immediate(size: number): number {
    let value = 0
    for (let i = 0; i < Math.min(size, 4); i++) value += this.byte() * 2 ** (8 * i)
    return value
  }

  /** Whether register 4 to 7 of a byte operand means AH to BH. */
  get highBytes(): boolean {
    return this.rex === NO_REX
  }

  get complete(): boolean {
    return this.at <= this.bytes.length && this.at <= LONGEST
  }
}

const mask = (size: number) => (size >= 4 ? 0xffff_ffff : 2 ** (8 * size) - 1)

/** A byte, word or doubleword of a register; `high`: bits 8..15 of register - 4. */
const readRegister = (device: LguestDevice, register: number, size: number, high: boolean): number =>
  size === 1 && high && register >= 4 && register < 8
    ? (device.registerLo(register - 4) >>> 8) & 0xff
    : (device.registerLo(register) & mask(size)) >>> 0

/** Writes as the processor does: 32 bits clear the upper half, fewer leave the rest (SDM vol. 1, 3.4.1.1). */
const writeRegister = (device: LguestDevice, register: number, size: number, high: boolean, lo: number, hi: number) => {
  if (size === 1 && high && register >= 4 && register < 8) {
    const old = device.registerLo(register - 4)
    device.setRegister(register - 4, ((old & ~0xff00) | ((lo & 0xff) << 8)) >>> 0, device.registerHi(register - 4))
  } else if (size < 4) {
    const old = device.registerLo(register)
    device.setRegister(register, ((old & ~mask(size)) | (lo & mask(size))) >>> 0, device.registerHi(register))
  } else device.setRegister(register, lo >>> 0, hi >>> 0)
}

/** IN and OUT: false if the instruction is another one. */
export const emulatePort = (device: LguestDevice, bus: DeviceBus, bytes: Uint8Array, bits: 32 | 64): boolean => {
  const d = new Decoder(bytes, bits === 64)
  const opcode = d.opcode()
  const immediate = (opcode & 0xfc) === 0xe4
  if (!immediate && (opcode & 0xfc) !== 0xec) return false
  const size = (opcode & 1) === 0 ? 1 : Math.min(d.size, 4)
  const port = immediate ? d.byte() : device.registerLo(RDX) & 0xffff
  if (!d.complete || port < 0) return false
  if ((opcode & 2) === 0) writeRegister(device, RAX, size, false, bus.portRead(port, size), 0)
  else bus.portWrite(port, size, readRegister(device, RAX, size, false))
  device.advance(d.at)
  return true
}

/** An access of 1, 2, 4 or 8 bytes; 8 as two of 4, the lower first. */
const load = (device: LguestDevice, bus: DeviceBus, at: number, size: number, register: number, high: boolean) => {
  const lo = bus.mmioRead(at, Math.min(size, 4))
  writeRegister(device, register, size, high, lo, size === 8 ? bus.mmioRead(at + 4, 4) : 0)
}

const store = (bus: DeviceBus, at: number, size: number, lo: number, hi: number) => {
  bus.mmioWrite(at, Math.min(size, 4), lo)
  if (size === 8) bus.mmioWrite(at + 4, 4, hi)
}

/** MOV, MOVZX and MOVSX between a register or immediate and the device memory at `at`: false if it is another one. */
export const emulateMemory = (
  device: LguestDevice,
  bus: DeviceBus,
  bytes: Uint8Array,
  bits: 32 | 64,
  at: number,
): boolean => {
  const d = new Decoder(bytes, bits === 64)
  const opcode = d.opcode()
  const wide = (opcode & 1) !== 0
  const size = wide ? d.size : 1
  switch (opcode) {
    case 0x88:
    case 0x89: {
      const register = d.memory()
      if (register < 0 || !d.complete) return false
      store(bus, at, size, readRegister(device, register, size, d.highBytes), device.registerHi(register))
      break
    }
    case 0x8a:
    case 0x8b: {
      const register = d.memory()
      if (register < 0 || !d.complete) return false
      load(device, bus, at, size, register, d.highBytes)
      break
    }
    case 0xc6:
    case 0xc7: {
      if (d.memory() !== 0) return false
      const value = d.immediate(size)
      if (!d.complete) return false
      store(bus, at, size, value, value >= 0x8000_0000 ? 0xffff_ffff : 0)
      break
    }
    case 0xa0:
    case 0xa1:
    case 0xa2:
    case 0xa3:
      d.skipOffset()
      if (!d.complete) return false
      if (opcode < 0xa2) load(device, bus, at, size, RAX, false)
      else store(bus, at, size, readRegister(device, RAX, size, false), device.registerHi(RAX))
      break
    case 0x0f:
      if (!extend(device, bus, d, at)) return false
      break
    default:
      return false
  }
  device.advance(d.at)
  return true
}

/** MOVZX (0F B6, B7) and MOVSX (0F BE, BF). */
const extend = (device: LguestDevice, bus: DeviceBus, d: Decoder, at: number): boolean => {
  const opcode = d.byte()
  if ((opcode & 0xf6) !== 0xb6) return false
  const register = d.memory()
  if (register < 0 || !d.complete) return false
  const from = (opcode & 1) === 0 ? 1 : 2
  const value = bus.mmioRead(at, from) & mask(from)
  const signed = (opcode & 8) !== 0
  const lo = signed ? (value << (32 - 8 * from)) >> (32 - 8 * from) : value
  writeRegister(device, register, d.size, false, lo, lo < 0 ? 0xffff_ffff : 0)
  return true
}
