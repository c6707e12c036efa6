import { readFileSync } from "node:fs"
import { Worker } from "node:worker_threads"
import { describe, expect, it } from "vitest"
import { coreFile } from "../../scripts/build-core.ts"
import { openBus } from "../../src/machine/bus.ts"
import * as S from "../../src/machine/core/state.ts"
import { Machine } from "../../src/machine/machine.ts"
import type { WorkerJob } from "./core-worker.ts"

/*
 * Two processors in two threads on one memory: what LOCK and XCHG promise must hold.
 */

const PROCESSORS = 2
const ROUNDS = 20_000
const CODE = 0x10000
const DATA = 0x20000

const program = new URL("./core-worker.ts", import.meta.url).href
const bytes32 = (v: number) => [v & 255, (v >>> 8) & 255, (v >>> 16) & 255, (v >>> 24) & 255]

/** Runs `body` ROUNDS times on each processor (ECX counts) and returns the memory afterwards. */
const race = async (body: ReadonlyArray<number>) => {
  const core = new WebAssembly.Module(readFileSync(coreFile))
  const machine = Machine.create({ core, ramBytes: 0x100000, processors: PROCESSORS, bus: openBus })
  // mov ecx, ROUNDS; again: body; dec ecx; jnz again; hlt
  const back = -(body.length + 1 + 6)
  machine.ram.copyIn(
    CODE,
    Uint8Array.from([0xb9, ...bytes32(ROUNDS), ...body, 0x49, 0x0f, 0x85, ...bytes32(back), 0xf4]),
  )
  const finished = Array.from({ length: PROCESSORS }, (_, index) => {
    const workerData: WorkerJob = { core, memory: machine.memory, index, code: CODE }
    // Workers know no TypeScript by themselves.
    const start = `import("tsx/esm/api").then(({ register }) => (register(), import(${JSON.stringify(program)})))`
    const worker = new Worker(start, { eval: true, workerData })
    return new Promise<{ exit: number }>((resolve, reject) => {
      worker.once("message", resolve)
      worker.once("error", reject)
    })
  })
  for (const { exit } of await Promise.all(finished)) expect(exit).toBe(S.EXIT_HALT)
  return machine.ram
}

const TOTAL = PROCESSORS * ROUNDS

describe("two processors", () => {
  it("lose no LOCKed update, aligned, unaligned or across pages", async () => {
    const ram = await race([
      ...[0xf0, 0xff, 0x05, ...bytes32(DATA)], // lock inc dword [DATA]
      ...[0xf0, 0x83, 0x05, ...bytes32(DATA + 0x13), 3], // lock add dword [DATA + 13h], 3
      ...[0xf0, 0x83, 0x2d, ...bytes32(DATA + 0xffe), 1], // lock sub dword [DATA + ffeh], 1
      ...[0xb8, 1, 0, 0, 0, 0xf0, 0x0f, 0xc1, 0x05, ...bytes32(DATA + 0x40)], // mov eax, 1; lock xadd [DATA + 40h], eax
    ])
    expect(ram.read32(DATA)).toBe(TOTAL)
    expect(ram.read32(DATA + 0x13)).toBe(3 * TOTAL)
    expect(ram.read32(DATA + 0xffe)).toBe(2 ** 32 - TOTAL)
    expect(ram.read32(DATA + 0x40)).toBe(TOTAL)
  })

  it("exclude each other with XCHG", async () => {
    const ram = await race([
      ...[0xb8, 1, 0, 0, 0], // mov eax, 1
      ...[0x87, 0x05, ...bytes32(DATA)], // take: xchg [DATA], eax
      ...[0x85, 0xc0, 0x75, 0xf6], // test eax, eax; jnz take
      ...[0xff, 0x05, ...bytes32(DATA + 0x100)], // inc dword [DATA + 100h]
      ...[0xc7, 0x05, ...bytes32(DATA), 0, 0, 0, 0], // mov dword [DATA], 0
    ])
    expect(ram.read32(DATA + 0x100)).toBe(TOTAL)
  })

  it("count together with LOCK CMPXCHG", async () => {
    const ram = await race([
      ...[0xa1, ...bytes32(DATA)], // again: mov eax, [DATA]
      ...[0x8d, 0x50, 0x01], // lea edx, [eax + 1]
      ...[0xf0, 0x0f, 0xb1, 0x15, ...bytes32(DATA)], // lock cmpxchg [DATA], edx
      ...[0x75, 0xee], // jne again
    ])
    expect(ram.read32(DATA)).toBe(TOTAL)
  })
})
