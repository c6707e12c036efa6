import { spawn } from "node:child_process"

/*
 * Long text for a person: through $PAGER, or less, where there is a terminal. As git does it, less is told to show colours and to
 * leave at once what fits on one screen.
 */

/** The pager's command line; undefined: none is wanted. */
export const pagerOf = (env: NodeJS.ProcessEnv): string | undefined => {
  const pager = env["PAGER"] ?? "less"
  return pager.trim() === "" || pager === "cat" || env["TERM"] === "dumb" ? undefined : pager
}

/** A shell's statuses for a command that is not there or cannot be run. */
const NO_COMMAND = [126, 127]

/** Writes to standard output and waits until it has gone. */
const writeOut = (text: string): Promise<void> =>
  new Promise((resolve) => {
    process.stdout.on("error", () => resolve()) // whoever reads it has seen enough
    process.stdout.write(text, () => resolve())
  })

/** Shows `text`; where the pager cannot be run it is printed. */
export const show = async (text: string, pager: string | undefined): Promise<void> => {
  if (pager === undefined) return writeOut(text)
  const shown = await new Promise<boolean>((resolve) => {
    const child = spawn(pager, {
      shell: true,
      stdio: ["pipe", "inherit", "ignore"],
      env: { LESS: "FRX", LV: "-c", ...process.env },
    })
    // Ctrl-C is the pager's: less stays, and so do we.
    const ignore = (): void => undefined
    process.on("SIGINT", ignore)
    const done = (ok: boolean): void => {
      process.off("SIGINT", ignore)
      resolve(ok)
    }
    child.on("error", () => done(false))
    child.on("close", (status) => done(!NO_COMMAND.includes(status ?? 0)))
    child.stdin.on("error", () => undefined) // left before its end
    child.stdin.end(text)
  })
  if (!shown) await writeOut(text)
}
