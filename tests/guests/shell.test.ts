import { describe, expect, it } from "vitest"
import { ARCHES } from "../../scripts/guests/toolchain.ts"
import { start } from "../launcher/spawn.ts"
import { converse } from "./converse.ts"

/* The shell and its small tools, and what a kernel for several processors makes of itself where there is one. */

/** What is typed, and what must come of it. */
const SCRIPT: ReadonlyArray<readonly [line: string, answer: string]> = [
  ["seq 20 | head -n 3 | tail -n 1", "3\n"],
  ["seq 20 | tail -2", "19\n20\n"],
  ["seq 3 -1 1", "3\n2\n1\n"],
  ["seq 100 | grep -c 1", "20\n"],
  ["seq 12 | grep -v 1", "2\n3\n4\n5\n6\n7\n8\n9\n"],
  ["echo one | grep two; echo $?", "1\n"],
  ["yes no | head -n 2", "no\nno\n"],
  ["echo both | tee /tmp/x; cat /tmp/x", "both\nboth\n"],
  ["true && false || echo neither", "neither\n"],
  ["(exit 3); echo $?", "3\n"],
  ["nosuch 2>/dev/null; echo $?", "127\n"],
  ["cp /tmp/x /tmp/y && mv /tmp/y /tmp/z && cat /tmp/z", "both\n"],
  ["time sh -c 'exit 9' 2>/dev/null; echo $?", "9\n"],
]

const answerTo = (console: string, line: string) => {
  const from = console.indexOf(`puppy# ${line}\n`) + `puppy# ${line}\n`.length
  return console.slice(from, console.indexOf("puppy# ", from))
}

describe.each(ARCHES)("the shell on %s", (arch) => {
  it("answers", async () => {
    const { status, console } = await converse(start(["run", "--arch", arch]), [
      ...SCRIPT.map(([line]) => line),
      "(sleep 1; exit 7) & wait $!; echo ended with $?",
      "sleep 1 & sleep 2 & wait; echo all ended with $?",
      "poweroff 5",
    ])
    for (const [line, answer] of SCRIPT) expect(answerTo(console, line), line).toBe(answer)
    expect(console).toContain("ended with 7\n")
    expect(console).toContain("all ended with 0\n")
    expect(status).toBe(5)
  }, 60_000)
})

it("puppy jumps over what is for several processors where there is one, and only there", async () => {
  const log = async (...options: ReadonlyArray<string>) =>
    (await converse(start(["run", ...options]), ["dmesg | grep smp:", "poweroff"])).console
  const places = /smp: one processor, (\d+) places are jumped over/
  for (const options of [["--native"], ["--smp", "2", "--append", "maxcpus=1"]])
    expect(Number(places.exec(await log(...options))?.[1])).toBeGreaterThan(50)
  expect(await log("--native", "--smp", "2")).not.toMatch(places)
}, 60_000)
