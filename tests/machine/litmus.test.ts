import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { memoryModelNote } from "../../src/machine/index.ts"
import { Litmus, type Op, type Outcomes, ROUNDS } from "./litmus.ts"

/*
 * x86's memory model (TSO) between processors in real threads. Names and examples are those of SDM vol. 3, 8.2.3.
 *
 * Why it holds at all: a guest's load or store is one plain WebAssembly load or store, on x86 one instruction of the
 * machine below, whose order is the one that is wanted. WebAssembly's compilers might reorder plain accesses within a
 * function, but V8's do not move one across another access that may be to the same memory, and each guest instruction is a
 * round of the run loop through a jump table, with loads from and stores to the same memory in between. LOCKed accesses
 * are WebAssembly's atomics, which are full fences; MFENCE is one more. A machine of another kind orders less:
 * then nothing here is asserted that it cannot give, and the launcher says so (memoryModelNote).
 */

let litmus: Litmus
beforeAll(() => {
  litmus = new Litmus()
})
afterAll(() => litmus.end())

interface Case {
  readonly name: string
  readonly threads: ReadonlyArray<ReadonlyArray<Op>>
  /** What must not be loaded: the threads' results, "-" for a thread that loads nothing. */
  readonly forbidden: string
}

const matches = (outcome: string, pattern: string): boolean => {
  const loaded = outcome.split(" ")
  return pattern.split(" ").every((want, i) => want === "-" || want === loaded[i])
}
const total = (outcomes: Outcomes, pattern: string): number =>
  [...outcomes].reduce((sum, [outcome, n]) => sum + (matches(outcome, pattern) ? n : 0), 0)

const run = async (name: string, threads: Case["threads"]): Promise<Outcomes> => {
  const outcomes = await litmus.run(threads)
  const counts = [...outcomes].sort().map(([outcome, n]) => `${outcome}: ${n}`)
  console.info(`${name}, ${ROUNDS} rounds: ${counts.join(", ")}`)
  expect([...outcomes.values()].reduce((a, b) => a + b, 0)).toBe(ROUNDS)
  return outcomes
}

const onX86 = memoryModelNote(process.arch) === undefined

/** Each of the forms in which the instructions of a test come. */
const messagePassing = (store: "store" | "xchg", fence: ReadonlyArray<Op>, load: "load" | "xadd"): Case["threads"] => [
  [`${store}X`, ...fence, `${store}Y`],
  [`${load}Y1`, ...fence, `${load}X2`],
]
const storeBuffering = (store: "store" | "xchg", fence: ReadonlyArray<Op>): Case["threads"] => [
  [`${store}X`, ...fence, "loadY1"],
  [`${store}Y`, ...fence, "loadX1"],
]
const loadBuffering = (store: "store" | "xchg", fence: ReadonlyArray<Op>, load: "load" | "xadd"): Case["threads"] => [
  [`${load}X1`, ...fence, `${store}Y`],
  [`${load}Y1`, ...fence, `${store}X`],
]
const independentReads = (
  store: "store" | "xchg",
  fence: ReadonlyArray<Op>,
  load: "load" | "xadd",
): Case["threads"] => [
  [`${store}X`],
  [`${store}Y`],
  [`${load}X1`, ...fence, `${load}Y2`],
  [`${load}Y1`, ...fence, `${load}X2`],
]

const ALWAYS: ReadonlyArray<Case> = [
  ...(
    [
      ["plain", messagePassing("store", [], "load")],
      ["MFENCE", messagePassing("store", ["mfence"], "load")],
      ["LOCK", messagePassing("xchg", [], "xadd")],
    ] as const
  ).map(([form, threads]) => ({ name: `message passing, ${form}`, threads, forbidden: "- 10" })),
  ...(
    [
      ["plain", loadBuffering("store", [], "load")],
      ["MFENCE", loadBuffering("store", ["mfence"], "load")],
      ["LOCK", loadBuffering("xchg", [], "xadd")],
    ] as const
  ).map(([form, threads]) => ({ name: `load buffering, ${form}`, threads, forbidden: "10 10" })),
  ...(
    [
      ["plain", independentReads("store", [], "load")],
      ["MFENCE", independentReads("store", ["mfence"], "load")],
      ["LOCK", independentReads("xchg", [], "xadd")],
    ] as const
  ).map(([form, threads]) => ({
    name: `independent reads of independent writes, ${form}`,
    threads,
    forbidden: "- - 10 10",
  })),
]

/** A store that its own processor sees at once (8.2.3.5): the first load is of the thread's own variable. */
const forwarding: Case["threads"] = [
  ["storeX", "loadX1", "loadY2"],
  ["storeY", "loadY1", "loadX2"],
]

const FENCED: ReadonlyArray<Case> = (
  [
    ["MFENCE", storeBuffering("store", ["mfence"])],
    ["XCHG", storeBuffering("xchg", [])],
    ["LOCK ADD", storeBuffering("store", ["lockedAdd"])],
    ["CPUID, which serializes", storeBuffering("store", ["cpuid"])],
  ] as const
).map(([form, threads]) => ({ name: `store buffering, ${form}`, threads, forbidden: "00 00" }))

describe.runIf(onX86)("what TSO forbids never happens", () => {
  it.each(ALWAYS)("$name", async ({ name, threads, forbidden }) => {
    expect(total(await run(name, threads), forbidden)).toBe(0)
  })
})

describe("what fences and LOCK forbid never happens, on any machine", () => {
  it.each(FENCED)("$name", async ({ name, threads, forbidden }) => {
    expect(total(await run(name, threads), forbidden)).toBe(0)
  })
})

describe("what TSO allows may happen", () => {
  it("store buffering, plain: both may load 0", async () => {
    await run("store buffering, plain", storeBuffering("store", []))
  })

  it("store buffering with the processor's own store in between: that one it always sees", async () => {
    const outcomes = await run("store buffering with forwarding", forwarding)
    for (const outcome of outcomes.keys()) expect(outcome).toMatch(/^1[01] 1[01]$/)
  })
})

describe("the note about the machine below", () => {
  it("is for machines that are not x86", () => {
    expect([memoryModelNote("x64"), memoryModelNote("ia32")]).toEqual([undefined, undefined])
    expect(memoryModelNote("arm64")).toContain("arm64")
  })
})
