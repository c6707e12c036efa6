import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { lguest64 } from "../launcher/spawn.ts"

/* ping, ifconfig, nc and hostname, on guests of both architectures in one launcher. */

const folder = mkdtempSync(join(tmpdir(), "nettools-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Guest {
  readonly arch: "i386" | "x86_64"
  readonly native?: boolean
  readonly append?: string
  readonly script: ReadonlyArray<string>
}

let files = 0
/** What each guest said, lines without their ends, after a run that is the same for the same seed. */
const up = async (guests: Readonly<Record<string, Guest>>, seed = 1) => {
  const file = join(folder, `${files++}.yaml`)
  const described = Object.fromEntries(
    Object.entries(guests).map(([name, { script, ...guest }]) => [
      name,
      { mem: "16M", net: { hub: "lan" }, ...guest, script: `${script.join("\n")}\n` },
    ]),
  )
  writeFileSync(file, JSON.stringify({ guests: described })) // JSON is YAML too
  const { status, stdout, stderr } = await lguest64(["up", file, "--seed", String(seed)], "")
  const lines = stdout.replaceAll("\r", "").split("\n")
  const said = (name: string) =>
    lines.filter((line) => line.startsWith(`${name}| `)).map((line) => line.slice(name.length + 2))
  return { status, stderr, said }
}

/** Lines may begin with the prompt: what is typed ahead is shown when it is typed. */
const lineOf = (lines: ReadonlyArray<string>, pattern: RegExp) => lines.filter((line) => pattern.test(line))

describe.each(["i386", "x86_64"] as const)("on %s", (arch) => {
  it.each([false, true])("ping says what comes back and how it went (native: %s)", async (native) => {
    const { status, stderr, said } = await up({
      a: {
        ...{ arch, native, append: "ip=10.0.0.1/24" },
        script: [
          "ping -c 2 -i 0.05 127.0.0.1; echo loop $?",
          "ping -c 1 10.0.0.1; echo self $?",
          "ping -c 1 10.0.0.9; echo nobody $?",
          "ping -c 1 -W 0.5 -q 10.0.0.9; echo silence $?",
          "ping -c 1 8.8.8.8; echo nowhere $?",
          "ping puppy; echo name $?",
          "poweroff",
        ],
      },
    })
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    const text = said("a").join("\n")
    expect(lineOf(said("a"), /^64 bytes from 127\.0\.0\.1: icmp_seq=[12] ttl=64 time=[0-9.]+ ms$/)).toHaveLength(2)
    expect(text).toMatch(
      /2 packets transmitted, 2 received, 0% packet loss, time \d+ms\nrtt min\/avg\/max\/mdev = [0-9./]+ ms\n/,
    )
    expect(text).toContain("From 10.0.0.1 icmp_seq=1 Destination Host Unreachable\n")
    expect(text).toContain("1 packets transmitted, 0 received, +1 errors, 100% packet loss")
    for (const end of ["loop 0", "self 0", "nobody 1", "silence 1", "nowhere 2", "name 2"])
      expect(said("a")).toContain(end)
    expect(text).toContain("ping: connect: Network is unreachable")
  })

  it("ifconfig shows and sets, hostname too", async () => {
    const { status, said } = await up({
      a: {
        arch,
        script: [
          "ifconfig eth0",
          "ifconfig eth0 10.1.2.3 netmask 255.255.0.0 up; echo set $?",
          "ifconfig",
          "ifconfig eth0 10.9.9.9/30; ifconfig eth0 | cat",
          "ifconfig eth0 netmask 255.0.255.0; echo mask $?",
          "ifconfig eth7 up; echo none $?",
          "ifconfig eth0 down; ping -c 1 10.9.9.10; echo down $?",
          "hostname rex; hostname; uname -n",
          "poweroff",
        ],
      },
    })
    expect(status).toBe(0)
    const text = said("a").join("\n")
    expect(text).toContain("eth0: flags=2<BROADCAST>  mtu 1500\n        ether 52:54:00:")
    expect(said("a")).toContain("set 0")
    expect(text).toContain("        inet 127.0.0.1  netmask 255.0.0.0\n        loop\n")
    expect(text).toContain("        inet 10.1.2.3  netmask 255.255.0.0  broadcast 10.1.255.255\n")
    expect(text).toContain("        inet 10.9.9.9  netmask 255.255.255.252  broadcast 10.9.9.11\n")
    for (const end of ["mask 1", "none 1", "down 2", "rex"]) expect(said("a")).toContain(end)
    expect(text).toContain("ifconfig: eth7: No such device")
    expect(lineOf(said("a"), /^rex$/)).toHaveLength(2)
  })

  it("the kernel's random generator is seeded by the entropy device", async () => {
    const { status, said } = await up({ a: { arch, script: ["dmesg", "poweroff"] } })
    expect(status).toBe(0)
    expect(said("a").join("\n")).toContain("random: seeded with 128 bytes")
  })
})

describe("two guests on a hub, one of each architecture", () => {
  it("ping each other, and nc carries lines between them, there and back", async () => {
    const { status, stderr, said } = await up({
      long: {
        ...{ arch: "x86_64", append: "ip=10.0.0.1/24" },
        script: ["ping -c 3 -i 0.1 10.0.0.2; echo pinged $?", "nc -u -l -w 3 7000", "an answer", "poweroff"],
      },
      short: {
        ...{ arch: "i386", append: "ip=10.0.0.2/24" },
        script: [
          "ping -c 3 -i 0.1 10.0.0.1; echo pinged $?",
          "sleep 1; echo a question | nc -u -w 2 10.0.0.1 7000; echo sent $?",
          "echo refused | nc -u -w 2 10.0.0.1 7001",
          "poweroff",
        ],
      },
    })
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    for (const [name, other] of [
      ["long", "10.0.0.2"],
      ["short", "10.0.0.1"],
    ] as const) {
      expect(said(name)).toContain("pinged 0")
      expect(said(name).filter((line) => line.startsWith(`64 bytes from ${other}: icmp_seq=`))).toHaveLength(3)
    }
    expect(said("long").join("\n")).toContain("a question")
    expect(said("short")).toContain("sent 0")
    expect(lineOf(said("short"), /^(puppy# )?an answer$/)).toHaveLength(1)
    expect(said("short").join("\n")).toContain("nc: read: Connection refused")
  })
})
