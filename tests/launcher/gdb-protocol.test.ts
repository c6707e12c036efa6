import fc from "fast-check"
import { writeFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { fromHex, fromLittleEndian, littleEndian, toHex } from "../../src/launcher/gdb/hex.ts"
import { packet, PACKET_SIZE, PacketReader } from "../../src/launcher/gdb/packet.ts"
import { description, registersOf } from "../../src/launcher/gdb/registers.ts"
import { Client, withWaiting } from "./gdb.ts"
import { CODE, codeImage } from "./images.ts"
import { lguest64, withFolder } from "./spawn.ts"

/* gdb's remote protocol, by hand: what gdb itself would never send, and what it would not show. */

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1")
const bytesOf = (latin1: string) => Buffer.from(latin1, "latin1")

describe("packets", () => {
  it("come out as they went in, however they are torn", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }),
        fc.integer({ min: 1, max: 9 }),
        (datas, pieces) => {
          const wire = Buffer.concat(datas.map((data) => packet(data)))
          const reader = new PacketReader()
          const received = Array.from({ length: Math.ceil(wire.length / pieces) }, (_, i) =>
            reader.read(wire.subarray(i * pieces, (i + 1) * pieces)),
          ).flat()
          expect(received).toEqual(datas.map((data) => ({ kind: "packet", data })))
        },
      ),
    )
  })

  it("are told from acknowledgements, interrupts and noise, and found again behind a torn one", () => {
    const reader = new PacketReader()
    expect(reader.read(bytesOf("+-xyz\x03")).map(({ kind }) => kind)).toEqual(["ack", "nak", "interrupt"])
    expect(reader.read(bytesOf("$m1,2$g#67")).map((r) => (r.kind === "packet" ? text(r.data) : r.kind))).toEqual(["g"])
  })

  it("with a wrong checksum or too long are refused, and the next is read", () => {
    const reader = new PacketReader()
    expect(reader.read(bytesOf("$g#68$g#6x$g#67")).map(({ kind }) => kind)).toEqual([
      "badChecksum",
      "badChecksum",
      "packet",
    ])
    const long = packet(new Uint8Array(PACKET_SIZE + 1).fill(0x61))
    expect(reader.read(long).map(({ kind }) => kind)).toEqual(["tooLong"])
    expect(reader.read(packet(bytesOf("?"))).map(({ kind }) => kind)).toEqual(["packet"])
  })

  it("numbers are written from their least significant byte on", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 64n - 1n), (value) => {
        expect(fromLittleEndian(littleEndian(value, 8))).toBe(value)
      }),
    )
    expect(littleEndian(0x12345678n, 4)).toBe("78563412")
    expect(fromHex("0g")).toBeUndefined()
    expect(toHex(fromHex("00ff")!)).toBe("00ff")
  })
})

describe("registers", () => {
  it.each([32, 64] as const)("of %i bits are described in the order of their numbers", (bits) => {
    const xml = description(bits)
    const names = [...xml.matchAll(/<reg name="(\w+)" bitsize="(\d+)"/g)].map(([, name, size]) => [name, Number(size)])
    expect(names).toEqual(registersOf(bits).map((register) => [register.name, register.bits]))
    expect(new Set(names.map(([name]) => name)).size).toBe(names.length)
    // gdb numbers: %eip is 8 and %rip 16, the stack of x87 registers is there.
    expect(names[bits === 64 ? 16 : 8]).toEqual([bits === 64 ? "rip" : "eip", bits])
    expect(names.filter(([name]) => /^st\d$/.test(String(name))).length).toBe(8)
  })
})

const GUEST = ["--native", "--arch", "i386"]

/** A client of a guest that has not begun. */
const withClient = <A>(use: (client: Client, port: number) => Promise<A>, args = GUEST): Promise<A> =>
  withWaiting(args, async ({ port }) => {
    const client = await Client.open(port)
    try {
      return await use(client, port)
    } finally {
      client.close()
    }
  })

describe("the server", () => {
  it("says what it can, and describes its registers in pieces", () =>
    withClient(async (client) => {
      expect(await client.ask("qSupported:swbreak+;hwbreak+")).toMatch(
        /^PacketSize=4000;.*qXfer:features:read\+.*QStartNoAckMode\+.*vContSupported\+.*ReverseStep\+;ReverseContinue\+/,
      )
      let xml = ""
      for (let more = true; more;) {
        const piece = (await client.ask(`qXfer:features:read:target.xml:${xml.length.toString(16)},200`))!
        more = piece.startsWith("m")
        xml += piece.slice(1)
      }
      expect(xml).toBe(description(32))
      expect(await client.ask("qXfer:features:read:other.xml:0,100")).toBe("E00")
      expect(await client.ask("qfThreadInfo")).toBe("m1")
      expect(await client.ask("qsThreadInfo")).toBe("l")
      expect(Buffer.from((await client.ask("qThreadExtraInfo,1"))!, "hex").toString()).toBe("virtual CPU 0")
      expect(await client.ask("qC")).toBe("QC1")
      expect(await client.ask("qAttached")).toBe("1")
      expect(await client.ask("vCont?")).toBe("vCont;c;C;s;S;t")
      expect(await client.ask("?")).toBe("T05thread:1;")
    }))

  it("reads and writes registers and memory", () =>
    withClient(async (client) => {
      const all = (await client.ask("g"))!
      const total = registersOf(32).reduce((sum, { bits }) => sum + bits / 4, 0)
      expect(all.length).toBe(total)
      // %eip, the ninth; the coprocessor's are unavailable.
      expect(all.slice(8 * 8, 9 * 8)).toBe("00001000")
      expect(all).toMatch(/x{160}/)
      expect(await client.ask("P0=78563412")).toBe("OK")
      expect(await client.ask("p0")).toBe("78563412")
      expect(await client.ask(`G${all}`)).toBe("OK")
      expect(await client.ask("p0")).toBe("00000000")
      expect(await client.ask("p8")).toBe("00001000")

      expect(await client.ask("M9000,4:01020304")).toBe("OK")
      expect(await client.ask("m9000,4")).toBe("01020304")
      client.raw(packet(Buffer.concat([bytesOf("X9002,3:"), Uint8Array.of(0x23, 0x7d, 0x24)])))
      expect(await client.next()).toBe("OK")
      expect(await client.ask("m9000,6")).toBe("0102237d2400")
      // A page at the end of memory, then nothing.
      expect((await client.ask("m3fffffc,10"))!.length).toBe(8)
      expect(await client.ask("m4000000,4")).toBe("E0e")
      expect(await client.ask("M3fffffe,4:00000000")).toBe("E0e")
      expect(await client.ask("m3fffffe,2")).toBe("0000")
    }))

  it("answers nonsense with an error or with nothing", () =>
    withClient(async (client) => {
      for (const bad of [
        "m",
        "m1",
        "mx,1",
        "m1,x",
        "M0,2:0",
        "M0,1:zz",
        "p",
        "pzz",
        "pff",
        "P0",
        "P0=",
        "P0=00",
        "G00",
        "Hg5",
        "T7",
      ])
        expect([bad, await client.ask(bad)]).toEqual([bad, "E16"])
      for (const bad of [
        "Z0,zz,1",
        "Z0,1",
        "z1",
        "Z2,0,0",
        "vCont;",
        "vCont;x",
        "vCont;s:9",
        "sxyz",
        "X0,1:",
        "qThreadExtraInfo,9",
      ])
        expect([bad, await client.ask(bad)]).toEqual([bad, "E16"])
      for (const unknown of ["", "!", "w", "Z9,0,1", "qNothing", "QNothing", "vNothing", "by", "Hx1", "\x80"])
        expect([unknown, await client.ask(unknown)]).toEqual([unknown, ""])
      // More breakpoints than there is room for.
      for (let i = 0; i < 1024; i++) expect(await client.ask(`Z0,${(0x500000 + i).toString(16)},1`)).toBe("OK")
      expect(await client.ask("Z0,400000,1")).toBe("E1c")
      expect(await client.ask("z0,500000,1")).toBe("OK")
      expect(await client.ask("Z0,400000,1")).toBe("OK")
      // A selector cannot be changed from outside: what hangs on it would not follow.
      expect(await client.ask("Pa=99000000")).toBe("E16")
    }))

  it("asks for a packet again that has come broken, and sends one again that has", () =>
    withClient(async (client) => {
      client.raw("$g#00")
      client.send("qC")
      expect(await client.next()).toBe("QC1")
      expect(client.received.toString("latin1")).toMatch(/^-\+\$QC1#/)
      client.raw("-")
      expect(await client.next()).toBe("QC1")
      expect(await client.ask("QStartNoAckMode")).toBe("OK")
      const before = client.received.length
      expect(await client.ask("qC")).toBe("QC1")
      expect(client.received.subarray(before).toString("latin1")).toMatch(/^\$/)
      client.raw(packet(new Uint8Array(PACKET_SIZE + 100).fill(0x61)))
      expect(await client.next()).toBe("E16")
    }))

  it("steps, breaks, and tells which kind of breakpoint it was", () =>
    withClient(async (client) => {
      await client.ask("qSupported:hwbreak+")
      expect(await client.ask("s")).toBe("T05thread:1;")
      expect(await client.ask("p8")).toBe("01001000")
      expect(await client.ask("Z1,100006,1")).toBe("OK")
      expect(await client.ask("vCont;c")).toBe("T05hwbreak:;thread:1;")
      expect(await client.ask("p8")).toBe("06001000")
      expect(await client.ask("z1,100006,1")).toBe("OK")
      // This client did not say that it understands the other kind.
      expect(await client.ask("Z0,100001,1")).toBe("OK")
      expect(await client.ask("c100000")).toBe("T05thread:1;")
      expect(await client.ask("z0,100001,1")).toBe("OK")
      expect(await client.ask("c")).toBe("W00")
      await client.over()
    }, GUEST))

  it("turns away a second gdb, and lets the next come when the first has gone", () =>
    withFolder(async (folder) => {
      const file = join(folder, "forever.elf")
      writeFileSync(file, codeImage("i386", CODE.forever))
      await withWaiting(["--native", file], async ({ port }) => {
        const first = await Client.open(port)
        expect(await first.ask("?")).toBe("T05thread:1;")
        const second = await Client.open(port)
        await second.over()
        expect(second.received.toString()).toBe("lguest64: another gdb debugs this guest\n")
        expect(await first.ask("Z0,100000,1")).toBe("OK")
        expect(await first.ask("D")).toBe("OK")
        await first.over()
        // It ran in between, past the breakpoint that went with the first.
        const third = await Client.open(port)
        expect(await third.ask("?")).toBe("T02thread:1;")
        expect(await third.ask("p8")).toBe("00001000")
        third.send("c")
        third.interrupt()
        expect(await third.next()).toBe("T02thread:1;")
        third.send("k")
        expect(await third.next()).toMatch(/^O/)
        expect(await third.next()).toBe("X06")
      })
    }))

  it("lets the guest go on when gdb just vanishes", () =>
    withWaiting(GUEST, async ({ port, finished, output }) => {
      const client = await Client.open(port)
      expect(await client.ask("Z0,100001,1")).toBe("OK")
      client.close()
      expect(await finished).toBe(0)
      expect(output()).toContain("puppy on i386")
    }))

  it("survives whatever is sent to it", () =>
    withWaiting(GUEST, async ({ port, child }) => {
      // k ends the run, D and an orderly c let it go: everything else may come.
      const letters = [..."gGpPmMXZzHTqQvb?!_"]
      const payload = fc
        .tuple(fc.constantFrom(...letters), fc.string({ unit: "binary-ascii", maxLength: 30 }))
        .map(([letter, rest]) => packet(bytesOf(letter + rest)))
        .filter((bytes) => !/vKill|vCont/.test(text(bytes)))
      const noise = fc.uint8Array({ maxLength: 40 }).filter((bytes) => !bytes.includes(0x24)) // a packet that begins would swallow the next one's beginning
      // One connection for all: when one is lost the guest goes on, and ends.
      const client = await Client.open(port)
      await fc.assert(
        fc.asyncProperty(fc.array(fc.oneof(payload, payload, noise), { maxLength: 12 }), async (pieces) => {
          for (const piece of pieces) client.raw(piece)
          // What is left of a torn packet ends here.
          client.send("qC")
          client.send("qC")
          for (let answer = await client.next(); answer !== "QC1"; answer = await client.next())
            expect(answer).toBeDefined()
          expect(child.exitCode).toBeNull()
        }),
        { numRuns: 60 },
      )
      client.send("qfThreadInfo")
      for (let answer = await client.next(); answer !== "m1"; answer = await client.next()) expect(answer).toBeDefined()
      client.close()
    }))

  it("is on this computer only", () =>
    withWaiting(GUEST, async ({ port }) => {
      const elsewhere = await new Promise<string>((resolve) => {
        const socket = connect(port, "127.0.0.2", () => {
          socket.destroy()
          resolve("connected")
        })
        socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""))
      })
      expect(elsewhere).toBe("ECONNREFUSED")
    }))
})

describe("--gdb", () => {
  it("needs a port that is one, and that is free", async () => {
    const wrong = await lguest64(["run", "--gdb", "70000"])
    expect(wrong.status).toBe(64)
    expect(wrong.stderr).toMatch(/a port from 0 to 65535/)
    await withWaiting(GUEST, async ({ port }) => {
      const { status, stderr } = await lguest64(["run", "--gdb", String(port)])
      expect(status).toBe(69)
      expect(stderr).toBe(`lguest64: --gdb cannot listen on port ${port}: something else listens there\n`)
    })
  })
})
