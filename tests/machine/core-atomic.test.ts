import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { coreFile } from "../../scripts/build-core.ts"
import { openBus } from "../../src/machine/bus.ts"
import { Machine } from "../../src/machine/machine.ts"
import { dword } from "./flat.ts"
import { Threads } from "./threads.ts"

/*
 * Three processors in three threads on one memory: what LOCK and XCHG promise must hold.
 */

const PROCESSORS = 3
const ROUNDS = 100_000
const CODE = 0x10000
const DATA = 0x20000
const TABLES = 0x30000
const READY = 0x40000

/** Runs `body` ROUNDS times on each processor (ESI counts) and returns the memory afterwards. */
const race = async (body: ReadonlyArray<number>, mode: "prot32" | "long" = "prot32") => {
  const core = new WebAssembly.Module(readFileSync(coreFile))
  const machine = Machine.create({ core, ramBytes: 0x100000, processors: PROCESSORS, bus: openBus })
  const back = -(body.length + 2 + 6)
  machine.ram.copyIn(
    CODE,
    Uint8Array.from([
      // All begin at once: lock inc dword [READY]; wait: cmp dword [READY], PROCESSORS; jne wait
      ...[0xf0, 0xff, 0x04, 0x25, ...dword(READY)],
      ...[0x83, 0x3c, 0x25, ...dword(READY), PROCESSORS, 0x75, 0xf6],
      // mov esi, ROUNDS; again: body; dec esi; jnz again; hlt
      ...[0xbe, ...dword(ROUNDS), ...body, 0xff, 0xce, 0x0f, 0x85, ...dword(back), 0xf4],
    ]),
  )
  // The first 2 MiB mapped to themselves by one large page.
  for (const [level, entry] of [TABLES + 0x1007, TABLES + 0x2007, 0x87].entries())
    machine.ram.write32(TABLES + level * 0x1000, entry)
  const threads = new Threads(machine, PROCESSORS)
  try {
    await threads.run(
      Array.from({ length: PROCESSORS }, (_, index) => {
        const start = { index, code: CODE, stack: 0x80000 + index * 0x1000 }
        return mode === "long" ? { ...start, cr3: TABLES } : start
      }),
    )
  } finally {
    await threads.end()
  }
  return machine.ram
}

const TOTAL = PROCESSORS * ROUNDS

describe("three processors", () => {
  it("lose no LOCKed update, aligned, unaligned or across pages", async () => {
    const ram = await race([
      ...[0xf0, 0xff, 0x05, ...dword(DATA)], // lock inc dword [DATA]
      ...[0xf0, 0x83, 0x05, ...dword(DATA + 0x13), 3], // lock add dword [DATA + 13h], 3
      ...[0xf0, 0x83, 0x2d, ...dword(DATA + 0xffe), 1], // lock sub dword [DATA + ffeh], 1
      ...[0xb8, 1, 0, 0, 0, 0xf0, 0x0f, 0xc1, 0x05, ...dword(DATA + 0x40)], // mov eax, 1; lock xadd [DATA + 40h], eax
    ])
    expect(ram.read32(DATA)).toBe(TOTAL)
    expect(ram.read32(DATA + 0x13)).toBe(3 * TOTAL)
    expect(ram.read32(DATA + 0xffe)).toBe(2 ** 32 - TOTAL)
    expect(ram.read32(DATA + 0x40)).toBe(TOTAL)
  })

  it("exclude each other with XCHG", async () => {
    const ram = await race([
      ...[0xb8, 1, 0, 0, 0], // mov eax, 1
      ...[0x87, 0x05, ...dword(DATA)], // take: xchg [DATA], eax
      ...[0x85, 0xc0, 0x75, 0xf6], // test eax, eax; jnz take
      ...[0xff, 0x05, ...dword(DATA + 0x100)], // inc dword [DATA + 100h]
      ...[0xc7, 0x05, ...dword(DATA), 0, 0, 0, 0], // mov dword [DATA], 0
    ])
    expect(ram.read32(DATA + 0x100)).toBe(TOTAL)
  })

  it("count together with LOCK CMPXCHG", async () => {
    const ram = await race([
      ...[0xa1, ...dword(DATA)], // again: mov eax, [DATA]
      ...[0x8d, 0x50, 0x01], // lea edx, [eax + 1]
      ...[0xf0, 0x0f, 0xb1, 0x15, ...dword(DATA)], // lock cmpxchg [DATA], edx
      ...[0x75, 0xee], // jne again
    ])
    expect(ram.read32(DATA)).toBe(TOTAL)
  })

  it("lose no update when aligned and unaligned operands overlap", async () => {
    const ram = await race([
      // What the second one only reads and writes back is what the first one counts in.
      ...[0xf0, 0x81, 0x05, ...dword(DATA), ...dword(0x10000)], // lock add dword [DATA], 10000h
      ...[0xf0, 0x81, 0x05, ...dword(DATA + 2), ...dword(0x10000)], // lock add dword [DATA + 2], 10000h
    ])
    // Not even a carry goes from one counter to the other.
    expect([ram.read16(DATA + 2), ram.read16(DATA + 4)]).toEqual([TOTAL & 0xffff, TOTAL & 0xffff])
  })

  it("count together with LOCK CMPXCHG8B across pages", async () => {
    const at = DATA + 0xffc
    const ram = await race([
      ...[0xa1, ...dword(at), 0x8b, 0x15, ...dword(at + 4)], // mov eax, [at]; mov edx, [at + 4]
      ...[0x8d, 0x58, 0x01, 0x8d, 0x4a, 0x02], // again: lea ebx, [eax + 1]; lea ecx, [edx + 2]
      ...[0xf0, 0x0f, 0xc7, 0x0d, ...dword(at)], // lock cmpxchg8b [at]
      ...[0x75, 0xf0], // jne again
    ])
    expect([ram.read32(at), ram.read32(at + 4)]).toEqual([TOTAL, 2 * TOTAL])
  })

  it("count together with LOCK CMPXCHG16B and everything that is LOCKed within its operand", async () => {
    const ram = await race(
      [
        ...[0x48, 0x8b, 0x04, 0x25, ...dword(DATA)], // mov rax, [DATA]
        ...[0x48, 0x8b, 0x14, 0x25, ...dword(DATA + 8)], // mov rdx, [DATA + 8]
        ...[0x48, 0x8d, 0x58, 0x01], // again: lea rbx, [rax + 1]
        ...[0x48, 0xb9, 0, 0, 0, 0, 1, 0, 0, 0], // mov rcx, 100000000h
        ...[0x48, 0x01, 0xd1], // add rcx, rdx
        ...[0xf0, 0x48, 0x0f, 0xc7, 0x0c, 0x25, ...dword(DATA)], // lock cmpxchg16b [DATA]
        ...[0x75, 0xe3], // jne again
        ...[0xf0, 0xff, 0x04, 0x25, ...dword(DATA + 12)], // lock inc dword [DATA + 12]
        ...[0xf0, 0xff, 0x04, 0x25, ...dword(DATA + 6)], // lock inc dword [DATA + 6]
      ],
      "long",
    )
    expect(ram.read32(DATA)).toBe(TOTAL)
    expect([ram.read16(DATA + 4), ram.read16(DATA + 10)]).toEqual([0, 0])
    expect(ram.read16(DATA + 6) + ram.read16(DATA + 8) * 0x10000).toBe(TOTAL)
    expect(ram.read32(DATA + 12)).toBe(2 * TOTAL)
  })
})
