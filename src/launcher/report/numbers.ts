/* Numbers as people read them. */

const PREFIXES = ["", "k", "M", "G", "T", "P"] as const

/** "12.5 M": three digits that count. */
export const short = (n: number): string => {
  if (n === 0) return "0"
  const power = Math.min(Math.max(Math.floor(Math.log10(Math.abs(n)) / 3), 0), PREFIXES.length - 1)
  const scaled = n / 1000 ** power
  const text = Number(scaled.toPrecision(3)).toString()
  return PREFIXES[power] === "" ? text : `${text} ${PREFIXES[power]}`
}

/** "12,500,000". */
export const whole = (n: number): string => Math.round(n).toLocaleString("en-US")

/** "1.5 ms". */
export const duration = (seconds: number): string =>
  seconds >= 1 || seconds === 0
    ? `${Number(seconds.toPrecision(4))} s`
    : seconds >= 1e-3
      ? `${Number((seconds * 1e3).toPrecision(4))} ms`
      : `${Number((seconds * 1e6).toPrecision(4))} µs`

/** "×1.25"; there is none to a first of 0. */
export const ratio = (n: number, first: number): string =>
  first === 0 ? (n === 0 ? "=" : "–") : n === first ? "=" : `×${Number((n / first).toPrecision(3))}`

export const percent = (part: number, total: number): string =>
  total === 0 ? "–" : `${Number(((part / total) * 100).toPrecision(3))} %`
