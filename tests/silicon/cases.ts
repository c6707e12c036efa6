import {
  CODE,
  DATA,
  DATA_END,
  LDT_CODE_16,
  LDT_CODE_32,
  LDT_FLAT,
  LDT_LOW_16,
  LOW,
  LOW_END,
  MAX_PATCHES,
  READ_ONLY,
  SELECTORS,
  TEST,
  TOP,
  USER32_CS,
  USER_CS,
  USER_DS,
  baseOf,
  descriptorOf,
  isLong,
  ldt,
  writable,
} from "./layout.ts"
import type { Random } from "./random.ts"
import type { Operand, Template } from "./templates.ts"

/*
 * Operands for an instruction: registers get interesting values, and the registers that form an address are aimed so
 * that most accesses hit the data pages, some cross their boundary or their ends, and some go astray in every way there is.
 */

const RAX = 0
const RCX = 1
const RDX = 2
const RSP = 4
const CS = 1
const SS = 2
const DS = 3
const FS = 4
const GS = 5

const FLAG_TF = 0x100n
const FLAGS = [0x001n, 0x004n, 0x010n, 0x040n, 0x080n, 0x800n]
const FLAG_DF = 0x400n

const low = (value: bigint, bytes: number) => BigInt.asUintN(8 * bytes, value)
const u64 = (value: bigint) => BigInt.asUintN(64, value)
const GPR_AT = TEST.fields.gpr.offset
const PATCH_AT = TEST.fields.patch.offset
const CODE_AT = TEST.fields.code.offset

/** Writes cases into a buffer of TEST records. */
export class CaseWriter {
  readonly bytes: Uint8Array
  private readonly view: DataView
  private readonly random: Random
  private at = 0
  private patches = 0
  private template!: Template
  private selectors = [0, 0, 0, 0, 0, 0]
  private aimed = 0
  private stack = -1

  constructor(random: Random, capacity: number) {
    this.random = random
    this.bytes = new Uint8Array(capacity * TEST.size)
    this.view = new DataView(this.bytes.buffer)
  }

  /** Makes case number `index` from `template`. */
  write(index: number, template: Template): void {
    const { random } = this
    this.at = index * TEST.size
    this.bytes.fill(0, this.at, this.at + TEST.size)
    this.template = template
    this.patches = 0
    this.aimed = 0
    this.stack = -1
    this.place = 0

    for (let r = 0; r < 16; r++) this.setRegister(r, random.interesting())
    if (random.chance(30)) this.setRegister(random.below(8), this.register(random.below(8)))
    this.chooseSegments()
    this.choosePlace()
    this.chooseFlags()
    for (const operand of template.operands) if (!operand.implicit) this.aim(operand)
    for (const operand of template.operands) if (operand.implicit) this.aim(operand)
    const unsafe = template.bitness !== 64 && isLong(template.farSelector) && !this.stackIsSafe()
    if (unsafe || (this.aimed & (1 << RSP)) === 0) this.setRegister(RSP, BigInt(DATA + 0x1800))
    this.refine()
    if (template.bitness !== 64) this.narrow()
    this.field(TEST.fields.patches.offset, 2, BigInt(this.patches))
  }

  // ------------------------------------------------------------------------------------------------- the record
  private field(offset: number, width: number, value: bigint): void {
    const at = this.at + offset
    if (width === 2) this.view.setUint16(at, Number(value), true)
    else this.view.setBigUint64(at, u64(value), true)
  }

  private register(r: number): bigint {
    return this.view.getBigUint64(this.at + GPR_AT + 8 * r, true)
  }

  private setRegister(r: number, value: bigint): void {
    this.view.setBigUint64(this.at + GPR_AT + 8 * r, u64(value), true)
  }

  /** Sets the low `bytes` bytes of a register. */
  private setPart(r: number, value: bigint, bytes: number): void {
    const mask = (1n << BigInt(8 * bytes)) - 1n
    this.setRegister(r, (this.register(r) & ~mask) | (value & mask))
  }

  /** Puts an 8-byte value at `address`, where that is memory. */
  private patch(address: number, value: bigint): void {
    if (this.patches === MAX_PATCHES || !writable(address, 8)) return
    const at = PATCH_AT + 16 * this.patches++
    this.field(at, 8, BigInt(address))
    this.field(at + 8, 8, value)
  }

  /** In compatibility mode the upper halves cannot be told. */
  private narrow(): void {
    for (let r = 0; r < 16; r++) this.setRegister(r, r < 8 ? low(this.register(r), 4) : 0n)
  }

  // ------------------------------------------------------------------------------------------------ state
  private chooseSegments(): void {
    const { random } = this
    const { bitness } = this.template
    const s = this.selectors
    s.fill(USER_DS)
    if (bitness === 64) {
      s[CS] = USER_CS
      s[FS] = s[GS] = 0
      s[0] = s[DS] = random.pick([0, USER_DS])
      this.field(
        TEST.fields.fsBase.offset,
        8,
        random.pick([0n, 0x100n, BigInt(DATA), 0x7fff12345000n, BigInt(random.u32())]),
      )
      this.field(TEST.fields.gsBase.offset, 8, random.pick([0n, 0x10n, BigInt(DATA + 0x800), BigInt(random.u32())]))
    } else {
      const any = () => ldt(random.pick([1, 2, 3, 4, 5, 6, 8, 11, 13, 14]))
      s[CS] = bitness === 16 ? LDT_CODE_16 : random.chance(85) ? USER32_CS : LDT_CODE_32
      s[FS] = random.chance(10) ? 0 : any()
      s[GS] = random.chance(10) ? 0 : any()
      if (this.template.addressSize === 2) s[0] = s[DS] = random.chance(60) ? LDT_LOW_16 : USER_DS
      if (random.chance(20)) s[DS] = random.chance(10) ? 0 : any()
      if (random.chance(12)) s[0] = random.chance(10) ? 0 : any()
      if (random.chance(bitness === 16 ? 60 : 12))
        s[SS] = random.pick([LDT_FLAT, ldt(2), ldt(11), ldt(13), ldt(11), ldt(13), ldt(5), ldt(14)])
    }
    if (bitness !== 64 && isLong(this.template.farSelector)) s[SS] = USER_DS
    const { cs, ss, ds, es, fs, gs } = TEST.fields
    for (const [i, f] of [es, cs, ss, ds, fs, gs].entries()) this.field(f.offset, 2, BigInt(s[i]!))
  }

  private base(segment: number): bigint {
    if (this.template.bitness !== 64) return BigInt(baseOf(this.selectors[segment]!))
    if (segment === FS) return this.view.getBigUint64(this.at + TEST.fields.fsBase.offset, true)
    if (segment === GS) return this.view.getBigUint64(this.at + TEST.fields.gsBase.offset, true)
    return 0n
  }

  private choosePlace(): void {
    const { random, template } = this
    const length = template.bytes.length
    let linear = CODE + 0x800
    if (random.chance(30)) linear = CODE + random.below(0x1000 - 32)
    // The last byte of the page and the first of nothing: the fetch faults, or just does not. Where the segment ends with the
    // page, a branch as its last instruction now and then takes #GP on a real processor, which looks ahead: not asked.
    const flat = this.base(CS) === 0n
    if (random.chance(2)) linear = CODE + 0x1000 - length + random.pick(flat ? [0, 0, 1, 2] : [1, 2, -1])
    linear = Math.min(linear, CODE + 0xfff)
    const inside = Math.min(length, CODE + 0x1000 - linear)
    // A target beyond the segment's limit would fault in Linux's own IRET.
    if (flat && template.valid && random.chance(2)) linear = random.pick([DATA + 0x800, READ_ONLY, 0x30000000])
    const rip = BigInt(linear) - this.base(CS)
    const here = linear >= CODE && linear < CODE + 0x1000
    this.field(TEST.fields.rip.offset, 8, rip)
    this.field(TEST.fields.codeAddress.offset, 8, BigInt(linear))
    this.field(TEST.fields.codeBytes.offset, 2, BigInt(here ? inside : 0))
    this.bytes.set(template.bytes, this.at + CODE_AT)
  }

  private get rip(): bigint {
    return this.view.getBigUint64(this.at + TEST.fields.rip.offset, true)
  }

  private chooseFlags(): void {
    const { random, template } = this
    let flags = 0x202n
    for (const f of FLAGS) if (random.chance(50)) flags |= f
    if (random.chance(template.repeats ? 40 : 15)) flags |= FLAG_DF
    // A repeated instruction traps after each turn; without TF it runs to its end, which is the INT3 behind it.
    if (!template.repeats || random.chance(25)) flags |= FLAG_TF
    this.field(TEST.fields.rflags.offset, 8, flags)
  }

  // ---------------------------------------------------------------------------------------------- addresses
  /** A linear address for an access of `size` bytes through `segment`. */
  private target(size: number, segment: number, stack: boolean): bigint {
    const { random, template } = this
    const d = random.below(100)
    const short = template.bitness !== 64 && (stack ? !this.stackIsBig() : template.addressSize === 2)
    const begin = short ? LOW : DATA
    const end = short ? LOW_END : DATA_END
    const inside = () => BigInt(begin + 0x40 + random.below(0x1f80 - size) - (random.chance(50) ? begin & 7 : 0))
    if (template.bitness !== 64 && this.selectors[segment] !== USER_DS && d < 50)
      return this.segmentTarget(size, segment)
    if (size === 16 && !stack && random.chance(50)) return inside() & ~15n
    if (d < 55) {
      const a = inside()
      return random.chance(60) ? a & ~7n : a
    }
    if (d < 60) return inside() & ~15n
    if (d < 72) return BigInt(begin + 0x1000 - random.below(size + 1))
    if (d < 77) return BigInt(begin - random.below(size + 1))
    if (d < 82) return BigInt(end - random.below(size + 1))
    if (d < 85) return BigInt(random.u32() & 0x3fffffff)
    if (d < 89) return BigInt(READ_ONLY + random.below(0x1000))
    if (d < 91) return BigInt(CODE + random.below(0x400))
    if (d < 93) return BigInt(TOP + 0x1000 - random.below(64))
    if (template.bitness === 64) {
      if (d < 95)
        return random.pick([0x800000000000n, 0xffff7fffffffffffn, random.big() | (1n << 62n)]) - BigInt(random.below(9))
      if (d < 96) return 0xffff880000000000n + BigInt(random.u32())
      if (d < 97) return u64(-BigInt(random.below(16)))
    } else if (d < 95) return BigInt(0x100000000 - random.below(12))
    return inside()
  }

  /** SS's B flag: whether ESP or SP is the stack pointer. */
  private stackIsBig(): boolean {
    return ((descriptorOf(this.selectors[SS]!) >> 54n) & 1n) === 1n
  }

  private stackIsSafe(): boolean {
    const flat = this.selectors[SS] === USER_DS || this.selectors[SS] === LDT_FLAT
    return flat && (this.stack < 0 || (this.stack > 0x1000 && this.stack < TOP))
  }

  /** Near the edges of a segment of the LDT, or well inside. */
  private segmentTarget(size: number, segment: number): bigint {
    const { random } = this
    const d = descriptorOf(this.selectors[segment]!)
    const limit = Number((d & 0xffffn) | ((d >> 32n) & 0xf0000n))
    const base = baseOf(this.selectors[segment]!)
    if (random.chance(50)) return BigInt(base + limit + 3 - random.below(size + 4))
    return BigInt(base + random.below(Math.min(limit + 1, 0x1000)))
  }

  /** Chooses where the operand shall be, makes it so as far as the registers allow, and puts something there. */
  private aim(operand: Operand): void {
    const { template, random } = this
    const { base, index, scale } = operand
    const bytes = template.addressSize
    const stack = base === RSP && operand.implicit
    let target = this.target(stack ? 16 : operand.size, operand.segment, stack)
    // AMD's processors want the offset canonical as well, not only its sum with the base of FS or GS.
    if (operand.segment >= FS && template.bitness === 64 && target >= 0x800000000000n) target = BigInt(READ_ONLY)
    const offset = u64(target - this.base(operand.segment))
    const usable = (r: number) => r >= 0 && (this.aimed & (1 << r)) === 0

    if (operand.indexIsByte) {
      this.setPart(base, offset - (this.register(RAX) & 0xffn), bytes)
    } else if (usable(base) && base !== index) {
      const rest = index >= 0 ? this.register(index) * BigInt(scale) : 0n
      this.setPart(base, offset - rest - operand.displacement, stack ? (template.bitness === 64 ? 8 : 4) : bytes)
      this.aimed |= 1 << base
      if (index >= 0) this.aimed |= 1 << index
    } else if (usable(index)) {
      const shift = base === index ? BigInt(scale + 1) : BigInt(scale)
      const known = base >= 0 && base !== index ? this.register(base) : 0n
      this.setPart(index, low(offset - operand.displacement - known, bytes) / shift, bytes)
      this.aimed |= 1 << index
    } else if (base < 0 && index < 0 && template.displacementBytes > 0) {
      const value = template.ipRelative ? offset - this.rip - BigInt(template.bytes.length) : offset
      for (let i = 0; i < template.displacementBytes; i++)
        this.bytes[this.at + CODE_AT + template.displacementAt + i] = Number((value >> BigInt(8 * i)) & 0xffn)
    } else return

    if (stack) this.stack = Number(target)
    if (target < 0x100000000n && random.chance(50)) {
      const value = random.chance(40) ? this.register(random.below(8)) : random.interesting()
      this.patch(Number(target), value)
      if (operand.size === 16) this.patch(Number(target) + 8, this.register(RDX))
    }
    // What the instruction names matters more than the stack that it uses as well.
    if (!operand.implicit || this.place === 0) this.place = Number(target & 0xffffffffn)
  }

  private place = 0

  // ------------------------------------------------------------------------------ what single instructions want
  /** A place where execution could go on, or not. */
  private destination(): bigint {
    const { random } = this
    const d = random.below(10)
    if (d < 6) return BigInt(CODE + random.below(0x1000)) - this.base(CS)
    if (d < 7) return BigInt(DATA)
    if (d < 8) return random.big()
    return random.interesting()
  }

  private refine(): void {
    const { random, template: t } = this
    const { mnemonic } = t
    const [first, second] = t.register
    if (t.repeats) {
      const count = random.chance(85) ? random.below(20) : random.chance(50) ? random.below(0x1800) : random.below(300)
      this.setPart(RCX, BigInt(count), t.addressSize)
      if (random.chance(40)) this.setRegister(RAX, random.pick([0n, 0n, 0x8080808080808080n, 0x8484848484848484n]))
      return
    }
    switch (mnemonic) {
      case "loop":
      case "loope":
      case "loopne":
      case "jcxz":
      case "jecxz":
      case "jrcxz":
        if (random.chance(70)) this.setPart(RCX, BigInt(random.below(3)), t.addressSize)
        return
      case "shl":
      case "shr":
      case "sar":
      case "sal":
      case "rol":
      case "ror":
      case "rcl":
      case "rcr":
      case "shld":
      case "shrd":
        if (t.count < 0 && (this.aimed & 2) === 0)
          this.setPart(RCX, BigInt(random.below(random.chance(80) ? 66 : 256)), 1)
        return
      case "bt":
      case "bts":
      case "btr":
      case "btc":
        if (t.memoryFirst && second >= 0 && (this.aimed & (1 << second)) === 0 && random.chance(85))
          this.setPart(second, BigInt(random.below(6000) - 3000), 8)
        return
      case "div":
      case "idiv": {
        if (random.chance(25)) return
        const negative = mnemonic === "idiv" && random.chance(50)
        this.setIfFree(RDX, random.chance(70) ? (negative ? -1n : 0n) : BigInt(random.below(1000)))
        if (t.width === 8) this.setIfFree(RAX, BigInt(random.below(0x2000)) * (negative ? -1n : 1n))
        return
      }
      case "cmpxchg": {
        if (random.chance(50)) return
        if (!t.memoryFirst && first >= 0) this.setIfFree(first, this.register(RAX))
        else this.patch(this.place, this.register(RAX))
        return
      }
      case "cmpxchg8b": {
        if (random.chance(40)) return
        this.patch(this.place, (low(this.register(RDX), 4) << 32n) | low(this.register(RAX), 4))
        return
      }
      case "cmpxchg16b": {
        if (random.chance(40)) return
        this.patch(this.place, this.register(RAX))
        this.patch(this.place + 8, this.register(RDX))
        return
      }
      case "mov":
      case "pop":
      case "lar":
      case "lsl":
      case "verr":
      case "verw":
      case "arpl":
      case "lds":
      case "les":
      case "lss":
      case "lfs":
      case "lgs":
        return this.offerSelectors()
      case "jmp":
      case "call":
        return this.offerTargets()
      case "ret":
      case "retf":
      case "iret":
      case "iretd":
      case "iretq":
        return this.offerFrame()
      case "bound":
        this.patch(this.place, low(random.interesting(), 4) | (low(random.interesting(), 4) << 32n))
        return
    }
  }

  private setIfFree(r: number, value: bigint): void {
    if ((this.aimed & (1 << r)) === 0) this.setRegister(r, value)
  }

  private offerSelectors(): void {
    const { random, template: t } = this
    const selector = BigInt(random.pick(SELECTORS)) | (BigInt(random.below(4)) << 16n)
    for (const r of t.register) if (r >= 0 && random.chance(70)) this.setIfFree(r, BigInt(random.pick(SELECTORS)))
    if (!random.chance(80) || t.operands.length === 0) return
    const size = t.operands[0]!.size
    if (t.mnemonic.startsWith("l") && t.mnemonic !== "lar" && t.mnemonic !== "lsl")
      this.patch(this.place + size - 2, selector)
    else this.patch(this.place, selector)
  }

  private offerTargets(): void {
    const { random, template: t } = this
    for (const r of t.register) if (r >= 0) this.setIfFree(r, this.destination())
    if (t.operands.length === 0) return
    const { place } = this
    this.patch(place, this.destination())
    const size = t.operandSize
    if (random.chance(70)) {
      this.patch(place + size - 2, BigInt(this.codeSelector()))
    }
  }

  /**
   * From one mode to another only with a stack that means the same in both, flat and well within 4 GiB: a real processor pushes
   * CALL's frame as the new mode has it; the upper half of RSP is whatever Linux's return path left there when SS was a
   * 16-bit one; and at a fault beyond 4 GiB from compatibility mode Linux tries again for ever.
   */
  private codeSelector(): number {
    for (;;) {
      const selector = this.anyCodeSelector()
      if (this.stackIsSafe() || isLong(selector) === (this.template.bitness === 64)) return selector
    }
  }

  private anyCodeSelector(): number {
    const { random } = this
    return random.chance(60) ? random.pick([USER_CS, USER32_CS, LDT_CODE_32, LDT_CODE_16]) : random.pick(SELECTORS)
  }

  /** Return address, selector, flags, stack, stack selector: in the widths that the instruction may pop. */
  private offerFrame(): void {
    const { random, template: t } = this
    if (this.stack < 0) return
    const prefixed = t.bytes.slice(0, 4).includes(0x66)
    const rexW = t.bitness === 64 && t.mnemonic.endsWith("q")
    const natural = t.bitness === 16 ? 2 : 4
    const far = t.mnemonic !== "ret"
    const width = rexW ? 8 : t.bitness === 64 && !far ? 8 : prefixed ? 6 - natural : natural
    const wide = t.bitness === 64 && [...t.bytes.slice(0, -1)].some((b) => (b & 0xf8) === 0x48) ? 8 : width
    const selector = this.codeSelector()
    const ip = random.chance(70) ? BigInt(CODE + random.below(0xff0) - baseOf(selector)) : this.destination()
    const flags = random.chance(50) ? 0x202n | (random.big() & 0xcd5n) : random.big()
    const values = [
      ip,
      BigInt(selector),
      flags,
      BigInt(DATA + 0x400),
      BigInt(random.chance(70) ? USER_DS : random.pick(SELECTORS)),
    ]
    if (t.mnemonic === "retf") values.splice(2, 1)
    if (!far) values.length = 1
    const bytes = new DataView(new ArrayBuffer(48))
    values.forEach((v, i) => {
      const at = i * wide
      if (wide === 2) bytes.setUint16(at, Number(v & 0xffffn), true)
      else if (wide === 4) bytes.setUint32(at, Number(v & 0xffffffffn), true)
      else bytes.setBigUint64(at, u64(v), true)
    })
    for (let i = 0; i < values.length * wide; i += 8) this.patch(this.stack + i, bytes.getBigUint64(i, true))
  }
}
