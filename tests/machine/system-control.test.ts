import { describe, expect, it } from "vitest"
import { openBus } from "../../src/machine/bus.ts"
import * as S from "../../src/machine/core/state.ts"
import { CODE, FL_VM, Lab, type Mode, SEL, TABLES, TSS } from "./lab.ts"

/* Control registers, model-specific registers, CPUID, ports. */

const lab = new Lab()
const { cpu, ram } = lab

const outcome = () => {
  cpu.run(1)
  return lab.vector === undefined ? undefined : [lab.vector, lab.frame(1, lab.long ? 8 : 4)[0]]
}
const GP0 = [13, 0]
/** MOV CRn, EAX and MOV EAX, CRn. */
const toCr = (n: number) => (n < 8 ? [0x0f, 0x22, 0xc0 | (n << 3)] : [0x44, 0x0f, 0x22, 0xc0 | ((n - 8) << 3)])
const fromCr = (n: number) => (n < 8 ? [0x0f, 0x20, 0xc0 | (n << 3)] : [0x44, 0x0f, 0x20, 0xc0 | ((n - 8) << 3)])

const write = (n: number, value: bigint, mode: Mode = "prot32", cpl: 0 | 3 = 0) => {
  lab.enter(mode, cpl, toCr(n))
  cpu.setGpr(0, value)
  return outcome()
}

describe("CR0", () => {
  it("legality", () => {
    expect(write(0, 0x80000010n)).toEqual(GP0)
    expect(write(0, 0x20000011n)).toEqual(GP0)
    expect(write(0, 0x60000011n)).toBe(undefined)
    expect(write(0, 0x11n, "prot32", 3)).toEqual(GP0)
    expect(write(0, 0x1_80010011n, "long")).toEqual(GP0)
    // Paging cannot be switched off from 64-bit mode, it can from compatibility mode.
    expect(write(0, 0x11n, "long")).toEqual(GP0)
    expect(write(0, 0x11n, "compat")).toBe(undefined)
    expect(cpu.long(S.MSR_EFER)).toBe(0x100n)
  })

  it("ET is always 1, reserved bits stay 0", () => {
    write(0, 0x0ff2ffc1n)
    expect(cpu.long(S.CR0)).toBe(0x11n)
  })

  it("PG with LME needs PAE, a CS without L and a 32-bit TSS, and makes LMA", () => {
    const enable = (cr4: bigint, attr: number, tss: number) => {
      lab.enter("compat", 0, [...toCr(0), 0xf4])
      cpu.setLong(S.CR0, 0x11n)
      cpu.setLong(S.MSR_EFER, 0x100n)
      cpu.setLong(S.CR4, cr4)
      cpu.setSegment(S.SEG_CS, SEL.code0, 0n, 0xffffffff, attr)
      cpu.setSegment(S.SEG_TR, SEL.tss, BigInt(TSS), 0x20ff, tss)
      cpu.flushTlb(true)
      cpu.refresh()
      cpu.setGpr(0, 0x80000011n)
      // Faults go through the 32-bit IDT format while LMA is off.
      cpu.setWord(S.IDTR_LIMIT, 0)
      return cpu.run(10) === S.EXIT_SHUTDOWN ? "refused" : cpu.long(S.MSR_EFER)
    }
    expect(enable(0x20n, 0xc09b00, 0x8b00)).toBe(0x500n)
    expect(enable(0n, 0xc09b00, 0x8b00)).toBe("refused")
    expect(enable(0x20n, 0xe09b00, 0x8b00)).toBe("refused")
    expect(enable(0x20n, 0xc09b00, 0x8300)).toBe("refused")
  })

  it("LMSW sets PE and cannot clear it; SMSW reads in every ring; CLTS", () => {
    lab.enter("prot32", 0, [0x0f, 0x01, 0xf0])
    cpu.setGpr(0, 0xen)
    expect(outcome()).toBe(undefined)
    expect(cpu.long(S.CR0)).toBe(0x1fn)
    lab.code(CODE + 3, [0x0f, 0x06])
    cpu.run(1)
    expect(cpu.long(S.CR0)).toBe(0x17n)
    lab.enter("prot32", 3, [0x0f, 0x01, 0xe0])
    expect(outcome()).toBe(undefined)
    expect(cpu.gprLo(0) & 0xffff).toBe(0x11)
    lab.enter("prot32", 3, [0x0f, 0x06])
    expect(outcome()).toEqual(GP0)
  })

  it("the way from real mode to long mode, instruction by instruction", () => {
    lab.enter("long")
    const tables = ram.copyOut(TABLES, 0x4000)
    // CLI; LGDT [DI]; MOV EAX,CR0; OR AL,1; MOV CR0,EAX; JMPF code0:...
    lab.enter(
      "real",
      0,
      [
        0x0f, 0x01, 0x15, 0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0, 0x66, 0xea, 0x00, 0x01, 0x02, 0x00, 0x08,
        0x00,
      ],
    )
    ram.copyIn(TABLES, tables)
    ram.write16(0x1ff0, 0xdf)
    ram.write32(0x1ff2, 0x1000)
    cpu.setGpr(7, 0x1ff0n)
    // 32-bit: CR4.PAE, CR3, EFER.LME, CR0.PG, JMPF code64.
    lab.code(CODE + 0x100, [
      ...[0xb8, 0x20, 0, 0, 0, 0x0f, 0x22, 0xe0],
      ...[0xb8, 0x00, 0x00, 0x01, 0x00, 0x0f, 0x22, 0xd8],
      ...[0xb9, 0x80, 0x00, 0x00, 0xc0, 0xb8, 0x00, 0x01, 0, 0, 0x31, 0xd2, 0x0f, 0x30],
      ...[0xb8, 0x11, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0],
      ...[0xea, 0x00, 0x02, 0x02, 0x00, 0x18, 0x00],
    ])
    // 64-bit: MOV RAX, imm64; HLT.
    lab.code(CODE + 0x200, [0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 0xf4])
    expect(cpu.run(100)).toBe(S.EXIT_HALT)
    expect(cpu.word(S.MODE)).toBe(S.MODE_64)
    expect(cpu.gpr(0)).toBe(0x0807060504030201n)
    expect(cpu.rip).toBe(BigInt(CODE + 0x20b))
  })
})

describe("CR3, CR4, CR8", () => {
  it("CR4 has what CPUID shows", () => {
    expect(write(4, 0x1bfn)).toBe(undefined)
    for (const bit of [6n, 9n, 10n, 13n, 16n, 20n, 21n, 31n]) expect(write(4, 1n << bit)).toEqual(GP0)
    expect(write(4, 0n, "long")).toEqual(GP0)
    expect(write(4, 0xa0n, "long")).toBe(undefined)
  })

  it("CR3's bits above MAXPHYADDR are reserved in long mode", () => {
    expect(write(3, (1n << 40n) | BigInt(TABLES), "long")).toEqual(GP0)
    expect(write(3, 0x18n | BigInt(TABLES), "long")).toBe(undefined)
    expect(cpu.long(S.CR3)).toBe(0x18n | BigInt(TABLES))
  })

  it("CR8 is the local APIC's task priority", () => {
    // SDM vol. 3, 11.8.6: bits 7..4 of the TPR, whose lower half a write of CR8 clears.
    const device = { priority: 0, accesses: 0 }
    const lab = new Lab({
      ...openBus,
      mmioRead: (_cpu, address, size) => {
        expect([address, size]).toEqual([0xfee00080, 4])
        device.accesses++
        return device.priority
      },
      mmioWrite: (_cpu, address, size, value) => {
        expect([address, size]).toEqual([0xfee00080, 4])
        device.accesses++
        device.priority = value
      },
    })
    lab.enter("long", 0, [...toCr(8), ...fromCr(8)])
    lab.cpu.setGpr(0, 9n)
    lab.cpu.run(1)
    expect(device).toEqual({ priority: 0x90, accesses: 1 })
    device.priority = 0xcd
    lab.cpu.run(1)
    expect(lab.cpu.gpr(0)).toBe(12n)
    expect(device.accesses).toBe(2)
  })

  it("CR8 has four bits, remembered while there is no APIC; the others do not exist", () => {
    lab.enter("long", 0, [...toCr(8), ...fromCr(8)])
    cpu.setLong(S.MSR_APIC_BASE, 0xfee00100n)
    cpu.setGpr(0, 15n)
    cpu.run(1)
    cpu.setGpr(0, 0n)
    cpu.run(1)
    expect(cpu.gpr(0)).toBe(15n)
    expect(write(8, 16n, "long")).toEqual(GP0)
    for (const n of [1, 5, 6, 7]) expect(write(n, 0n)![0]).toBe(6)
  })

  it("CR2 is 64 bits wide", () => {
    expect(write(2, 0x123456789abcdef0n, "long")).toBe(undefined)
    expect(cpu.long(S.CR2)).toBe(0x123456789abcdef0n)
  })
})

describe("privileged instructions outside of ring 0 are #GP(0)", () => {
  const instructions: ReadonlyArray<readonly [string, ReadonlyArray<number>]> = [
    ["HLT", [0xf4]],
    ["INVLPG", [0x0f, 0x01, 0x3f]],
    ["WBINVD", [0x0f, 0x09]],
    ["INVD", [0x0f, 0x08]],
    ["LGDT", [0x0f, 0x01, 0x17]],
    ["LIDT", [0x0f, 0x01, 0x1f]],
    ["LMSW", [0x0f, 0x01, 0xf0]],
    ["RDMSR", [0x0f, 0x32]],
    ["WRMSR", [0x0f, 0x30]],
    ["MOV EAX, CR0", fromCr(0)],
    ["MOV CR3, EAX", toCr(3)],
  ]
  it.each(instructions)("%s", (_name, code) => {
    for (const [mode, cpl] of [
      ["prot32", 3],
      ["prot32", 1],
      ["long", 3],
    ] as const) {
      lab.enter(mode, cpl, code)
      cpu.setGpr(7, 0x40000n)
      expect(outcome()).toEqual(GP0)
    }
  })

  it("SWAPGS exists in 64-bit mode only", () => {
    const SWAPGS = [0x0f, 0x01, 0xf8]
    lab.enter("long", 0, SWAPGS)
    cpu.setLong(S.MSR_KERNEL_GS_BASE, 0x1234n)
    cpu.setLong(S.SEG + S.SEG_GS * S.SEG_STRIDE, 0x5678n)
    expect(outcome()).toBe(undefined)
    expect([cpu.long(S.MSR_KERNEL_GS_BASE), cpu.long(S.SEG + S.SEG_GS * S.SEG_STRIDE)]).toEqual([0x5678n, 0x1234n])
    lab.enter("long", 3, SWAPGS)
    expect(outcome()).toEqual(GP0)
    lab.enter("compat", 0, SWAPGS)
    expect(outcome()![0]).toBe(6)
  })
})

describe("MSRs", () => {
  const wrmsr = (number: number, value: bigint, mode: Mode = "long") => {
    lab.enter(mode, 0, [0x0f, 0x30, 0x0f, 0x32])
    cpu.setGpr(1, BigInt(number))
    cpu.setGpr(0, value & 0xffffffffn)
    cpu.setGpr(2, value >> 32n)
    const result = outcome()
    if (result !== undefined) return result
    cpu.setGpr(0, ~0n)
    cpu.setGpr(2, ~0n)
    cpu.run(1)
    return (cpu.gpr(2) << 32n) | cpu.gpr(0)
  }

  it("what is written is read, zero-extended", () => {
    const addresses = [0x175, 0x176, 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102]
    for (const number of addresses) {
      expect(wrmsr(number, 0xffff800012345678n)).toBe(0xffff800012345678n)
      expect([number, wrmsr(number, 0x800000000000n)]).toEqual([number, GP0])
    }
    expect(wrmsr(0xc0000081, 0x1122334455667788n)).toBe(0x1122334455667788n)
    expect(wrmsr(0xc0000084, 0x47700n)).toBe(0x47700n)
    expect(wrmsr(0xc0000084, 1n << 32n)).toEqual(GP0)
    expect(wrmsr(0x174, 0x10n)).toBe(0x10n)
    expect(wrmsr(0xc0000103, 7n)).toBe(7n)
    expect(wrmsr(0x277, 0x0007040600070406n)).toBe(0x0007040600070406n)
    expect(wrmsr(0x277, 0x0207040600070406n)).toEqual(GP0)
  })

  it("EFER: LMA is the processor's, LME is fixed while paging is on, the rest is reserved", () => {
    expect(wrmsr(0xc0000080, 0xd01n)).toBe(0xd01n)
    expect(wrmsr(0xc0000080, 0x101n)).toBe(0x501n)
    expect(wrmsr(0xc0000080, 0x401n)).toEqual(GP0)
    expect(wrmsr(0xc0000080, 0x502n)).toEqual(GP0)
    expect(wrmsr(0xc0000080, 0x1500n)).toEqual(GP0)
    expect(wrmsr(0xc0000080, 0x100n, "prot32")).toBe(0x100n)
  })

  it("an unknown number is #GP(0)", () => {
    for (const number of [0, 0x1b0, 0x40000000, 0xc0000104, 0xffffffff]) {
      expect(wrmsr(number, 0n)).toEqual(GP0)
      lab.enter("prot32", 0, [0x0f, 0x32])
      cpu.setGpr(1, BigInt(number))
      expect(outcome()).toEqual(GP0)
    }
  })

  it("the TSC counts instructions, can be set, and hides behind CR4.TSD", () => {
    lab.enter("long", 0, [0x0f, 0x31, 0x89, 0xc3, 0x90, 0x90, 0x0f, 0x31])
    cpu.run(5)
    expect(cpu.gprLo(0) - cpu.gprLo(3)).toBe(4)
    lab.enter("long", 0, [0x0f, 0x30, 0x0f, 0x31])
    cpu.setGpr(1, 0x10n)
    cpu.setGpr(0, 1000n)
    cpu.setGpr(2, 5n)
    cpu.run(2)
    expect(cpu.gpr(2)).toBe(5n)
    expect(cpu.gprLo(0)).toBe(1001)
    lab.enter("long", 3, [0x0f, 0x31])
    cpu.setLong(S.CR4, 0x24n)
    expect(outcome()).toEqual(GP0)
  })
})

describe("CPUID", () => {
  const cpuid = (leaf: number, mode: Mode = "long") => {
    lab.enter(mode, 3, [0x0f, 0xa2])
    cpu.setGpr(0, BigInt(leaf))
    cpu.setGpr(1, 0n)
    cpu.run(1)
    return { eax: cpu.gprLo(0), ebx: cpu.gprLo(3), ecx: cpu.gprLo(1), edx: cpu.gprLo(2) }
  }
  const text = (...words: ReadonlyArray<number>) =>
    String.fromCharCode(...words.flatMap((w) => [0, 8, 16, 24].map((s) => (w >>> s) & 0xff))).replace(/\0+$/, "")

  it("names", () => {
    const { ebx, ecx, edx } = cpuid(0)
    expect(text(ebx, edx, ecx)).toBe("lguest64 lab")
    const brand = [2, 3, 4].map((i) => cpuid(0x80000000 + i))
    expect(text(...brand.flatMap((r) => [r.eax, r.ebx, r.ecx, r.edx]))).toBe("lguest64 simulated processor")
  })

  it("no FPU, no SSE, no hypervisor, no MTRRs; SYSCALL in 64-bit mode only", () => {
    const { ecx, edx } = cpuid(1)
    expect(edx & ((1 << 0) | (1 << 12) | (1 << 23) | (1 << 24) | (1 << 25) | (1 << 26))).toBe(0)
    expect(ecx >>> 31).toBe(0)
    expect(ecx & 1).toBe(0)
    expect((cpuid(0x80000001).edx >>> 11) & 1).toBe(1)
    expect((cpuid(0x80000001, "prot32").edx >>> 11) & 1).toBe(0)
    expect((cpuid(0x80000001).edx >>> 29) & 1).toBe(1)
    expect(cpuid(0x80000008).eax).toBe(40 | (48 << 8))
  })

  it("leaves that do not exist answer as the last basic one", () => {
    expect(cpuid(0x12345)).toEqual(cpuid(1))
    expect(cpuid(0x80000123)).toEqual(cpuid(1))
  })
})

describe("ports", () => {
  const log: Array<string> = []
  const lab = new Lab({
    ...openBus,
    portIn: (_cpu, port, size) => {
      log.push(`in ${port} ${size}`)
      return 0x12345678
    },
    portOut: (_cpu, port, size, value) => void log.push(`out ${port} ${size} ${value}`),
  })
  const { cpu, ram } = lab
  /** IN AL|AX|EAX, DX. */
  const IN = { 1: [0xec], 2: [0x66, 0xed], 4: [0xed] } as const
  const allow = (port: number) => {
    const at = TSS + 0x88 + (port >> 3)
    ram.write8(at, ram.read8(at) & ~(1 << (port & 7)))
  }

  it("widths", () => {
    log.length = 0
    lab.enter("prot32", 0, [...IN[1], ...IN[2], ...IN[4], 0xee])
    cpu.setGpr(2, 0x3f8n)
    cpu.setGpr(0, 0n)
    cpu.run(1)
    expect(cpu.gprLo(0)).toBe(0x78)
    cpu.run(1)
    expect(cpu.gprLo(0)).toBe(0x5678)
    cpu.run(1)
    expect(cpu.gprLo(0)).toBe(0x12345678)
    cpu.run(1)
    expect(log).toEqual(["in 1016 1", "in 1016 2", "in 1016 4", "out 1016 1 120"])
  })

  it("IOPL, then the bitmap for every port of the access", () => {
    for (const size of [1, 2, 4] as const)
      for (const allowed of [0, 1, 3, 7, 15]) {
        lab.enter("prot32", 3, IN[size])
        cpu.setGpr(2, 0x46n)
        for (let i = 0; i < 4; i++) if (allowed & (1 << i)) allow(0x46 + i)
        cpu.run(1)
        const needs = (1 << size) - 1
        expect([size, allowed, lab.vector]).toEqual([size, allowed, (allowed & needs) === needs ? undefined : 13])
      }
    lab.enter("prot32", 3, IN[1]).setIopl(3)
    cpu.run(1)
    expect(lab.vector).toBe(undefined)
  })

  it("virtual-8086 mode asks the bitmap whatever IOPL is", () => {
    lab.enter("v86", 3, [0xec]).setIopl(3)
    expect(Number(cpu.flags) & FL_VM).toBe(FL_VM)
    cpu.setGpr(2, 0x60n)
    cpu.run(1)
    expect(lab.vector).toBe(13)
    lab.enter("v86", 3, [0xec])
    allow(0x60)
    cpu.setGpr(2, 0x60n)
    cpu.run(1)
    expect(lab.vector).toBe(undefined)
  })

  it("two bytes of the bitmap must lie within the TSS's limit", () => {
    const at = (limit: number) => {
      lab.enter("prot32", 3, IN[1])
      allow(0x40)
      cpu.setGpr(2, 0x40n)
      cpu.setSegment(S.SEG_TR, SEL.tss, BigInt(TSS), limit, 0x8b00)
      cpu.run(1)
      return lab.vector
    }
    expect(at(0x88 + 8 + 1)).toBe(undefined)
    expect(at(0x88 + 8)).toBe(13)
    expect(at(0x66)).toBe(13)
  })
})
