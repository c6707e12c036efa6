import type { ChildProcess } from "node:child_process"

const PROMPT = "puppy# "

export interface Conversation {
  readonly status: number | null
  readonly console: string
  readonly stderr: string
}

/**
 * Types each line when the shell asks for one: what is typed ahead is echoed into the middle of what others print. Ends when
 * the program does.
 */
export const converse = (child: ChildProcess, lines: ReadonlyArray<string>): Promise<Conversation> =>
  new Promise((resolve, reject) => {
    let text = ""
    let stderr = ""
    let next = 0
    child.stdout!.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1")
      if (text.endsWith(PROMPT) && next < lines.length) child.stdin!.write(`${lines[next++]}\n`)
    })
    child.stderr!.on("data", (bytes: Buffer) => (stderr += bytes.toString("latin1")))
    child.stdin!.on("error", () => undefined)
    child.on("error", reject)
    child.on("close", (status) => resolve({ status, console: text.replaceAll("\r", ""), stderr }))
  })
