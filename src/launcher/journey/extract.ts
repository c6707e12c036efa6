import { PARTS, type Step } from "./parts.ts"

/*
 * From a source file to its steps. Works by lines, for TypeScript, AssemblyScript, C and assembly alike: the formatters keep all
 * of them in a shape in which indentation says what belongs together.
 *
 * A mark is the first thing in a comment. The code of a step begins at the first line behind the comment that is neither blank
 * nor an import, and ends
 *   - before the next mark, or a line with less indentation than its first (which says nothing in assembly);
 *   - before a blank line behind which nothing deeper follows (in assembly: no mere instruction), so that it is a whole
 *     function, or the paragraph it begins with;
 *   - before the next documented declaration on the same level;
 *   - before a comment that says "H:030 ends.", where none of these is what is meant.
 * A comment at the top of a file, or one that a blank line or imports part from the code, stands on more than one declaration:
 * its code goes on with whole paragraphs until there is something to look at.
 */

/** More lines than that nobody reads in one piece: they end at a blank line before, and the rest is counted. */
export const LONGEST_CODE = 64
/** A comment that opens a file or is parted from the code stands on that many lines at least, if there are as many. */
const ENOUGH_CODE = 20

export interface Fault {
  readonly file: string
  readonly line: number
  readonly problem: string
}

/** Another step's mark within a comment. */
export interface Reference {
  readonly file: string
  readonly line: number
  readonly mark: string
}

export interface Extract {
  readonly steps: ReadonlyArray<Step>
  readonly references: ReadonlyArray<Reference>
  readonly faults: ReadonlyArray<Fault>
}

interface Comment {
  /** Indices of its first line and of the line behind it. */
  readonly start: number
  readonly end: number
  /** Its lines without delimiters; the first that is not empty is at `first`. */
  readonly text: ReadonlyArray<string>
  readonly first: number
}

const LETTERS = PARTS.map(({ letter }) => letter).join("")
const MARK = new RegExp(`^([${LETTERS}]):(\\d{3})(?: (.*))?$`)
const END = new RegExp(`^([${LETTERS}]):(\\d{3}) ends\\.$`)
/** What only a slip of a mark looks like, at the start of a comment. */
const SLIP = new RegExp(
  `^(?:[A-Z] ?[:;] ?\\d{3,4}\\b|[A-Z]:\\d\\d\\b|[${LETTERS.toLowerCase()}]:\\d{3}\\b|[${LETTERS}]\\d{3}\\b|` +
    `\\[?(?:${PARTS.map(({ name }) => name).join("|")}) \\d{3}\\b)`,
)
const REFERENCE = /(?<![\w:])[A-Z]:\d{2,4}(?!\w)/g

const indentOf = (line: string): number => line.length - line.trimStart().length
const isBlank = (line: string): boolean => line.trim() === ""
const isImport = (line: string): boolean =>
  /^(?:#include|#pragma|#!|import\b|\} from )/.test(line) || /^export (?:type )?(?:\*|\{[^}]*\}) from /.test(line)

/** The first line from `from` on that is neither blank nor of an import, or `stop`. */
const endOfImports = (lines: ReadonlyArray<string>, from: number, stop: number): number => {
  let inImport = false
  for (let i = from; i < stop; i++) {
    const line = lines[i]!
    if (!isBlank(line) && !isImport(line) && !inImport) return i
    inImport = inImport ? !/^\} from /.test(line) : /^(?:import|export)\b[^}]*\{$/.test(line) && isImport(line)
  }
  return stop
}

/** The comments that begin a line. */
const commentsOf = (lines: ReadonlyArray<string>): ReadonlyArray<Comment> => {
  const comments: Array<Comment> = []
  const add = (start: number, end: number, text: ReadonlyArray<string>): void => {
    const first = text.findIndex((line) => line.trim() !== "")
    comments.push({ start, end, text, first: first < 0 ? 0 : first })
  }
  for (let i = 0; i < lines.length;) {
    const line = lines[i]!.trimStart()
    const start = i
    if (line.startsWith("//")) {
      const isNew = (at: number): boolean => at > start && MARK.test(lines[at]!.trimStart().replace(/^\/\/ ?/, ""))
      while (i < lines.length && lines[i]!.trimStart().startsWith("//") && !isNew(i)) i++
      const text = lines.slice(start, i).map((l) => l.trimStart().replace(/^\/\/+ ?/, ""))
      add(start, i, text)
    } else if (line.startsWith("/*")) {
      while (i < lines.length - 1 && !lines[i]!.includes("*/")) i++
      i++
      const text = lines
        .slice(start, i)
        .map((l, n) =>
          (n === 0 ? l.trimStart().replace(/^\/\*+ ?/, "") : l.replace(/^\s*\*(?!\/) ?/, "")).replace(
            /\s*\*+\/.*$/,
            "",
          ),
        )
      add(start, i, text)
    } else i++
  }
  return comments
}

/** An instruction, a comment on some, or a label of a few instructions' reach: what goes on behind a blank line. */
const isInstruction = (line: string): boolean => /^(?:\s+(?:[a-z]|\/\*)|\d+:)/.test(line)

/** Index of the line behind the code that begins at `from`. */
const endOfCode = (lines: ReadonlyArray<string>, from: number, stop: number, assembly: boolean): number => {
  const indent = assembly ? 0 : indentOf(lines[from]!)
  let inCode = false
  for (let i = from; i < stop; i++) {
    const line = lines[i]!
    if (isBlank(line)) {
      const next = lines.findIndex((l, n) => n > i && !isBlank(l))
      if (next < 0 || next >= stop) return i
      const deeper = indentOf(lines[next]!) > indent
      const closes = indentOf(lines[next]!) === indent && /^[\])}]/.test(lines[next]!.trimStart())
      if (inCode && !closes && !(assembly ? isInstruction(lines[next]!) : deeper)) return i
      continue
    }
    if (indentOf(line) < indent) return i
    const isComment = /^\/[*/]/.test(line.trimStart())
    if (inCode && indentOf(line) === indent && line.trimStart().startsWith("/**")) return i
    inCode ||= !isComment && !/^\*/.test(line.trimStart())
  }
  return stop
}

/** Likewise for a comment that is parted from it: whole paragraphs, of one level, until it is enough. */
const endOfParagraphs = (lines: ReadonlyArray<string>, from: number, stop: number, assembly: boolean): number => {
  let end = endOfCode(lines, from, stop, assembly)
  for (;;) {
    let next = end
    while (next < stop && isBlank(lines[next]!)) next++
    if (end - from >= ENOUGH_CODE || next >= stop || indentOf(lines[next]!) < indentOf(lines[from]!)) return end
    const after = endOfCode(lines, next, stop, assembly)
    if (after - from > LONGEST_CODE && end - from >= ENOUGH_CODE / 2) return end
    end = after
  }
}

/** The steps of one file, what its comments refer to, and what looks wrong in it. */
export const extract = (file: string, source: string): Extract => {
  const lines = source.split("\n")
  const comments = commentsOf(lines)
  const heads = comments.map((comment) => ({ ...comment, head: comment.text[comment.first]?.trim() ?? "" }))
  const marked = heads.filter(({ head }) => MARK.test(head) && !END.test(head))
  const ends = heads.filter(({ head }) => END.test(head))
  const faults: Array<Fault> = []
  const heading = endOfImports(lines, 0, lines.length)
  const steps = marked.map((comment, n): Step => {
    const [, letter = "", digits = "", rest = ""] = MARK.exec(comment.head)!
    const own = ends.find(({ head, start }) => start > comment.start && head.startsWith(`${letter}:${digits}`))
    const stop = Math.min(marked[n + 1]?.start ?? lines.length, own?.start ?? lines.length)
    const from = endOfImports(lines, comment.end, stop)
    const opens = comment.start === heading && !lines[comment.start]!.startsWith("/**")
    const endOf = opens || from > comment.end ? endOfParagraphs : endOfCode
    let end = from >= stop ? from : own === undefined ? endOf(lines, from, stop, file.endsWith(".S")) : stop
    const whole = end
    if (own === undefined && end - from > LONGEST_CODE) {
      end = from + LONGEST_CODE
      while (end > from + LONGEST_CODE / 2 && !isBlank(lines[end]!)) end--
      if (!isBlank(lines[end]!)) end = from + LONGEST_CODE
    }
    while (end > from && isBlank(lines[end - 1]!)) end--
    const text = [rest, ...comment.text.slice(comment.first + 1)]
    while (text.length > 0 && isBlank(text[text.length - 1]!)) text.pop()
    return {
      letter,
      number: Number(digits),
      file,
      line: comment.start + comment.first + 1,
      comment: text.map((line) => line.trimEnd()),
      code: lines.slice(from, end),
      codeLine: from + 1,
      more: end === whole ? 0 : lines.slice(end, whole).filter((line) => !isBlank(line)).length,
    }
  })
  const references = comments.flatMap(({ start, first, text }) =>
    text.flatMap((line, n) =>
      [...(n === first ? line.trim().replace(MARK, "$3") : line).matchAll(REFERENCE)].map(([mark]) => ({
        file,
        line: start + n + 1,
        mark,
      })),
    ),
  )
  for (const { head, start, first } of heads)
    if (SLIP.test(head) && !MARK.test(head))
      faults.push({ file, line: start + first + 1, problem: `"${head.slice(0, 24)}" is nearly a mark: H:030 is one` })
  for (const { head, start, first } of ends) {
    const [mark] = head.split(" ")
    const begun = marked.some((comment) => comment.start < start && comment.head.startsWith(mark!))
    if (!begun) faults.push({ file, line: start + first + 1, problem: `${mark} ends and has not begun in this file` })
  }
  return { steps, references, faults }
}
