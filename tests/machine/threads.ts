import { Worker } from "node:worker_threads"
import { EXIT_HALT } from "../../src/machine/core/state.ts"
import type { Machine } from "../../src/machine/machine.ts"
import type { FlatStart } from "./flat.ts"
import type { LitmusAnswer } from "./litmus-worker.ts"

/** A worker that runs the TypeScript module at `url`; workers know no TypeScript by themselves. */
export const typescriptWorker = (url: URL, workerData: unknown): Worker =>
  new Worker(`import("tsx/esm/api").then(({ register }) => (register(), import(${JSON.stringify(url.href)})))`, {
    eval: true,
    workerData,
  })

/** Threads that run processors of one machine. */
export class Threads {
  private readonly workers: ReadonlyArray<Worker>

  constructor(machine: Machine, count: number) {
    const url = new URL("./litmus-worker.ts", import.meta.url)
    this.workers = Array.from({ length: count }, () => typescriptWorker(url, machine.share()))
  }

  /** Runs each of `starts` in a thread of its own until all have halted. */
  async run(starts: ReadonlyArray<FlatStart>): Promise<void> {
    const answers = await Promise.all(starts.map((start, i) => this.one(this.workers[i]!, start)))
    for (const { exit } of answers) if (exit !== EXIT_HALT) throw new Error(`a processor ended with ${exit}`)
  }

  private one(worker: Worker, start: FlatStart): Promise<LitmusAnswer> {
    return new Promise((resolve, reject) => {
      worker.once("error", reject)
      worker.once("message", (answer: LitmusAnswer) => {
        worker.off("error", reject)
        resolve(answer)
      })
      worker.postMessage(start)
    })
  }

  async end(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()))
  }
}
