import { highlight, type Paint } from "./highlight.ts"
import { mark, PARTS, type Part, type Step, titleOf } from "./parts.ts"

/* The journey as text: what is said in a page's width, and under it the code with the numbers of its lines. */

/** Wider lines are hard to read, whatever the terminal has. */
const WIDEST = 88
const NARROWEST = 40

/** Indented lines and those of a list stand for themselves. */
const isItem = (line: string): boolean => /^(?:\s|[-*•] |\d+[.)] )/.test(line)

/** Fills paragraphs; what is indented, a list or a figure, keeps its lines. */
export const fill = (lines: ReadonlyArray<string>, columns: number): ReadonlyArray<string> => {
  const out: Array<string> = []
  let words = ""
  const flush = (): void => {
    if (words !== "") out.push(words)
    words = ""
  }
  for (const line of lines) {
    if (line.trim() === "" || isItem(line)) {
      flush()
      out.push(line)
      continue
    }
    for (const word of line.trim().split(/\s+/)) {
      if (words !== "" && words.length + 1 + word.length > columns) flush()
      words += words === "" ? word : ` ${word}`
    }
  }
  flush()
  return out
}

const nameOf = (letter: string): string => PARTS.find((part) => part.letter === letter)!.name

const stepText = (step: Step, width: number, paint: Paint): ReadonlyArray<string> => {
  const { file, codeLine, code, more } = step
  const number = String(step.number).padStart(3, "0")
  const digits = String(codeLine + code.length - 1).length
  const last = codeLine + code.length
  return [
    `${paint.heading(`${nameOf(step.letter)} ${number}`)}  ${paint.faint(`${file}:${codeLine}`)}`,
    "",
    ...fill(step.comment, width).map(paint.prose),
    "",
    ...highlight(code, paint).map((line, i) =>
      `${paint.faint(`${String(codeLine + i).padStart(digits)} |`)} ${line}`.trimEnd(),
    ),
    ...(more === 0 ? [] : [paint.faint(`${" ".repeat(digits)} … ${more} more lines: ${file}:${last}`)]),
    "",
    "",
  ]
}

const widthOf = (columns: number): number => Math.max(NARROWEST, Math.min(WIDEST, columns))

/** One part from its opening to its end. */
const partText = (part: Part, place: number, steps: ReadonlyArray<Step>, width: number, paint: Paint): string =>
  [
    paint.heading(`{==- ${place + 1}. ${part.name} -==}`),
    "",
    ...steps.filter(({ letter }) => letter === part.letter).flatMap((step) => stepText(step, width, paint)),
  ].join("\n")

/** The parts asked for, in their order. */
export const journeyText = (
  steps: ReadonlyArray<Step>,
  parts: ReadonlyArray<Part>,
  columns: number,
  paint: Paint,
): string =>
  PARTS.map((part, place) => (parts.includes(part) ? partText(part, place, steps, widthOf(columns), paint) : "")).join(
    "",
  )

const cut = (text: string, length: number): string => (text.length <= length ? text : `${text.slice(0, length - 1)}…`)

/** The table of contents. */
export const contentsText = (
  steps: ReadonlyArray<Step>,
  parts: ReadonlyArray<Part>,
  columns: number,
  paint: Paint,
): string =>
  PARTS.flatMap((part, place) =>
    parts.includes(part)
      ? [
          `${paint.heading(`${place + 1}. ${part.name}`)}: ${part.about}`,
          ...steps
            .filter(({ letter }) => letter === part.letter)
            .flatMap((step) => [
              `  ${mark(step.letter, step.number)}  ${cut(titleOf(step), columns - 9)}`,
              paint.faint(`         ${step.file}:${step.line}`),
            ]),
          "",
        ]
      : [],
  ).join("\n")
