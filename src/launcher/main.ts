#!/usr/bin/env node
import { readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { explain, type Interrupted } from "./errors.ts"
import { Files } from "./files.ts"
import { parse } from "./options.ts"
import { Terminal } from "./terminal.ts"

/*
 * The program `lguest64`. One place turns what happened into an exit status and, unless it is the guest's own, a line on
 * standard error. By then the terminal has been put back. Unless somebody has ended us, we leave without process.exit, so that
 * what was written arrives.
 */
const version = (): string =>
  (JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }).version

/** Ends without waiting for anybody. */
const end = (by: Interrupted["by"], status: number): void => {
  // Where the terminal is gone Node's own way out aborts, as it cannot restore its modes. The signal's way is as good: a shell
  // sees the same status.
  if (by === "SIGHUP" && process.stdin.isTTY === true) process.kill(process.pid, "SIGHUP")
  else process.exit(status)
}

const program = Effect.gen(function* () {
  const request = yield* parse(version(), process.argv.slice(2))
  if (request.kind === "text") {
    process.stdout.on("error", () => undefined) // whoever wanted the help has seen enough of it
    process.stdout.write(request.text)
    return 0
  }
  if (request.kind === "report") {
    const { report } = yield* Effect.promise(() => import("./report/index.ts"))
    yield* report(request.options).pipe(Effect.provide(Files.layer))
    return 0
  }
  if (request.kind === "journey") {
    const { journey } = yield* Effect.promise(() => import("./journey/index.ts"))
    yield* journey(request.options).pipe(Effect.provide(Files.layer))
    return 0
  }
  if (request.kind === "designs") {
    const { designs } = yield* Effect.promise(() => import("./designs/index.ts"))
    return yield* designs(request.request).pipe(Effect.provide(Files.layer))
  }
  const machines =
    request.kind === "up"
      ? (yield* Effect.promise(() => import("./up.ts"))).up(request.options)
      : (yield* Effect.promise(() => import("./run.ts"))).run(request.options)
  return yield* Effect.scoped(machines).pipe(Effect.provide(Layer.merge(Files.layer, Terminal.layer)))
})

const status = await Effect.runPromise(
  Effect.catch(program, (error) =>
    Effect.sync(() => {
      const { status, line } = explain(error)
      process.stderr.on("error", () => undefined)
      process.stderr.write(`lguest64: ${line}\n`)
      // What a reader has not taken until now it will not get: we were told to end.
      if (error._tag === "Interrupted") end(error.by, status)
      return status
    }),
  ),
)
process.exitCode = status
