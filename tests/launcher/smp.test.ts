import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { lguest64, start } from "./spawn.ts"

/* `run --smp`, as somebody at a shell sees it. */

const folder = mkdtempSync(join(tmpdir(), "smp-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const timeout = 60_000

/** What a program has printed and how it ended, once it has printed `text` and `then` has been done to it. */
const after = async (args: ReadonlyArray<string>, text: string, then: (child: ReturnType<typeof start>) => void) => {
  const child = start(args)
  let stdout = ""
  let stderr = ""
  let done = false
  child.stderr!.on("data", (bytes: Buffer) => (stderr += bytes.toString("latin1")))
  child.stdout!.on("data", (bytes: Buffer) => {
    stdout += bytes.toString("latin1")
    if (done || !stdout.includes(text)) return
    done = true
    then(child)
  })
  return new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) =>
    child.on("close", (status) => resolve({ status, stdout, stderr })),
  )
}

describe("run --smp", () => {
  it.each([
    [1, []],
    [2, []],
    [4, ["--pcpus", "2"]],
    [3, ["--pcpus", "1"]],
  ] as const)("gives the guest %d processors %j", { timeout }, async (smp, more) => {
    const ended = await lguest64(["run", "--arch", "x86_64", "--smp", `${smp}`, ...more], "nproc\npoweroff\n")
    expect(ended).toMatchObject({ status: 0, stderr: "" })
    expect(ended.stdout.replaceAll("\r", "").split("\n")).toContain(`${smp}`)
  })

  it("runs a virtual CPU only where it is pinned to", { timeout }, async () => {
    const file = join(folder, "stats.json")
    const pins = ["--smp", "2", "--pcpus", "3", "--pin", "0:2,1:2"]
    const ended = await lguest64(
      ["run", "--arch", "x86_64", ...pins, "--stats-json", file],
      "smp-bench 2 w100\npoweroff\n",
    )
    expect(ended).toMatchObject({ status: 0, stderr: "" })
    const { perProcessor } = JSON.parse(readFileSync(file, "utf8")) as {
      perProcessor: ReadonlyArray<{ instructions: { ring3: number } }>
    }
    const each = perProcessor.map(({ instructions }) => instructions.ring3)
    expect(each).toHaveLength(3)
    // The host's own process runs wherever there is room, a few instructions each second.
    expect(each[0]! + each[1]!).toBeLessThan(each[2]! / 100)
  })

  it("is the same to the last byte of the log with the same seed, and not with another one", { timeout }, async () => {
    const log = async (seed: number, name: string) => {
      const file = join(folder, name)
      const args = ["--smp", "4", "--deterministic", "--seed", `${seed}`, "-d", "hcall", "-D", file]
      expect((await lguest64(["run", "--arch", "x86_64", ...args], "poweroff\n")).status).toBe(0)
      return readFileSync(file, "utf8")
    }
    const first = await log(3, "a")
    expect(first.length).toBeGreaterThan(1000)
    expect(await log(3, "b")).toBe(first)
    expect(await log(4, "c")).not.toBe(first)
  })

  it("ends by SIGINT with all threads, be they busy or idle", { timeout }, async () => {
    for (const [input, text] of [
      ["", "puppy# "],
      ["smp-bench 3 s60\n", "smp-bench 3"],
    ] as const) {
      const args = ["run", "--arch", "x86_64", "--smp", "3"]
      const ended = await after(args, "puppy# ", (child) => {
        child.stdin!.write(input)
        setTimeout(() => child.kill("SIGINT"), 500)
      })
      expect(ended.stdout).toContain(text)
      expect(ended.status).toBe(130)
      expect(ended.stderr).toBe("lguest64: interrupted (SIGINT)\n")
    }
  })

  it("is killed with one line and status 70 when a virtual CPU's thread dies", { timeout }, async () => {
    const hook = join(folder, "hook.mjs")
    // Of the first three one is the host's, and one may be the loader's of TypeScript: the third is a virtual CPU's.
    writeFileSync(
      hook,
      `import { Worker } from "node:worker_threads"
       const seen = new Set(), on = Worker.prototype.on
       Worker.prototype.on = function (...args) {
         if (!seen.has(this) && seen.add(this).size === 3) setTimeout(() => this.terminate(), 3000)
         return on.apply(this, args)
       }`,
    )
    const child = start(["run", "--arch", "x86_64", "--smp", "2"], {
      env: { ...process.env, NODE_OPTIONS: `--import ${hook}` },
    })
    let stderr = ""
    child.stderr!.on("data", (bytes: Buffer) => (stderr += bytes.toString("latin1")))
    child.stdout!.resume()
    const status = await new Promise((resolve) => child.on("close", resolve))
    expect(status).toBe(70)
    expect(stderr).toMatch(/^lguest64: the guest was killed: the thread of virtual CPU \d ended with status 1$/m)
    expect(stderr.trim().split("\n")).toHaveLength(1)
  })

  it("burns no CPU while the guest sleeps", { timeout }, async () => {
    const hook = join(folder, "usage.mjs")
    // What the whole process, all threads of it, has used between the guest's two words.
    writeFileSync(
      hook,
      `import { isMainThread } from "node:worker_threads"
       if (isMainThread) {
         const write = process.stdout.write
         let text = "", begin
         process.stdout.write = function (bytes, ...rest) {
           text += Buffer.from(bytes).toString("latin1")
           if (begin === undefined && /^begin/m.test(text)) begin = [process.cpuUsage(), performance.now()]
           else if (begin !== undefined && /^end/m.test(text)) {
             const { user, system } = process.cpuUsage(begin[0])
             process.stderr.write(\`share \${(user + system) / 1000 / (performance.now() - begin[1])}\\n\`)
             text = ""
           }
           return write.call(this, bytes, ...rest)
         }
       }`,
    )
    const child = start(["run", "--arch", "x86_64", "--smp", "2"], {
      env: { ...process.env, NODE_OPTIONS: `--import ${hook}` },
    })
    let stderr = ""
    let stdout = ""
    child.stderr!.on("data", (bytes: Buffer) => (stderr += bytes.toString("latin1")))
    child.stdin!.write("echo begin; sleep 3; echo end\n")
    child.stdout!.on("data", (bytes: Buffer) => {
      stdout += bytes.toString("latin1")
      if (/^end/m.test(stdout)) child.stdin!.end("poweroff\n")
    })
    const status = await new Promise((resolve) => child.on("close", resolve))
    expect(status).toBe(0)
    const share = Number(/share ([\d.e-]+)/.exec(stderr)?.[1])
    // Two threads that spin would use up all that the machine has.
    expect(share).toBeLessThan(0.3)
  })
})
