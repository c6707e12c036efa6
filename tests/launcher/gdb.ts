import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { packet, PacketReader } from "../../src/launcher/gdb/packet.ts"
import { start, withFolder } from "./spawn.ts"

/* The real program with --gdb, and those that connect to it: the real gdb, and a client that speaks the protocol by hand. */

export const GDB = "gdb"
export const hasGdb = spawnSync(GDB, ["--version"]).status === 0

export const image = (name: string): string => fileURLToPath(new URL(`../../guests/images/${name}`, import.meta.url))

const LONGEST_MS = 60_000

/** A run that waits for gdb. */
export interface Waiting {
  readonly child: ChildProcess
  readonly port: number
  readonly output: () => string
  readonly errors: () => string
  readonly finished: Promise<number | null>
}

/** `input`: null leaves the console's input open. */
export const waiting = async (args: ReadonlyArray<string>, input: string | null = ""): Promise<Waiting> => {
  const child = start(["run", ...args, "--gdb", "0"])
  let output = ""
  let errors = ""
  const finished = new Promise<number | null>((resolve) => child.on("close", resolve))
  child.stdout!.on("data", (bytes: Buffer) => (output += bytes.toString("latin1")))
  child.stdin!.on("error", () => undefined)
  if (input !== null) child.stdin!.end(input)
  const port = await new Promise<number>((resolve, reject) => {
    child.stderr!.on("data", (bytes: Buffer) => {
      errors += bytes.toString("latin1")
      const [, digits] = /target remote 127\.0\.0\.1:(\d+)/.exec(errors) ?? []
      if (digits !== undefined) resolve(Number(digits))
    })
    void finished.then((status) => reject(new Error(`ended with ${status}: ${errors}`)))
  })
  return { child, port, output: () => output, errors: () => errors, finished }
}

/** Runs `use` with a waiting guest, which is gone afterwards. */
export const withWaiting = async <A>(
  args: ReadonlyArray<string>,
  use: (guest: Waiting) => Promise<A>,
  input?: string | null,
): Promise<A> => {
  const guest = await waiting(args, input)
  try {
    return await use(guest)
  } finally {
    guest.child.kill("SIGKILL")
    await guest.finished
  }
}

export interface Session {
  /** What gdb has printed. */
  readonly text: string
  readonly guest: { readonly status: number | null; readonly output: string; readonly errors: string }
}

export interface Scripted {
  /** The image for gdb's symbols. */
  readonly symbols?: string
  /** What is typed at the guest's console; null: nothing yet. */
  readonly input?: string | null
  /** What happens when gdb (`text`) or the guest (`output`) has said that, such as a press of Ctrl-C. */
  readonly when?: { readonly text?: RegExp; readonly output?: RegExp; readonly then: (gdb: ChildProcess) => void }
}

/** gdb on a guest: `commands` after it has connected. It is over when both are. */
export const gdbSession = (
  args: ReadonlyArray<string>,
  commands: ReadonlyArray<string>,
  { symbols, input, when }: Scripted = {},
): Promise<Session> =>
  withFolder((folder) =>
    withWaiting(
      args,
      async (guest) => {
        const script = join(folder, "commands")
        const setting = ["set confirm off", "set pagination off", "set width 0", "set style enabled off"]
        writeFileSync(script, [...setting, `target remote 127.0.0.1:${guest.port}`, ...commands, ""].join("\n"))
        const options = ["-nx", "-batch", "-x", script]
        const files = symbols === undefined ? options : [...options, image(symbols)]
        // Both its streams in one, so that what it says stays in order.
        const gdb = spawn("sh", ["-c", 'exec "$@" 2>&1', "sh", GDB, ...files], {
          timeout: LONGEST_MS,
          killSignal: "SIGKILL",
        })
        let text = ""
        let reacted = false
        const heard = (): void => {
          if (when === undefined || reacted) return
          if (when.text?.test(text) === false || when.output?.test(guest.output()) === false) return
          reacted = true
          when.then(gdb)
        }
        gdb.stdout.on("data", (bytes: Buffer) => {
          text += bytes.toString("latin1")
          heard()
        })
        guest.child.stdout!.on("data", heard)
        await new Promise((resolve) => gdb.on("close", resolve))
        const status = await guest.finished
        return { text, guest: { status, output: guest.output(), errors: guest.errors() } }
      },
      input,
    ),
  )

/** A client that sends what it likes. */
export class Client {
  private readonly socket: Socket
  private readonly reader = new PacketReader()
  private readonly packets: string[] = []
  private waiter: (() => void) | undefined
  /** Everything that came, packets or not. */
  received = Buffer.alloc(0)
  closed = false

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on("data", (bytes) => {
      this.received = Buffer.concat([this.received, bytes])
      for (const one of this.reader.read(bytes))
        if (one.kind === "packet") this.packets.push(Buffer.from(one.data).toString("latin1"))
      this.waiter?.()
    })
    socket.on("error", () => undefined)
    socket.on("close", () => {
      this.closed = true
      this.waiter?.()
    })
  }

  static open(port: number): Promise<Client> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1", () => resolve(new Client(socket)))
      socket.once("error", reject)
    })
  }

  raw(bytes: Uint8Array | string): void {
    this.socket.write(bytes)
  }

  send(text: string): void {
    this.raw(packet(Buffer.from(text, "latin1")))
  }

  /** Ctrl-C. */
  interrupt(): void {
    this.raw(Uint8Array.of(3))
  }

  /** The next packet; undefined when the connection is over. */
  async next(): Promise<string | undefined> {
    while (this.packets.length === 0 && !this.closed) await new Promise<void>((resolve) => (this.waiter = resolve))
    return this.packets.shift()
  }

  ask(text: string): Promise<string | undefined> {
    this.send(text)
    return this.next()
  }

  /** Until the other side has hung up. */
  async over(): Promise<void> {
    while (!this.closed) await new Promise<void>((resolve) => (this.waiter = resolve))
  }

  close(): void {
    this.socket.destroy()
  }
}
