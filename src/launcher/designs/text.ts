/* Text in columns, for terminals and files of any width. */

/** Words in lines of at most `width` characters; a longer word has a line of its own. */
export const wrap = (text: string, width: number): ReadonlyArray<string> => {
  const lines: string[] = []
  let line = ""
  for (const word of text.split(/\s+/).filter((w) => w !== "")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === "" ? word : `${line} ${word}`
  }
  return line === "" ? lines : [...lines, line]
}

/** Paragraphs, which empty lines separate, each wrapped. */
export const paragraphs = (text: string, width: number): ReadonlyArray<string> =>
  text.split(/\n\s*\n/).flatMap((paragraph, i) => [...(i === 0 ? [] : [""]), ...wrap(paragraph, width)])

/** A head, and behind it text that is wrapped and hangs below its own beginning. */
export const hanging = (head: string, text: string, width: number): ReadonlyArray<string> => {
  const lines = wrap(text, Math.max(20, width - head.length))
  return lines.length === 0 ? [head.trimEnd()] : lines.map((l, i) => (i === 0 ? head : " ".repeat(head.length)) + l)
}

/** Cells under each other; numbers to the right. The last column may be as long as it likes. */
export const align = (
  rows: ReadonlyArray<ReadonlyArray<string>>,
  right: (column: number) => boolean = () => false,
): ReadonlyArray<string> => {
  const columns = Math.max(0, ...rows.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, c) => Math.max(0, ...rows.map((row) => row[c]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, c) => (right(c) ? cell.padStart(widths[c]!) : cell.padEnd(widths[c]!)))
      .join("  ")
      .trimEnd(),
  )
}
