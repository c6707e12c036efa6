/*
 * The seven parts of the journey, as lguest's own documentation had them: the code tells it, in comments that begin with a
 * part's letter and a number, such as "H:030".
 */

export interface Part {
  readonly letter: string
  readonly name: string
  /** What the part is about, for the table of contents. */
  readonly about: string
}

export const PARTS: ReadonlyArray<Part> = [
  { letter: "P", name: "Preparation", about: "what this is, the words, and the machine that all of it stands on" },
  { letter: "G", name: "Guest", about: "a kernel that knows that it is not alone" },
  { letter: "D", name: "Drivers", about: "how a guest talks to devices that are a program" },
  { letter: "L", name: "Launcher", about: "the program that makes a guest and plays its hardware" },
  { letter: "H", name: "Host", about: "the kernel below, its modules, and the shadows that they cast" },
  { letter: "S", name: "Switcher", about: "the few hundred bytes in which worlds change" },
  { letter: "M", name: "Mastery", about: "how to break it, how it might have been otherwise, and what next" },
]

/** What a step is called: "H:030". */
export const mark = (letter: string, number: number): string => `${letter}:${String(number).padStart(3, "0")}`

/** One comment of the journey and the code that it stands on. */
export interface Step {
  readonly letter: string
  readonly number: number
  /** Relative to the repository, with slashes. */
  readonly file: string
  /** Line of the mark, from 1. */
  readonly line: number
  /** The comment without its delimiters and its mark. */
  readonly comment: ReadonlyArray<string>
  /** The code, and the line at which it begins. */
  readonly code: ReadonlyArray<string>
  readonly codeLine: number
  /** Lines that belong to the code and are not shown. */
  readonly more: number
}

/** In the order in which they are read. */
export const inOrder = (steps: ReadonlyArray<Step>): ReadonlyArray<Step> => {
  const place = ({ letter }: Step): number => PARTS.findIndex((part) => part.letter === letter)
  return [...steps].sort((a, b) => place(a) - place(b) || a.number - b.number)
}

/** The first sentence of a step: what it is called in the table of contents. */
export const titleOf = ({ comment }: Step): string => {
  const end = comment.findIndex((line) => line.trim() === "")
  const paragraph = comment
    .slice(0, end < 0 ? comment.length : end)
    .map((line) => line.trim())
    .join(" ")
    .replace(/^Part \d, \w+: /, "")
  return (/^.*?[.?!](?=\s|$)/.exec(paragraph)?.[0] ?? paragraph).replace(/[.:]$/, "")
}
