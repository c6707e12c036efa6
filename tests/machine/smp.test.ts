import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { coreFile } from "../../scripts/build-core.ts"
import * as S from "../../src/machine/core/state.ts"
import { Machine } from "../../src/machine/machine.ts"
import { SharedHeap } from "../../src/machine/shared.ts"
import { dword, startFlat } from "./flat.ts"
import * as C from "./smp-code.ts"
import { chipsetOf, type SmpJob } from "./smp-worker.ts"
import { typescriptWorker } from "./threads.ts"

/*
 * Processors in threads of their own that start each other and send each other interrupts: the APICs' state is shared, and
 * halted processors sleep. Two send one interrupt after the other to the first and wait each time until it has seen it;
 * that one changes its priority and halts. An interrupt that gets lost ends it all, a wake-up that gets lost too.
 */

const PROCESSORS = 3
const INTERRUPTS = 2000
const ENTRY = 0x100000
const SENDER = 0x110000
const HANDLERS = 0x120000
const LINE = 64
const SENT = 0x130000
const SEEN = 0x131000
const FINISHED = 0x132000
const LOST = 0x132040
const VECTORS = [0, 0x41, 0x82]

describe("processors in threads", () => {
  it("start each other by INIT and start-up IPIs, and lose no interrupt", async () => {
    const core = new WebAssembly.Module(readFileSync(coreFile))
    const heap = SharedHeap.create()
    const wake = new Int32Array(new SharedArrayBuffer(4 * (PROCESSORS + 1)))
    const machine: Machine = Machine.create({
      core,
      ramBytes: 0x800000,
      processors: PROCESSORS,
      bus: chipsetOf(heap, () => machine, wake, PROCESSORS),
    })
    const { ram } = machine
    const code = (at: number, bytes: ReadonlyArray<number>) => ram.copyIn(at, Uint8Array.from(bytes))
    C.layTables(ram, new Map([1, 2].map((i) => [VECTORS[i]!, HANDLERS + i * 256])), SENDER)

    const loop = [...C.put(C.TPR, 0xf0), ...C.put(C.TPR, 0), C.HLT]
    code(ENTRY, [...C.bringUp, C.STI, ...loop, 0xeb, -(loop.length + 2) & 255])
    for (const i of [1, 2])
      code(HANDLERS + i * 256, [
        ...[0x50, ...C.loadEax(SENT + i * LINE), ...C.storeEax(SEEN + i * LINE)],
        ...[...C.put(C.EOI, 0), 0x58, 0xcf], // pop eax; iret
      ])
    /** Processor `i`'s: sends, and looks for the answer a billion times at most. */
    const send = (i: number): ReadonlyArray<number> => {
      const look = [...C.PAUSE, 0x39, 0x05, ...dword(SEEN + i * LINE), 0x74, 0x0c, 0x49, 0x75, -13 & 255]
      const round = [
        ...[...C.lockInc(SENT + i * LINE), ...C.loadEax(SENT + i * LINE)],
        ...[...C.put(C.ICR_LOW, 0x4000 | VECTORS[i]!), 0xb9, ...dword(1e9)],
        ...[...look, ...C.lockInc(LOST), C.CLI, C.HLT, 0x4e], // …; dec esi
      ]
      return [0xbe, ...dword(INTERRUPTS), ...round, 0x75, -(round.length + 2) & 255, ...C.lockInc(FINISHED), C.HLT]
    }
    const second = SENDER + 0x1000
    // cmp ebx, 2; je second
    code(SENDER, [0x83, 0xfb, 2, 0x0f, 0x84, ...dword(second - SENDER - 9), ...send(1)])
    code(second, send(2))

    startFlat(machine, { index: 0, code: ENTRY, stack: 0 })
    machine.processor(0).setLong(S.GDTR_BASE, BigInt(C.GDT))
    machine.processor(0).setWord(S.GDTR_LIMIT, C.DATA_SELECTOR + 7)
    const workers = Array.from({ length: PROCESSORS }, (_, index) => {
      const job: SmpJob = { share: machine.share(), heap: heap.share, wake, index }
      return typescriptWorker(new URL("./smp-worker.ts", import.meta.url), job)
    })
    try {
      const failed = Promise.race(
        workers.map((worker) => new Promise<never>((_, reject) => worker.once("error", reject))),
      )
      const ended = async () => {
        while (ram.read32(FINISHED) < 2 && ram.read32(LOST) === 0) await new Promise((next) => setTimeout(next, 5))
      }
      await Promise.race([ended(), failed])
      expect([ram.read32(LOST), ram.read32(FINISHED)]).toEqual([0, 2])
      for (const i of [1, 2]) expect(ram.read32(SEEN + i * LINE)).toBe(INTERRUPTS)
    } finally {
      Atomics.store(wake, PROCESSORS, 1)
      for (let i = 0; i < PROCESSORS; i++) {
        Atomics.add(wake, i, 1)
        Atomics.notify(wake, i)
      }
      await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve))))
    }
  })
})
