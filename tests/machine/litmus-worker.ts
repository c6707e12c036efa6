import { parentPort, workerData } from "node:worker_threads"
import { openBus } from "../../src/machine/bus.ts"
import { EXIT_BUDGET } from "../../src/machine/core/state.ts"
import { Machine, type MachineShare } from "../../src/machine/machine.ts"
import { type FlatStart, startFlat } from "./flat.ts"

/*
 * A thread that runs any processor of a machine on request, until it halts.
 */

export interface LitmusAnswer {
  readonly exit: number
}

const machine = Machine.attach(workerData as MachineShare, openBus)

parentPort!.on("message", (start: FlatStart) => {
  const cpu = startFlat(machine, start)
  let exit: number
  do exit = cpu.run(1e9)
  while (exit === EXIT_BUDGET)
  parentPort!.postMessage({ exit } satisfies LitmusAnswer)
})
