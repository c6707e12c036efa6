/*
 * HTML that a hostile string cannot get out of. A template's values are escaped unless they are Html, and Html is made here only:
 * by `html` itself, and by `trusted` from text that is ours.
 */

export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

type Value = Html | string | number | undefined | ReadonlyArray<Html>

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
}

/** For text and for attributes in quotes. Control and bidirectional format characters become visible, as nothing good. */
export const escape = (text: string): string =>
  text
    .replace(/(?![\n\t])[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "\ufffd")
    .replace(/[&<>"']/g, (c) => ESCAPES[c]!)

const toText = (value: Value): string =>
  value === undefined
    ? ""
    : value instanceof Html
      ? value.text
      : typeof value === "object"
        ? value.map((part) => part.text).join("")
        : escape(String(value))

export const html = (strings: TemplateStringsArray, ...values: ReadonlyArray<Value>): Html =>
  new Html(strings.reduce((text, string, i) => text + toText(values[i - 1]) + string))

/** Markup of our own making. */
export const trusted = (text: string): Html => new Html(text)

/** At most `most` characters. */
export const clip = (text: string, most: number): string => {
  const characters = Array.from(text.slice(0, 2 * most + 2))
  return characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : text
}
