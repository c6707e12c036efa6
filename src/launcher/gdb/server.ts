import { createServer, type Server, type Socket } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { DebugSession, MonitorCommands, Stop } from "../debug/session.ts"
import { CannotListen } from "../errors.ts"
import { ACKNOWLEDGED, packet, PacketReader, REFUSED } from "./packet.ts"
import { GdbStub } from "./stub.ts"

/*
 * The listener for gdb, on this computer only. One gdb at a time; whoever comes while it is there is told so. When it goes,
 * however it goes, its breakpoints go with it and the guest runs on, for the next to come.
 */

const LOCALHOST = "127.0.0.1"
/** What a client may send ahead of its answers, bytes; more is not read. */
const MOST_AHEAD = 1 << 20

/** One gdb. */
class Connection {
  private readonly socket: Socket
  private readonly session: DebugSession
  private readonly stub: GdbStub
  private readonly reader = new PacketReader()
  private readonly queue: Uint8Array[] = []
  private queued = 0
  private last: Uint8Array | undefined
  private busy = false
  /** It has left, even if its socket is not closed yet. */
  over = false
  /** It has resumed the guest and waits for its stop. */
  private awaiting = false
  private readonly unlisten: () => void

  constructor(socket: Socket, session: DebugSession, commands: MonitorCommands | undefined) {
    this.socket = socket
    this.session = session
    this.stub = new GdbStub(session, commands)
    this.unlisten = session.listen({
      stopped: (stop) => this.stopped(stop),
      ended: (end) => {
        this.send(...GdbStub.endReply(end))
        this.leave()
      },
    })
    socket.setNoDelay(true)
    socket.on("data", (bytes) => this.received(bytes))
    socket.on("error", () => socket.destroy())
    socket.on("close", () => this.leave())
    // Whoever comes wants to look, and a guest is looked at while it stands.
    session.interrupt()
  }

  /** Says good-bye; the guest runs on without its breakpoints. */
  leave(): void {
    if (this.over) return
    this.over = true
    this.unlisten()
    this.socket.end()
    // It may have come and gone before there was a guest.
    void this.session.started.then(() => this.session.release())
  }

  private send(...replies: ReadonlyArray<string | Uint8Array>): void {
    for (const reply of replies) {
      this.last = packet(typeof reply === "string" ? Buffer.from(reply, "latin1") : reply)
      if (!this.socket.destroyed && this.socket.writable) this.socket.write(this.last)
    }
  }

  private acknowledge(how: Uint8Array): void {
    if (!this.stub.quiet && this.socket.writable) this.socket.write(how)
  }

  private received(bytes: Uint8Array): void {
    if (this.over) return
    for (const one of this.reader.read(bytes)) {
      switch (one.kind) {
        case "packet":
          this.acknowledge(ACKNOWLEDGED)
          this.queue.push(one.data)
          this.queued += one.data.length
          break
        case "badChecksum":
          this.acknowledge(REFUSED)
          break
        case "tooLong":
          this.acknowledge(ACKNOWLEDGED)
          this.send("E16")
          break
        case "nak":
          if (this.last !== undefined && this.socket.writable) this.socket.write(this.last)
          break
        case "interrupt":
          this.session.interrupt()
          break
        case "ack":
          break
      }
    }
    if (this.queued > MOST_AHEAD) this.socket.pause()
    void this.work()
  }

  private stopped(stop: Stop): void {
    if (this.awaiting) this.send(this.stub.stopReply(stop))
    this.awaiting = false
    void this.work()
  }

  /** Answers what waits, in order; while the guest runs nothing is answered. */
  private async work(): Promise<void> {
    if (this.busy) return
    this.busy = true
    await this.session.started
    while (!this.over && this.session.stop !== undefined && this.queue.length > 0) {
      const data = this.queue.shift()!
      this.queued -= data.length
      if (this.queued <= MOST_AHEAD) this.socket.resume()
      const { replies, resume, leave } = await this.stub.handle(data)
      this.send(...replies)
      if (resume !== undefined) {
        this.awaiting = true
        this.session.resume(resume)
      }
      if (leave) this.leave()
    }
    this.busy = false
  }
}

const listen = (server: Server, port: number): Effect.Effect<number, CannotListen> =>
  Effect.callback<number, CannotListen>((resume) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const problem = error.code === "EADDRINUSE" ? "something else listens there" : error.message
      resume(Effect.fail(new CannotListen({ port, problem })))
    })
    server.listen(port, LOCALHOST, () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : port))
    })
  })

/** Listens until the scope closes; the port. */
export const serveGdb = (
  session: DebugSession,
  port: number,
  commands?: MonitorCommands,
): Effect.Effect<number, CannotListen, Scope.Scope> =>
  Effect.gen(function* () {
    let current: Connection | undefined
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
      if (current?.over === false || session.end !== undefined) {
        socket.on("error", () => socket.destroy())
        socket.end("lguest64: another gdb debugs this guest\n")
        return
      }
      current = new Connection(socket, session, commands)
    })
    const bound = yield* Effect.acquireRelease(listen(server, port), () =>
      Effect.promise(async () => {
        session.close()
        server.close()
        // What was said last is on its way; who does not read it is not waited for.
        await new Promise((resolve) => setImmediate(resolve))
        for (const socket of sockets) socket.destroySoon()
      }),
    )
    server.on("error", () => undefined)
    return bound
  })
