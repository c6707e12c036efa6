/*
 * Colours for code, lightly: comments, strings and numbers are told from the rest, and what is said in words stands out from
 * what is done. By lines, in which a comment may have begun before.
 */

export interface Paint {
  readonly heading: (text: string) => string
  readonly prose: (text: string) => string
  readonly comment: (text: string) => string
  readonly literal: (text: string) => string
  readonly faint: (text: string) => string
}

const same = (text: string): string => text

export const PLAIN: Paint = { heading: same, prose: same, comment: same, literal: same, faint: same }

const sgr =
  (codes: string) =>
  (text: string): string =>
    text === "" ? "" : `\x1b[${codes}m${text}\x1b[0m`

export const COLOURED: Paint = {
  heading: sgr("1;33"),
  prose: sgr("1"),
  comment: sgr("32"),
  literal: sgr("36"),
  faint: sgr("2"),
}

const TOKEN =
  /\/\*|\/\/.*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|(?<![\w.])\$?0x[\da-f_]+|(?<![\w.])\$?\d[\d_]*\b/gi

/** Colours lines of code that belong together. */
export const highlight = (lines: ReadonlyArray<string>, paint: Paint): ReadonlyArray<string> => {
  let inComment = false
  return lines.map((line) => {
    let out = ""
    let at = 0
    while (at < line.length) {
      if (inComment) {
        const close = line.indexOf("*/", at)
        const end = close < 0 ? line.length : close + 2
        out += paint.comment(line.slice(at, end))
        inComment = close < 0
        at = end
        continue
      }
      TOKEN.lastIndex = at
      const token = TOKEN.exec(line)
      out += line.slice(at, token?.index ?? line.length)
      if (token === null) break
      const [text] = token
      at = token.index + text.length
      if (text === "/*") {
        inComment = true
        at = token.index
        const close = line.indexOf("*/", at + 2)
        const end = close < 0 ? line.length : close + 2
        out += paint.comment(line.slice(at, end))
        inComment = close < 0
        at = end
      } else out += text.startsWith("//") ? paint.comment(text) : paint.literal(text)
    }
    return out
  })
}
