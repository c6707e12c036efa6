import { describe, expect, it } from "vitest"
import { type Choices, DIMENSIONS, LGUEST, LGUEST64 } from "../../src/design/dimensions.ts"
import { check, RULES } from "../../src/design/rules.ts"
import * as S from "../../src/machine/core/state.ts"
import { SharedHeap } from "../../src/machine/shared.ts"
import { createDirectMmu } from "../../src/mmu4/direct/index.ts"
import { createShadowMmu, FIXED, PF_WRITE, type ShadowMmu, type ShadowMmuConfig } from "../../src/mmu4/index.ts"
import { LHCALL } from "../../src/paravirt_ops/lguest64.ts"
import { TestGuest } from "../i386/guests.ts"
import { DATA, FL_VIF, Lab, SEL } from "../machine/lab.ts"
import { bootDesign, Puppy, runPuppy } from "./puppy.ts"

/*
 * Each rule of `designs check`, and what happens where it is switched off: the design is built all the same, and fails. A
 * rule whose failure cannot be shown would be an opinion.
 */

const brokenBy = (choices: Choices): ReadonlyArray<string> => check(choices).map(({ rule }) => rule.name)
const reasonsOf = (choices: Choices): string =>
  check(choices)
    .map(({ reason }) => reason)
    .join("; ")

/** Rules that the tests below have shown to be needed. */
const shown = new Set<string>()
const breaking = (rule: string, choices: Choices): Choices => {
  expect(brokenBy(choices)).toEqual([rule])
  shown.add(rule)
  return choices
}

const amd64 = (choices: Partial<Choices>): Choices => ({ ...LGUEST64, ...choices })
const i386 = (choices: Partial<Choices>): Choices => ({ ...LGUEST, ...choices })
const GENERAL_PROTECTION = 13
const INVALID_OPCODE = 6

describe("the rules", () => {
  it("allow what the modules are by default", () => {
    expect(check(LGUEST64)).toEqual([])
    expect(check(LGUEST)).toEqual([])
  })

  it("say why, of each alternative that an architecture has not", () => {
    for (const base of [LGUEST64, LGUEST])
      for (const { key, alternatives } of DIMENSIONS)
        for (const { name, arches } of alternatives) {
          if (arches.includes(base.arch)) continue
          const value = key === "ring" ? Number(name) : name
          const reasons = reasonsOf({ ...base, [key]: value })
          expect(reasons).toContain(`${key} ${name} on ${base.arch}: `)
          expect(reasons).not.toContain("it does not exist")
        }
  })
})

describe("architecture, switched off", () => {
  it("x86_64: a limit keeps nobody out in long mode", () => {
    breaking("architecture", amd64({ host: "switcher-behind-limits" }))
    breaking("architecture", amd64({ host: "everything-behind-limits", pageOffset: "host-moves" }))
    const lab = new Lab()
    const read = (mode: "prot32" | "long") => {
      lab.enter(mode, 3, [0x8a, 0x07]) // mov (%edi), %al
      lab.ram.write8(DATA + 0x2000, 0x5a)
      lab.load(S.SEG_DS, SEL.data3Small)
      lab.cpu.refresh()
      lab.cpu.setGpr(0, 0n)
      lab.cpu.setGpr(7, mode === "long" ? BigInt(DATA + 0x2000) : 0x2000n)
      lab.run(1)
      return lab.vector ?? Number(lab.cpu.gpr(0))
    }
    expect(read("prot32")).toBe(GENERAL_PROTECTION)
    expect(read("long")).toBe(0x5a)
  })

  it("x86_64: a kernel entered straight cannot fetch its GS", () => {
    breaking("architecture", amd64({ events: "straight", ring: 1, spaces: "one" }))
    const lab = new Lab()
    for (const ring of [1, 3] as const) {
      lab.enter("long", 3, [0x0f, 0x01, 0xf8]) // swapgs
      if (ring === 1) {
        const attributes = lab.attr(S.SEG_CS) & ~0x6000
        lab.cpu.setSegment(S.SEG_CS, SEL.code1 | 1, 0n, 0xffffffff, attributes | 0x2000)
        lab.cpu.setWord(S.CPL, 1)
        lab.cpu.refresh()
      }
      expect(lab.fault(1).vector).toBe(GENERAL_PROTECTION)
    }
  })

  it("i386: kernels whose selectors say ring 1 do not load at ring 3", () => {
    breaking("architecture", i386({ ring: 3 }))
    const lab = new Lab()
    // push SS, ESP, EFLAGS, CS (RPL 1, as in the kernels' images), EIP; iret
    lab.enter("prot32", 0, [0x6a, SEL.data3, 0x54, 0x9c, 0x6a, (SEL.code3 & ~3) | 1, 0x68, 0, 0, 2, 0, 0xcf])
    expect(lab.fault(6)).toEqual({ vector: GENERAL_PROTECTION, error: SEL.code3 & ~3 })
  })

  for (const vcpu of ["pda", "task"] as const)
    it(`i386: nobody asks ${vcpu} for a VCPU, so it is found nowhere there`, async () => {
      const hosted = await bootDesign(breaking("architecture", i386({ vcpu })))
      expect(new Puppy(hosted, "i386").run(["getpid-loop 10", "poweroff"]).kind).toBe("powerOff")
      const { statistics } = hosted.kernel.cpus[0]!
      expect(statistics.worldSwitches).toBeGreaterThan(0)
      expect(statistics.vcpuTaken).toBe(0)
    })

  it("i386: two address spaces are one all the same", async () => {
    const hosted = await bootDesign(breaking("architecture", i386({ spaces: "separate" })))
    const puppy = new Puppy(hosted, "i386")
    puppy.guest.run(200_000_000)
    const [vcpu] = hosted.view().vcpus
    expect(vcpu!.root("user")).toBeGreaterThan(0)
    expect(vcpu!.root("user")).toBe(vcpu!.root("kernel"))
  })

  it("i386: the guest stays at 0xC0000000", async () => {
    const hosted = await bootDesign(breaking("architecture", i386({ pageOffset: "guest-moves" })))
    expect(new Puppy(hosted, "i386").run(["poweroff"]).kind).toBe("powerOff")
    const handlers = hosted.view().handlers()
    expect(handlers.length).toBeGreaterThan(0)
    for (const { address } of handlers) expect(address >> 24n).toBe(0xc0n)
  })

  it("i386: a guest has a GDT of its own, whatever was chosen", async () => {
    const hosted = await bootDesign(breaking("architecture", i386({ selectors: "own" })))
    expect(new Puppy(hosted, "i386").run(["poweroff"]).kind).toBe("powerOff")
    expect(hosted.view().descriptors()).toBeDefined()
  })

  it("i386: SYSCALL is #UD", () => {
    breaking("architecture", i386({ hypercall: "syscall" }))
    const lab = new Lab()
    lab.enter("prot32", 1, [0x0f, 0x05])
    expect(lab.fault(1).vector).toBe(INVALID_OPCODE)
  })

  for (const [mmu, create] of [
    ["kvm", createShadowMmu],
    ["direct", createDirectMmu],
  ] as const)
    it(`i386: ${mmu} finds nothing in tables of two levels`, () => {
      breaking("architecture", i386({ mmu }))
      expect(mapsTwoLevels(create)).toBe(false)
    })

  it("i386: CLI is #GP at ring 1, with CR4.PVI or without", () => {
    breaking("architecture", i386({ interruptFlag: "pvi" }))
    const lab = new Lab()
    const cli = (ring: 1 | 3) => {
      lab.enter("prot32", ring, [0xfa]).setFlags(FL_VIF)
      lab.cpu.setLong(S.CR4, 2n)
      lab.cpu.refresh()
      lab.run(1)
      return lab.vector
    }
    expect(cli(3)).toBe(undefined)
    expect(cli(1)).toBe(GENERAL_PROTECTION)
  })

  it("i386: no hypercall starts a second virtual CPU", () => {
    breaking("architecture", i386({ smp: "threads" }))
    const guest = new TestGuest("any_hypercall")
    guest.write(0x3000, LHCALL.VCPU_UP)
    expect(guest.run()).toMatchObject({ kind: "killed", death: { cause: expect.stringContaining("does not exist") } })
  })
})

/** Whether an MMU for four levels maps what an i386 guest's two levels map. */
const mapsTwoLevels = (create: (config: ShadowMmuConfig) => ShadowMmu): boolean => {
  const FRAMES = 512
  const words = new Uint32Array(new SharedArrayBuffer(FRAMES * 4096))
  const at = (pa: number) => pa >>> 2
  let next = 256
  const mmu = create({
    memory: {
      read32: (pa) => words[at(pa)]!,
      write8: () => undefined,
      write16: () => undefined,
      write32: (pa, value) => {
        words[at(pa)] = value
      },
      compareExchange32: (pa, expected, value) => Atomics.compareExchange(words, at(pa), expected, value),
      fill: (pa, length) => words.fill(0, at(pa), at(pa + length)),
    },
    frames: { count: 16, gfnToHfn: (gfn) => (gfn < 16 ? gfn : -1) },
    allocator: { alloc: () => (next < FRAMES ? next++ : -1), free: () => undefined },
    flushers: [{ flushAll: () => undefined, flushPage: () => undefined }],
    host: { slots: [], entryLo: () => 0, entryHi: () => 0 },
    heap: SharedHeap.create(),
    limit: 128,
  })
  const DIRECTORY = 1
  const TABLE = 2
  const PAGE = 3
  const ADDRESS = 0xc000_5000
  // 32-bit entries: bits 22..31 of the address choose the first, bits 12..21 the second (SDM vol. 3, 4.3).
  words[DIRECTORY * 1024 + (ADDRESS >>> 22)] = (TABLE << 12) | 0x67
  words[TABLE * 1024 + ((ADDRESS >>> 12) & 0x3ff)] = (PAGE << 12) | 0x67
  const vcpu = mmu.vcpus[0]!
  if (vcpu.newRoot(DIRECTORY << 12).kind !== FIXED) return false
  const result = vcpu.pageFault(ADDRESS >>> 12, 0, PF_WRITE, false)
  return result.kind === FIXED && result.gpa === PAGE << 12
}

describe("room-for-both, switched off", () => {
  it("the guest's direct map is the host's, which ring 3 may not touch", async () => {
    const design = amd64({ host: "everything", pageOffset: "same" })
    const end = await runPuppy(breaking("room-for-both", design), ["poweroff"])
    expect(end.kind).not.toBe("powerOff")
    expect(end.output).not.toContain("puppy# ")
    expect((await runPuppy(amd64({ host: "everything", pageOffset: "guest-moves" }), ["poweroff"])).kind).toBe(
      "powerOff",
    )
  })
})

describe("own-pages-at-known-address, switched off", () => {
  it("the guest's SYSCALL finds no VCPU, and the host takes it for a process's", async () => {
    const design = amd64({ host: "everything", pageOffset: "guest-moves", vcpu: "known-address" })
    let end: string
    try {
      const { kind } = await runPuppy(breaking("own-pages-at-known-address", design), ["poweroff"])
      end = kind
    } catch (thrown) {
      end = (thrown as Error).name
    }
    expect(end).not.toBe("powerOff")
  })
})

describe("pvi-is-for-ring-3, switched off", () => {
  it("the kernel's first CLI is #GP", async () => {
    const design = amd64({ interruptFlag: "pvi", ring: 1, spaces: "one" })
    const end = await runPuppy(breaking("pvi-is-for-ring-3", design), ["poweroff"])
    expect(end.kind).toBe("killed")
    expect(end.cause).toContain("exception 13")
    expect((await runPuppy(amd64({ interruptFlag: "pvi" }), ["poweroff"])).kind).toBe("powerOff")
  })
})

describe("every rule", () => {
  it("has been shown to be needed", () => {
    expect([...shown].sort()).toEqual(RULES.map(({ name }) => name).sort())
  })
})
