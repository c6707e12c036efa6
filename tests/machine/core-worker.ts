import { parentPort, workerData } from "node:worker_threads"
import { openBus } from "../../src/machine/bus.ts"
import * as S from "../../src/machine/core/state.ts"
import { Processor } from "../../src/machine/processor.ts"

/*
 * One processor of a machine, run in a worker until it halts: 32-bit code at a physical address, flat segments, no paging.
 */

export interface WorkerJob {
  readonly core: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  readonly index: number
  readonly code: number
  /** 64-bit code instead, under these page tables. */
  readonly cr3?: number
}

const { core, memory, index, code, cr3 } = workerData as WorkerJob
const cpu = new Processor(core, memory, index, openBus)
// No start-up IPI here: it starts at once.
cpu.setWord(S.WAIT_SIPI, 0)
cpu.setWord(S.ATTENTION, 0)
cpu.setLong(S.CR0, 0x11n)
cpu.setSegment(S.SEG_CS, 0x08, 0n, 0xffffffff, 0xc09b00)
for (const segment of [S.SEG_ES, S.SEG_SS, S.SEG_DS]) cpu.setSegment(segment, 0x10, 0n, 0xffffffff, 0xc09300)
if (cr3 !== undefined) {
  cpu.setLong(S.CR3, BigInt(cr3))
  cpu.setLong(S.CR4, 0x20n)
  cpu.setLong(S.MSR_EFER, 0x500n)
  cpu.setLong(S.CR0, 0x80000011n)
  cpu.setSegment(S.SEG_CS, 0x08, 0n, 0xffffffff, 0xa09b00)
  cpu.flushTlb(true)
}
cpu.rip = BigInt(code)
cpu.setGpr(4, BigInt(0x80000 + index * 0x1000))
cpu.refresh()
let exit: number
do exit = cpu.run(100_000)
while (exit === S.EXIT_BUDGET)
parentPort!.postMessage({ exit, instructions: cpu.instructions })
