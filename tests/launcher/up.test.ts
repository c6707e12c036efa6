import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { PCAP_HEADER, PCAP_RECORD } from "../../src/launcher/pcapFile.ts"
import { CODE, codeImage } from "./images.ts"
import { commandLine, lguest64, spawnScript } from "./spawn.ts"

/* Several guests in one launcher, as their users meet them. */

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "up-"))
  for (const [name, code] of Object.entries({ illegal: CODE.illegal, forever: CODE.forever, off: CODE.powerOff(7) }))
    writeFileSync(join(folder, name), codeImage("x86_64", code))
  writeFileSync(join(folder, "disk"), new Uint8Array(4096))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let files = 0
const up = (yaml: string, input = "", ...args: ReadonlyArray<string>) => {
  const file = join(folder, `${files++}.yaml`)
  writeFileSync(file, yaml)
  return lguest64(["up", file, ...args], input)
}
/** What a guest said. */
const said = (stdout: string, name: string): string =>
  stdout
    .split("\n")
    .filter((line) => line.startsWith(`${name}| `))
    .map((line) => line.slice(name.length + 2))
    .join("\n")

const BOTH = `
guests:
  long:
    mem: 32M
    script: |
      uname -a
      poweroff 3
  short:
    arch: i386
    mem: 32M
    script: |
      uname -a
      poweroff 4
`

describe("guests in one launcher", () => {
  it("are of both architectures, each under its own module, and the first status that is not 0 is theirs", async () => {
    const { status, stdout, stderr } = await up(BOTH)
    expect({ status, stderr }).toEqual({ status: 3, stderr: "" })
    expect(said(stdout, "long")).toContain("#1 lguest64 x86_64")
    expect(said(stdout, "short")).toContain("#1 lguest i686")
  })

  it("are the same every time, with --deterministic", async () => {
    const once = await up(BOTH, "", "--seed", "5")
    expect(await up(BOTH, "", "--seed", "5")).toEqual(once)
    expect(once.status).toBe(3)
  })

  it.each([[[]], [["--deterministic"]]])("are typed at by name (%j)", async (args) => {
    const input = "a:echo one\nb:echo two\nnobody:ls\nb:exit 5\na:echo three\n"
    const { status, stdout, stderr } = await up("guests: {a: , b: {arch: i386, native: true}}", input, ...args)
    expect(status).toBe(5)
    expect(said(stdout, "a")).toMatch(/one\r\n[^]*three\r/)
    expect(said(stdout, "b")).toContain("two\r\n")
    expect(stderr).toBe('lguest64: input for no guest: "nobody:ls" (a line is "name:text")\n')
  })

  it("do not die of one another", async () => {
    const { status, stdout, stderr } = await up(`
guests:
  bad: {native: true, kernel: illegal}
  worse: {kernel: illegal}
  good: {script: "sleep 2\\necho alive\\npoweroff\\n"}
`)
    expect(status).toBe(70)
    expect(said(stdout, "good")).toContain("alive\r")
    const lines = stderr.trimEnd().split("\n").sort()
    expect(lines).toHaveLength(2)
    expect(lines[0]).toMatch(/^lguest64: bad: the guest was killed: triple fault/)
    expect(lines[1]).toMatch(/^lguest64: worse: the guest was killed: .*: ud2/)
  })

  it("stop together at the instruction limit", async () => {
    const result = await up("guests: {a: {native: true, kernel: forever}, b: }", "", "--max-instructions", "20M")
    expect(result.status).toBe(124)
  })

  it.each([
    ["78: a host that does not run the guest", 78, "guests: {a: {host: x86_64, arch: i386}}", /:1: guests\.a\.host: an i386 guest needs/], // prettier-ignore
    ["78: a second virtual CPU that lguest has no name for", 78, "guests:\n  a:\n    arch: i386\n    smp: 2", /:4: guests\.a\.smp: it is for x86_64 guests/], // prettier-ignore
    ["78: one report for two", 78, "guests: {a: {stats-json: s}, b: {trace: s}}", /guests\.b: .*s is given twice/],
    ["73: a report that cannot be written", 73, "guests: {a: {stats-json: no/such}}", /no\/such: no such file/],
    ["78: one disk for two", 78, "guests: {a: {block: [disk]}, b: {block: [disk]}}", /guests\.b: .*is given twice/],
    ["66: no such disk", 66, "guests: {a: {block: [none]}}", /none: no such file/],
    ["66: no such kernel", 66, "guests: {a: {kernel: none}}", /none: no such file/],
    ["78: no YAML", 78, "guests: {", /yaml:1: /],
  ])("%s", async (_what, status, yaml, line) => {
    const result = await up(yaml)
    expect(result).toMatchObject({ status, stdout: "" })
    expect(result.stderr).toMatch(line)
    expect(result.stderr).toMatch(/^lguest64: [^\n]+\n$/)
  })

  it("66: no file", async () => expect(await lguest64(["up", "/no/such.yaml"])).toMatchObject({ status: 66 }))

  it("ping each other over their hub, which a pcap file shows", async () => {
    const { status, stdout, stderr } = await up(
      `
guests:
  a:
    mem: 32M
    net: {hub: lan, pcap: lan.pcap}
    script: |
      ifconfig eth0 10.0.0.1/24 up
      ping -c 3 10.0.0.2
  b:
    mem: 32M
    arch: i386
    net: {hub: lan, mac: "52:54:00:aa:bb:cc"}
    script: |
      ifconfig eth0 10.0.0.2/24 up
      ping -c 3 10.0.0.1
  alone:
    net: {hub: other}
    script: |
      ifconfig eth0 10.0.0.3/24 up
      ping -c 1 10.0.0.1
      poweroff
`,
      "",
      "--deterministic",
    )
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    expect(said(stdout, "a")).toContain("3 packets transmitted, 3 received")
    expect(said(stdout, "b")).toContain("3 packets transmitted, 3 received")
    expect(said(stdout, "alone")).toContain("1 packets transmitted, 0 received")
    // Ethernet type at 12, IP protocol at 23, ICMP type at 34: 3 echoes and 3 replies from each side.
    const bytes = readFileSync(join(folder, "lan.pcap"))
    const icmp: string[] = []
    for (let at = PCAP_HEADER.size; at < bytes.length;) {
      const length = bytes.readUInt32LE(at + PCAP_RECORD.fields.kept.offset)
      const frame = bytes.subarray(at + PCAP_RECORD.size, (at += PCAP_RECORD.size + length))
      if (frame.readUInt16BE(12) === 0x0800 && frame[23] === 1)
        icmp.push(`${frame.subarray(6, 12).toString("hex")} ${frame[34]}`)
    }
    const [a, b] = ["525400000001", "525400aabbcc"]
    const both = [a, b].flatMap((mac) => [0, 8].flatMap((type) => Array.from({ length: 3 }, () => `${mac} ${type}`)))
    expect(icmp.sort()).toEqual(both)
  })

  it("have threads for their virtual CPUs, beside others that have none", async () => {
    const { status, stdout, stderr } = await up(`
guests:
  four:
    smp: 4
    pcpus: 2
    mem: 32M
    net: {hub: threads}
    stats-json: four.json
    trace: four.trace
    trace-limit: 1M
    script: |
      ifconfig eth0 10.0.0.1/24 up
      ping -c 2 10.0.0.2
      ping -c 2 10.0.0.3
      poweroff 6
  pinned:
    smp: 2
    pin: "0:1,1:0"
    mem: 32M
    net: {hub: threads}
    script: |
      ifconfig eth0 10.0.0.2/24 up
      smp-bench
      poweroff 7
  none:
    arch: i386
    mem: 32M
    net: {hub: threads}
    stats-json: none.json
    script: |
      ifconfig eth0 10.0.0.3/24 up
      ping -c 2 10.0.0.1
  bad: {smp: 3, kernel: illegal}
`)
    expect(status).toBe(6)
    expect(stderr).toMatch(/^lguest64: bad: the guest was killed: [^\n]*: ud2 /)
    expect(stderr).toContain("four.trace is full")
    expect(said(stdout, "four")).toContain("smp: 4 processors")
    expect(said(stdout, "pinned")).toContain("smp: 2 processors")
    expect(said(stdout, "none")).toContain("2 packets transmitted, 2 received")
    const read = (name: string) => JSON.parse(readFileSync(join(folder, name), "utf8"))
    expect(read("four.json").perProcessor).toHaveLength(2)
    expect(read("four.json").hypercalls.VCPU_UP).toBe(3)
    expect(read("none.json")).toMatchObject({ arch: "i386" })
    const trace = readFileSync(join(folder, "four.trace"), "utf8")
    expect(trace.length).toBeLessThanOrEqual(2 ** 20)
    expect(JSON.parse(trace).traceEvents.length).toBeGreaterThan(100)
  })

  it("with threads, too, stop at the instruction limit", async () => {
    const result = await up("guests: {a: {smp: 2, kernel: forever}, b: {smp: 2}}", "", "--max-instructions", "50M")
    expect(result.status).toBe(124)
  })

  it("have the keyboard one after the other: Ctrl-A n", async () => {
    const file = join(folder, "keys.yaml")
    writeFileSync(file, "guests: {a: {mem: 32M}, b: {mem: 32M, arch: i386}}")
    const script = join(folder, "keys.sh")
    writeFileSync(script, `${commandLine(["up", file])}\necho "status $?"\n`)
    const child = spawnScript(script)
    let shown = ""
    // To b first, then to whoever is left.
    const steps: Array<[RegExp, string]> = [
      [/a\| puppy# [^]*b\| puppy# |b\| puppy# [^]*a\| puppy# /, "\x01nuname -m\npoweroff 9\n"],
      [/i686[^]*\[typing at a\]/, "uname -m\npoweroff\n"],
    ]
    await new Promise<void>((resolve) => {
      child.stdout!.on("data", (bytes: Buffer) => {
        shown += bytes.toString("latin1")
        if (steps.length > 0 && steps[0]![0].test(shown)) child.stdin!.write(steps.shift()![1], "latin1")
      })
      child.on("close", () => resolve())
    })
    expect(shown).toContain("[typing at b]")
    expect(shown).toContain("status 9")
    expect(shown).toMatch(/b\| i686/)
    expect(shown).toMatch(/a\| x86_64/)
  })
})
