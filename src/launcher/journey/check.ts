import type { Extract, Fault } from "./extract.ts"
import { mark, PARTS, type Step } from "./parts.ts"

/*
 * What a journey must be so that nobody gets lost:
 *   - steps are numbered 010, 020, 030, … in the order of reading, without a gap and each once; a number between two tens is
 *     for a step that came later;
 *   - step 010 opens its part ("Part 5, Host: …"), and the last one says where to go on;
 *   - every step says something and stands on code, and every step that is referred to exists.
 */

/** Fewer steps than that are no part. */
export const FEWEST_STEPS = 10
/** Fewer words than that are a label, not a comment. */
const FEWEST_WORDS = 8

const wordsOf = (step: Step): string => step.comment.join(" ").replace(/\s+/g, " ").trim()

/** The words with which a part's first step begins. */
export const openingOf = (letter: string): string => {
  const place = PARTS.findIndex((part) => part.letter === letter)
  return `Part ${place + 1}, ${PARTS[place]!.name}: `
}

/** What the last step of a part contains; the last part ends where Rusty's did. */
export const pointerOf = (letter: string): string => {
  const next = PARTS[PARTS.findIndex((part) => part.letter === letter) + 1]
  return next === undefined ? "beer" : `lguest64 journey ${next.name}`
}

const checkPart = (letter: string, steps: ReadonlyArray<Step>, fault: (step: Step, problem: string) => void): void => {
  const first = steps[0]!
  const last = steps[steps.length - 1]!
  if (steps.length < FEWEST_STEPS) fault(last, `the part has ${steps.length} steps; ${FEWEST_STEPS} are the fewest`)
  if (!wordsOf(first).startsWith(openingOf(letter))) fault(first, `does not open its part with "${openingOf(letter)}"`)
  if (!wordsOf(last).includes(pointerOf(letter))) fault(last, `ends its part without "${pointerOf(letter)}"`)
  const numbers = new Set(steps.map(({ number }) => number))
  for (let ten = 10; ten <= last.number; ten += 10)
    if (!numbers.has(ten))
      fault(
        steps.find(({ number }) => number > ten)!,
        `${mark(letter, ten)} before it is missing`,
      )
  steps.forEach((step, i) => {
    const before = steps[i - 1]
    if (before?.number === step.number) fault(step, `is at ${before.file}:${before.line} too`)
    if (wordsOf(step).split(" ").length < FEWEST_WORDS) fault(step, "says nearly nothing")
    if (step.code.every((line) => line.trim() === "")) fault(step, "stands on no code")
  })
}

/** All that is wrong with a journey; `steps` in order. */
export const faultsOf = (extracts: ReadonlyArray<Extract>, steps: ReadonlyArray<Step>): ReadonlyArray<Fault> => {
  const faults = extracts.flatMap((extract) => [...extract.faults])
  const fault = ({ letter, number, file, line }: Step, problem: string): void => {
    faults.push({ file, line, problem: `${mark(letter, number)} ${problem}` })
  }
  for (const { letter, name } of PARTS) {
    const own = steps.filter((step) => step.letter === letter)
    if (own.length === 0) faults.push({ file: "", line: 0, problem: `${name} has no steps` })
    else checkPart(letter, own, fault)
  }
  const known = new Set(steps.map(({ letter, number }) => mark(letter, number)))
  for (const { file, line, mark: to } of extracts.flatMap(({ references }) => references))
    if (!known.has(to)) faults.push({ file, line, problem: `${to} is referred to, and there is no such step` })
  return faults
}
