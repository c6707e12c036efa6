import { readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { trackId } from "../../src/launcher/traceFile.ts"
import { LAUNCHER, PROCESSORS, THREADS, VCPUS } from "../../src/launcher/traceTracks.ts"
import { lguest64, withFolder } from "./spawn.ts"
import { expectSound, readTrace, slicesOf, type TraceFile } from "./traceFormat.ts"

const SCRIPT = "ls /\ngetpid-loop 50\nsleep 1\npoweroff 3\n"

/** A run of puppy with a trace of it. */
const traced = (args: ReadonlyArray<string>, input = SCRIPT): Promise<{ trace: TraceFile; text: string }> =>
  withFolder(async (folder) => {
    const file = join(folder, "trace.json")
    expect(await lguest64(["run", ...args, "--trace", file], input)).toMatchObject({ status: 3, stderr: "" })
    const text = readFileSync(file, "latin1")
    return { trace: readTrace(text), text }
  })

const names = (trace: TraceFile, pid: number): Set<string> =>
  new Set(trace.traceEvents.filter((event) => event.ph !== "M" && event.pid === pid).map(({ name }) => name))

/** Names of the tracks of a group. */
const tracks = ({ traceEvents }: TraceFile, pid: number): ReadonlyArray<string> =>
  traceEvents.flatMap((e) => (e.ph === "M" && e.pid === pid && e.name === "thread_name" ? [e.args.name] : []))

describe.each([
  { arch: "x86_64", views: ["guest kernel", "guest user"], args: [] },
  { arch: "i386", views: ["guest kernel", "guest user"], args: ["--arch", "i386"] },
])("a trace of puppy on $arch", ({ arch, views, args }) => {
  it("has on the processor's and the virtual CPU's track what happened", async () => {
    const { trace } = await traced(args)
    expectSound(trace)
    expect(trace.otherData).toMatchObject({ arch, native: false, complete: true, clock: "simulated" })
    expect(tracks(trace, PROCESSORS)).toEqual(["processor 0"])
    expect(tracks(trace, VCPUS)).toEqual(["vcpu 0"])
    expect(tracks(trace, THREADS)).toEqual(["launcher"])
    const [processor, vcpu] = [names(trace, PROCESSORS), names(trace, VCPUS)]
    for (const name of [...views, "page fault", "hypercall HALT", "device access"]) {
      expect(processor).toContain(name)
      expect(vcpu).toContain(name)
    }
    for (const name of ["idle", "switch", "process heartbeat"]) expect(processor).toContain(name)
    for (const name of ["asleep", "inject irq 0"]) expect(vcpu).toContain(name)
    for (const name of ["read", "write", "port read", "irq 10"]) expect(names(trace, LAUNCHER)).toContain(name)
    // Each time in the guest says where it began and why it ended.
    const guest = slicesOf(trace, VCPUS).filter(({ cat }) => cat === "guest")
    expect(guest.length).toBeGreaterThan(100)
    const hex = expect.stringMatching(/^0x[0-9a-f]+$/) as unknown
    for (const { args: said } of guest.slice(0, -1))
      expect(said).toEqual({
        processor: 0,
        rip: hex,
        root: hex,
        leave: expect.stringMatching(/^(exc|int|SYSC)/) as unknown,
      })
  })

  it("tells of a page fault where and how it ended", async () => {
    const { trace } = await traced(args)
    const faults = slicesOf(trace, VCPUS).filter(({ name }) => name === "page fault")
    const outcomes = new Set(faults.map((fault) => fault.args?.outcome))
    expect(outcomes).toContain("fixed")
    expect(outcomes).toContain("the guest's")
    for (const { args: said } of faults) expect(said?.address).toMatch(/^0x/)
  })

  it("keeps its size, says where it ends, and tells of everything until then", async () => {
    await withFolder(async (folder) => {
      const whole = join(folder, "whole.json")
      const part = join(folder, "part.json")
      const run = (...more: ReadonlyArray<string>) => lguest64(["run", ...args, "--seed", "1", ...more], SCRIPT)
      expect(await run("--trace", whole)).toMatchObject({ status: 3, stderr: "" })
      const { stderr } = await run("--trace", part, "--trace-limit", "100000")
      expect(stderr).toMatch(/^lguest64: \S+part.json is full \(--trace-limit 100000\): it ends at 0\.\d+ s[^\n]+\n$/)
      expect(statSync(part).size).toBeLessThanOrEqual(100_000)
      const trace = readTrace(readFileSync(part, "latin1"))
      expectSound(trace)
      expect(trace.otherData.complete).toBe(false)
      const end = trace.otherData.endsAtUs!
      const until = (file: TraceFile) =>
        file.traceEvents.filter((e) => e.ph === "X" && e.pid === VCPUS && e.ts + e.dur < end)
      expect(until(trace).length).toBeGreaterThan(50)
      expect(until(trace)).toEqual(until(readTrace(readFileSync(whole, "latin1"))))
    })
  })
})

describe("system calls", () => {
  it("of the guest's processes go through the host on x86_64", async () => {
    const { trace } = await traced([])
    const calls = slicesOf(trace, VCPUS).filter(({ name }) => name === "system call 39")
    expect(calls.length).toBeGreaterThanOrEqual(50)
  })
})

describe("several virtual CPUs", () => {
  const BUSY = "getpid-loop 3000 & getpid-loop 3000 &\nwait\npoweroff 3\n"

  it("have a track each, and interrupts between them are flows", async () => {
    const { trace } = await traced(["--smp", "2", "--seed", "1"], BUSY)
    expectSound(trace)
    expect(tracks(trace, PROCESSORS)).toEqual(["processor 0", "processor 1"])
    expect(tracks(trace, VCPUS)).toEqual(["vcpu 0", "vcpu 1"])
    for (const vcpu of [0, 1])
      expect(slicesOf(trace, VCPUS).some((s) => s.tid === trackId(VCPUS, vcpu) && s.name === "guest user")).toBe(true)
    const flows = trace.traceEvents.filter(({ ph }) => ph === "s")
    expect(new Set(flows.map(({ name }) => name))).toEqual(new Set(["IPI", "kick"]))
  })

  it("are the same, byte for byte, with the same seed, and not with another", async () => {
    const of = async (seed: string) => (await traced(["--smp", "2", "--seed", seed], BUSY)).text
    const [a, again, b] = [await of("1"), await of("1"), await of("2")]
    expect(again === a).toBe(true)
    expect(b === a).toBe(false)
  })

  it("have threads that drive one processor at a time", async () => {
    const { trace } = await traced(["--smp", "2"], BUSY)
    expectSound(trace)
    expect(tracks(trace, THREADS)).toContain("thread 1: vcpu 0")
    const driven = slicesOf(trace, THREADS)
    expect(driven.length).toBeGreaterThan(1)
    for (const { name } of driven) expect(name).toMatch(/^processor [01]$/)
  })

  it("have the same log, byte for byte, with the same seed", async () => {
    await withFolder(async (folder) => {
      const of = async (name: string, seed: string) => {
        const file = join(folder, name)
        const log = ["-d", "int,mmu,hcall,switch", "-D", file]
        expect(await lguest64(["run", "--smp", "2", "--seed", seed, ...log], BUSY)).toMatchObject({ status: 3 })
        return readFileSync(file)
      }
      const a = await of("a", "1")
      expect(a.length).toBeGreaterThan(100_000)
      expect(a.equals(await of("again", "1"))).toBe(true)
      expect(a.equals(await of("b", "2"))).toBe(false)
    })
  })
})

describe.each([["i386"], ["x86_64"]])("without a hypervisor, on %s,", (arch) => {
  it("a trace has what the processors delivered, and idle time", async () => {
    const args = ["--native", "--arch", arch, "--smp", "2", "--seed", "5"]
    const { trace, text } = await traced(args)
    expectSound(trace)
    expect(trace.otherData).toMatchObject({ arch, native: true })
    expect(tracks(trace, PROCESSORS)).toEqual(["processor 0", "processor 1"])
    const processor = names(trace, PROCESSORS)
    for (const name of ["exception #PF", "idle", "runs"]) expect(processor).toContain(name)
    expect((await traced(args)).text === text).toBe(true)
  })
})

describe("the command line", () => {
  it.each([
    ["a folder that is not there", 73, ["--trace", "/no/such/folder/trace.json"]],
    ["a limit without a trace", 64, ["--trace-limit", "1M"]],
    ["a limit that nothing fits in", 64, ["--trace", "x", "--trace-limit", "1K"]],
    ["a limit that is no number", 64, ["--trace", "x", "--trace-limit", "much"]],
    ["gdb", 64, ["--trace", "x", "--gdb", "0"]],
  ])("refuses %s before anything runs", async (_what, status, args) => {
    const result = await lguest64(["run", ...args], SCRIPT)
    expect(result).toMatchObject({ status, stdout: "" })
    expect(result.stderr).toMatch(/^lguest64: [^\n]+\n$/)
  })
})
