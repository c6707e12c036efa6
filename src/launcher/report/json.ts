/*
 * Where a text ceases to be JSON (RFC 8259). JSON.parse decides whether it is; what its error says of the place differs between
 * versions of V8, and for some errors it says nothing.
 */

const SPACE = /[\t\n\r ]*/y
const SCALAR = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
// One character after the other, without a group to come back to: V8 has no room for a million of them.
const STRING_PART = /[^"\\\u0000-\u001f]+|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})/y

class Scanner {
  private readonly text: string
  at = 0

  constructor(text: string) {
    this.text = text
  }

  private match(pattern: RegExp): boolean {
    pattern.lastIndex = this.at
    const length = pattern.exec(this.text)?.[0].length
    if (length !== undefined) this.at += length
    return length !== undefined
  }

  take(token: string): boolean {
    this.match(SPACE)
    if (!this.text.startsWith(token, this.at)) return false
    this.at += token.length
    return true
  }

  string(): boolean {
    if (!this.take('"')) return false
    while (this.match(STRING_PART));
    if (this.text[this.at] !== '"') return false
    this.at++
    return true
  }

  scalar(): boolean {
    this.match(SPACE)
    return this.match(SCALAR) || this.string()
  }

  get ended(): boolean {
    this.match(SPACE)
    return this.at === this.text.length
  }
}

/** Index of the first character that cannot stand where it is; the text's length if it ends too early, or is JSON. */
export const breaksAt = (text: string): number => {
  const s = new Scanner(text)
  /** What closes the arrays and objects that are open. */
  const open: Array<"]" | "}"> = []
  const key = () => s.string() && s.take(":")
  for (;;) {
    // A value: down to the first that is not another beginning.
    for (;;) {
      if (s.take("[")) {
        if (s.take("]")) break
        open.push("]")
      } else if (s.take("{")) {
        if (s.take("}")) break
        open.push("}")
        if (!key()) return s.at
      } else if (s.scalar()) break
      else return s.at
    }
    // What follows it: ends, then perhaps a comma.
    while (open.length > 0 && s.take(open.at(-1)!)) open.pop()
    if (open.length === 0) return s.ended ? text.length : s.at
    if (!s.take(",")) return s.at
    if (open.at(-1) === "}" && !key()) return s.at
  }
}
