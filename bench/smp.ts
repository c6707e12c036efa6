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

/**
 * By each process. Of lock-bench's locks the plain one, which whoever runs can take: a ticket lock must go to the one that has
 * waited longest, and where there are more threads than cores everybody spins until that one has a core again.
 */
const ACQUISITIONS = 4_000_000
/** shootdown-bench has two ways to take a page away. */
const SHOOTDOWNS = 300
const WAYS = 2

export const smpRates = async (filter: (name: string) => boolean, add: (rate: GuestRate) => void): Promise<void> => {
  if (filter("smp")) add({ name: "smp", unit: "x the work of one, by two vCPUs", rate: await speedUp() })
  for (const n of COUNTS) {
    if (filter("lock")) {
      const rate = await throughput(n, `lock-bench ${n} ${ACQUISITIONS} spin`, n * ACQUISITIONS)
      add({ name: "lock", unit: `locks taken, ${n} vCPUs`, rate })
    }
    if (filter("shootdown")) {
      const rate = await throughput(n, `shootdown-bench ${n} ${SHOOTDOWNS}`, WAYS * SHOOTDOWNS)
      add({ name: "shootdown", unit: `shootdowns, ${n} vCPUs`, rate })
    }
  }
}
