import { describe, expect, it } from "vitest"
import * as S from "../../src/machine/core/state.ts"
import { CODE, FL_AC, FL_IF, FL_NT, FL_RF, FL_TF, FL_VIF, FL_VIP, FL_VM, Lab, type Mode, TSS, gate } from "./lab.ts"
import { SEL } from "./lab.ts"

/*
 * Who may change which flag: IOPL, virtual-8086 mode extensions and protected-mode virtual interrupts, over all
 * combinations (SDM vol. 2, CLI, STI, PUSHF, POPF; vol. 3, 20.3.3 and 20.4).
 */

const lab = new Lab()
const { cpu } = lab

const CR4_VME = 1n
const CR4_PVI = 2n
const IOPL = 0x3000
const ID = 0x200000
const STATUS = 0x8d5
const DF = 0x400

interface Situation {
  readonly mode: Mode
  readonly cpl: 0 | 1 | 3
  readonly iopl: number
  readonly cr4: bigint
  readonly vip: boolean
}

const situations: ReadonlyArray<Situation> = (
  [
    ["real", 0],
    ["prot32", 0],
    ["prot32", 1],
    ["prot32", 3],
    ["compat", 3],
    ["long", 3],
    ["v86", 3],
  ] as const
).flatMap(([mode, cpl]) =>
  [0, 1, 2, 3].flatMap((iopl) =>
    [0n, CR4_VME, CR4_PVI, CR4_VME | CR4_PVI].flatMap((cr4) =>
      [false, true].map((vip): Situation => ({ mode, cpl, iopl, cr4, vip })),
    ),
  ),
)

const enter = (s: Situation, code: ReadonlyArray<number>, flags = 0): void => {
  lab.enter(s.mode, s.cpl, code)
  cpu.setLong(S.CR4, cpu.long(S.CR4) | s.cr4)
  cpu.refresh()
  lab.setFlags(flags | (s.iopl << 12) | (s.vip ? FL_VIP : 0))
}

/** Executes one instruction: the flags after it, or "#GP". */
const outcome = (): number | "#GP" => {
  cpu.run(1)
  if (lab.vector === undefined) return Number(cpu.flags)
  expect(lab.vector).toBe(13)
  return "#GP"
}

/** Whether the interrupt flag that the program sees is IF, VIF or out of reach. */
const which = (s: Situation): "IF" | "VIF" | "none" => {
  if (s.mode === "real" || s.cpl <= s.iopl) return "IF"
  if (s.mode === "v86") return s.cr4 & CR4_VME ? "VIF" : "none"
  return s.cpl === 3 && s.cr4 & CR4_PVI ? "VIF" : "none"
}

describe("CLI and STI", () => {
  it("CLI clears IF or VIF, or is #GP(0)", () => {
    for (const s of situations) {
      enter(s, [0xfa], FL_IF | FL_VIF)
      const before = Number(cpu.flags)
      const flag = which(s)
      expect([s, outcome()]).toEqual([s, flag === "none" ? "#GP" : before & ~(flag === "IF" ? FL_IF : FL_VIF)])
    }
  })

  it("STI sets IF, or VIF unless VIP waits, or is #GP(0)", () => {
    for (const s of situations) {
      enter(s, [0xfb])
      const before = Number(cpu.flags)
      const flag = which(s)
      const expected = flag === "none" || (flag === "VIF" && s.vip) ? "#GP" : before | (flag === "IF" ? FL_IF : FL_VIF)
      expect([s, outcome()]).toEqual([s, expected])
    }
  })
})

describe("PUSHF", () => {
  it.each([2, 4] as const)("with %i bytes", (size) => {
    for (const s of situations) {
      if (s.mode === "long") continue
      const wide = s.mode !== "real" && s.mode !== "v86"
      for (const vif of [0, FL_VIF]) {
        enter(s, wide === (size === 4) ? [0x9c] : [0x66, 0x9c], FL_IF | vif | FL_AC)
        cpu.flags = cpu.flags | BigInt(FL_RF)
        const sensitive = s.mode === "v86" && s.iopl < 3
        const flags = Number(cpu.flags) & ~(FL_RF | FL_VM)
        const got = outcome()
        if (sensitive && (size === 4 || !(s.cr4 & CR4_VME))) expect([s, got]).toEqual([s, "#GP"])
        else {
          const image = sensitive ? (flags & ~FL_IF) | IOPL | (vif ? FL_IF : 0) : flags
          expect(lab.frame(1, size)).toEqual([size === 2 ? image & 0xffff : image])
        }
      }
    }
  })
})

describe("POPF", () => {
  const images = [0, ~0, FL_IF, FL_TF, FL_IF | FL_NT | ID, IOPL | FL_AC, FL_VIF | FL_VIP, STATUS | DF]
  it.each([2, 4] as const)("with %i bytes", (size) => {
    for (const s of situations) {
      if (s.mode === "long") continue
      const wide = s.mode !== "real" && s.mode !== "v86"
      for (const image of images) {
        enter(s, wide === (size === 4) ? [0x9d] : [0x66, 0x9d], FL_VIF)
        const before = Number(cpu.flags)
        if (size === 2) lab.ram.write16(lab.stackTop, image & 0xffff)
        else lab.ram.write32(lab.stackTop, image)

        const sensitive = s.mode === "v86" && s.iopl < 3
        let expected: number | "#GP"
        let mask = STATUS | FL_TF | DF | FL_NT | (size === 4 ? FL_AC | ID : 0)
        if (sensitive) {
          const refused = (image & FL_TF) !== 0 || (s.vip && (image & FL_IF) !== 0)
          if (size === 4 || !(s.cr4 & CR4_VME) || refused) expected = "#GP"
          else expected = (before & ~(mask | FL_VIF)) | (image & mask) | (image & FL_IF ? FL_VIF : 0)
        } else {
          if (s.mode === "v86" || s.cpl <= s.iopl) mask |= FL_IF
          if (s.cpl === 0) mask |= IOPL
          expected = (before & ~mask) | (image & mask)
          if (s.cpl === 0 && size === 4) expected &= ~(FL_VIF | FL_VIP)
        }
        expect([s, size, image, outcome()]).toEqual([s, size, image, expected])
      }
    }
  })
})

describe("INT n in virtual-8086 mode", () => {
  const v86 = situations.filter((s) => s.mode === "v86")
  it.each([true, false])("redirection bit clear: %s", (redirect) => {
    for (const s of v86) {
      enter(s, [0xcd, 0x41], FL_IF)
      if (redirect) lab.ram.write8(TSS + 0x68 + (0x41 >> 3), 0xff & ~(1 << (0x41 & 7)))
      lab.ram.write16(0x41 * 4, 0x1234)
      lab.ram.write16(0x41 * 4 + 2, 0x4000)
      lab.setIdt(0x41, gate(SEL.code0, 0x8000 + 0x41 * 16, 14, 3))
      cpu.run(1)
      const vme = (s.cr4 & CR4_VME) !== 0n
      if (vme && redirect) {
        // Through the program's own vector table, in virtual-8086 mode.
        expect(cpu.rip).toBe(0x1234n)
        expect(lab.selector(S.SEG_CS)).toBe(0x4000)
        const flags = Number(cpu.flags)
        expect(flags & FL_VM).toBe(FL_VM)
        const [ip, cs, image] = lab.frame(3, 2)
        expect([ip, cs]).toEqual([2, CODE >> 4])
        if (s.iopl === 3) {
          expect(flags & FL_IF).toBe(0)
          expect(image! & (FL_IF | IOPL)).toBe(FL_IF | IOPL)
        } else {
          // IF is not the program's: VIF was 0, so the image says 0, with IOPL 3.
          expect(flags & FL_IF).toBe(FL_IF)
          expect(image! & (FL_IF | IOPL)).toBe(IOPL)
        }
      } else {
        expect([s, lab.vector]).toEqual([s, s.iopl === 3 ? 0x41 : 13])
      }
    }
  })

  it("INT3 asks the IDT alone, whatever IOPL and bitmap say", () => {
    for (const s of v86) {
      enter(s, [0xcc])
      lab.ram.fill(TSS + 0x68, 0x20, 0)
      lab.setIdt(3, gate(SEL.code0, 0x8000 + 3 * 16, 14, 3))
      cpu.run(1)
      expect([s, lab.vector]).toEqual([s, 3])
    }
  })
})

describe("IRET in virtual-8086 mode", () => {
  it("follows IOPL and VME", () => {
    for (const s of situations.filter((s) => s.mode === "v86"))
      for (const image of [2, FL_IF | 2, FL_TF | 2, IOPL | 2]) {
        enter(s, [0xcf])
        lab.ram.write16(lab.stackTop, 0x100)
        lab.ram.write16(lab.stackTop + 2, CODE >> 4)
        lab.ram.write16(lab.stackTop + 4, image)
        const before = Number(cpu.flags)
        const vme = (s.cr4 & CR4_VME) !== 0n
        const refused = (image & FL_TF) !== 0 || (s.vip && (image & FL_IF) !== 0)
        const got = outcome()
        if (s.iopl < 3 && (!vme || refused)) {
          expect([s, image, got]).toEqual([s, image, "#GP"])
          continue
        }
        const flag = s.iopl === 3 ? FL_IF : FL_VIF
        const mask = STATUS | DF | FL_TF | FL_NT | flag
        const value = (image & ~FL_IF) | (image & FL_IF ? flag : 0)
        expect([s, image, got]).toEqual([s, image, (before & ~mask) | (value & mask)])
        expect(cpu.rip).toBe(0x100n)
      }
  })
})

describe("alignment checks", () => {
  const CR0_AM = 0x40000n
  it.each([
    ["prot32", 3],
    ["long", 3],
    ["v86", 3],
  ] as const)("%s: CPL 3 with AC and AM", (mode, cpl) => {
    for (const am of [0n, CR0_AM])
      for (const ac of [0, FL_AC]) {
        // MOV EAX, [EDI] at an odd address.
        lab.enter(mode, cpl, mode === "v86" ? [0x67, 0x66, 0x8b, 0x07] : [0x8b, 0x07])
        cpu.setGpr(7, 0x101n)
        cpu.setLong(S.CR0, cpu.long(S.CR0) | am)
        cpu.refresh()
        lab.setFlags(ac)
        cpu.run(1)
        expect([am, ac, lab.vector]).toEqual([am, ac, am && ac ? 17 : undefined])
        if (am && ac) expect(lab.frame(1, lab.long ? 8 : 4)).toEqual([0])
      }
  })

  it("not in ring 0, and not for aligned accesses", () => {
    lab.enter("prot32", 0, [0x8b, 0x07])
    cpu.setLong(S.CR0, cpu.long(S.CR0) | CR0_AM)
    cpu.refresh()
    lab.setFlags(FL_AC)
    cpu.setGpr(7, 0x101n)
    cpu.run(1)
    expect(lab.vector).toBe(undefined)
    lab.enter("prot32", 3, [0x8b, 0x07])
    cpu.setLong(S.CR0, cpu.long(S.CR0) | CR0_AM)
    cpu.refresh()
    lab.setFlags(FL_AC)
    cpu.setGpr(7, 0x104n)
    cpu.run(1)
    expect(lab.vector).toBe(undefined)
  })
})
