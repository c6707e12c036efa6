import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { coreFile } from "../../scripts/build-core.ts"
import { openBus } from "../../src/machine/bus.ts"
import { Machine } from "../../src/machine/machine.ts"
import { dword } from "./flat.ts"
import { Threads } from "./threads.ts"

/*
 * Accessed and dirty flags of one page table, set by two processors in two threads while a third thread changes other bits
 * of the same entries by compare-and-exchange: nobody's bits may be lost (SDM vol. 3, 8.1.2.1).
 */

const TABLES = 0x1000 // PML4, PDPT, two page directories
const CODE = 0x10000
const PROGRESS = 0x20000
const READY = 0x20080
const DATA = 0x100000
const PAGE_TABLES = 0x200000
/** Page tables, and the pages that they map from 1 GiB on. */
const COUNT = 64
const PAGES = COUNT * 512
/** It takes three threads that really run at once: one time or the other they will. */
const PASSES = 16
const BASE = 0x4000_0000
const RAM_BYTES = PAGE_TABLES + COUNT * 4096

const ACCESSED = 0x20
const DIRTY = 0x40
/** Bits 9..11 of an entry are software's: a counter of three bits. */
const ONE = 0x200
const COUNTER = 0xe00

/** Touches one page after the other, a few looks at most behind its neighbour, and says how far it has come. */
const toucher = (self: number, access: number): ReadonlyArray<number> => {
  const loop = [
    ...[0x89, 0x34, 0x25, ...dword(PROGRESS + self * 64)], // mov [progress], esi
    ...[0xb9, 20, 0, 0, 0], // mov ecx, 20
    ...[0x39, 0x34, 0x25, ...dword(PROGRESS + (1 - self) * 64), 0x73, 0x04], // look: cmp [other], esi; jae go
    ...[0xff, 0xc9, 0x75, 0xf3], // dec ecx; jnz look
    ...[access, 0x07], // mov eax, [rdi], or mov [rdi], eax
    ...[0x48, 0x81, 0xc7, ...dword(0x1000)], // add rdi, 1000h
    ...[0xff, 0xc6, 0x81, 0xfe, ...dword(PAGES + 1)], // inc esi; cmp esi, PAGES + 1
  ]
  return [
    ...[0xf0, 0xff, 0x04, 0x25, ...dword(READY)], // lock inc dword [READY]
    ...[0x83, 0x3c, 0x25, ...dword(READY), 3, 0x75, 0xf6], // wait: cmp dword [READY], 3; jne wait
    ...[0xbf, ...dword(BASE), 0xbe, 1, 0, 0, 0], // mov edi, BASE; mov esi, 1
    ...loop,
    ...[0x0f, 0x82, ...dword(-(loop.length + 6)), 0xf4], // jb loop; hlt
  ]
}

describe("a page table that three threads change", () => {
  it("loses neither A, nor D, nor what software writes", async () => {
    const core = new WebAssembly.Module(readFileSync(coreFile))
    const machine = Machine.create({ core, ramBytes: RAM_BYTES, processors: 2, bus: openBus })
    const { ram } = machine
    ram.writeBig(TABLES, BigInt(TABLES + 0x1007))
    ram.writeBig(TABLES + 0x1000, BigInt(TABLES + 0x2007))
    ram.writeBig(TABLES + 0x1008, BigInt(TABLES + 0x3007))
    ram.writeBig(TABLES + 0x2000, 0x87n) // the first 2 MiB at their own addresses
    for (let i = 0; i < COUNT; i++) ram.writeBig(TABLES + 0x3000 + 8 * i, BigInt(PAGE_TABLES + i * 4096 + 7))
    ram.copyIn(CODE, Uint8Array.from(toucher(0, 0x8b)))
    ram.copyIn(CODE + 0x1000, Uint8Array.from(toucher(1, 0x89)))
    const starts = [0, 1].map((index) => ({ index, code: CODE + index * 0x1000, stack: 0x30000, cr3: TABLES }))
    const counted = new Uint32Array(PAGES)
    const increment = (page: number): void => {
      const entry = PAGE_TABLES + 8 * page
      const old = ram.read32(entry)
      if (ram.compareExchange32(entry, old, (old & ~COUNTER) | ((old + ONE) & COUNTER)) === old) counted[page]!++
    }
    const threads = new Threads(machine, 2)

    /** The number of entries that are not what they should be. */
    const pass = async (): Promise<number> => {
      for (let i = 0; i < PAGES; i++) ram.writeBig(PAGE_TABLES + 8 * i, BigInt(DATA + (i & 15) * 4096 + 7))
      ram.fill(PROGRESS, 4096, 0)
      counted.fill(0)
      const done = threads.run(starts)
      // This thread is the third. It lets its own messages through until the others are there.
      while (ram.read32(READY) < 2) await new Promise((resolve) => setTimeout(resolve, 1))
      ram.write32(READY, 3)
      // It changes the entries that one of the others is about to need, then those of the other one.
      const reached = [0, 0]
      for (let turn = 0; reached[0]! < PAGES || reached[1]! < PAGES; turn ^= 1) {
        const at = (reached[turn] = ram.read32(PROGRESS + turn * 64))
        if (at > 0) increment(at - 1)
        if (at < PAGES) increment(at)
      }
      await done
      let wrong = 0
      for (let page = 0; page < PAGES; page++) {
        const want = (DATA + (page & 15) * 4096 + 7) | ACCESSED | DIRTY | ((counted[page]! & 7) * ONE)
        if (ram.read32(PAGE_TABLES + 8 * page) !== want) wrong++
      }
      return wrong
    }
    try {
      for (let i = 0; i < PASSES; i++) expect(await pass()).toBe(0)
    } finally {
      await threads.end()
    }
  })
})
