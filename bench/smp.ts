import { type GuestRate, runPuppy } from "./puppy.ts"

/*
 * Virtual CPUs in threads: what two of them get done in the time in which one does its work, and how many locks and
 * shootdowns they manage. Seconds are real ones, from outside; those in which nothing but the boot happens are subtracted.
 */

/** Rounds of smp-bench's computation for each process: some seconds. */
const ROUNDS = 200_000_000
const COUNTS = [1, 2, 4] as const

const seconds = async (vcpus: number, lines: ReadonlyArray<string>): Promise<number> =>
  (await runPuppy(["--smp", String(vcpus)], lines)).stats.seconds

/** Times the work of one virtual CPU that two do in the same time; the two runs follow each other, so both see the same load. */
const speedUp = async (): Promise<number> => {
  const run = async (vcpus: number) =>
    (await seconds(vcpus, [`smp-bench ${vcpus} w${ROUNDS}`])) - (await seconds(vcpus, []))
  const one = await run(1)
  const two = await run(2)
  return (2 * one) / two
}

/** Rates of what a program counts itself in `unit`s, by real time. */
const throughput = async (vcpus: number, line: string, work: number): Promise<number> =>
  work / ((await seconds(vcpus, [line])) - (await seconds(vcpus, [])))

const ACQUISITIONS = 40_000
/** lock-bench tries three kinds of lock, shootdown-bench two ways to take a page away. */
const LOCKS = 3
const SHOOTDOWNS = 300
const WAYS = 2

export const smpRates = async (filter: (name: string) => boolean, add: (rate: GuestRate) => void): Promise<void> => {
  if (filter("smp")) add({ name: "smp", unit: "x the work of one, by two vCPUs", rate: await speedUp() })
  for (const n of COUNTS) {
    if (filter("lock")) {
      const rate = await throughput(n, `lock-bench ${n} ${ACQUISITIONS}`, LOCKS * n * ACQUISITIONS)
      add({ name: "lock", unit: `locks taken, ${n} vCPUs`, rate })
    }
    if (filter("shootdown")) {
      const rate = await throughput(n, `shootdown-bench ${n} ${SHOOTDOWNS}`, WAYS * SHOOTDOWNS)
      add({ name: "shootdown", unit: `shootdowns, ${n} vCPUs`, rate })
    }
  }
}
