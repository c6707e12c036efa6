import { InvalidArgumentError } from "commander"

/*
 * What `designs bench` has a guest do: shell lines that are typed at puppy's prompt, the same for every design. Each asks for one
 * thing that an operating system does all the time, and `mixed` for a little of everything.
 */

export interface Workload {
  readonly name: string
  /** What it exercises. */
  readonly text: string
  readonly vcpus: number
  /** The lines for so many times the usual amount of work. */
  readonly lines: (scale: number) => ReadonlyArray<string>
}

/** At least one operation is left of a small scale. */
const times = (operations: number, scale: number): number => Math.max(1, Math.round(operations * scale))

const program = (name: string, operations: number, text: string): Workload => ({
  name,
  text,
  vcpus: 1,
  lines: (scale) => [`${name} ${times(operations, scale)}`],
})

/** Files, pipes, processes, a sleep: what one types at a shell. */
const MIXED = [
  "mkdir /tmp/bench",
  "seq 1 200 > /tmp/bench/numbers",
  "grep 7 /tmp/bench/numbers | wc",
  "cat /tmp/bench/numbers | head -n 20 | tail -n 3",
  "cp /tmp/bench/numbers /tmp/bench/copy; ls -l /tmp/bench | wc; rm /tmp/bench/copy",
  "ps; free; uname -a",
  "sleep 0.02",
  "rm /tmp/bench/numbers; rmdir /tmp/bench",
]

export const WORKLOADS: ReadonlyArray<Workload> = [
  program("getpid-loop", 20_000, "system calls, the cheapest that there are"),
  program("fork-bench", 100, "processes: fork, exit, wait"),
  program("page-bench", 4096, "pages that are mapped, touched and unmapped"),
  program("ctx-bench", 1000, "a byte to and fro between two processes"),
  program("pipe-bench", 500, "4 KiB at a time through a pipe"),
  {
    name: "smp",
    text: "two virtual CPUs that compute, and then take pages away from each other",
    vcpus: 2,
    lines: (scale) => [`smp-bench 2 w${times(100_000, scale)} && shootdown-bench 2 ${times(40, scale)}`],
  },
  {
    name: "mixed",
    text: "a shell script: files, pipes, short-lived processes, a sleep",
    vcpus: 1,
    lines: (scale) => Array.from({ length: times(3, scale) }, () => MIXED).flat(),
  },
]

const NAMES = WORKLOADS.map(({ name }) => name)

/** "getpid-loop,mixed" */
export const parseWorkloads = (text: string): ReadonlyArray<Workload> => {
  const wanted = new Set(text.split(","))
  for (const name of wanted)
    if (!NAMES.includes(name)) throw new InvalidArgumentError(`Workloads are ${NAMES.join(", ")}.`)
  return WORKLOADS.filter(({ name }) => wanted.has(name))
}
