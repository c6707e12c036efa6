/* Numbers in and out of the monitor's text: addresses in hexadecimal, with the width that they have. */

/** What is wrong with a command, in one line; it becomes the answer. */
export class MonitorError extends Error {
  override readonly name = "MonitorError"
}

export const fail = (message: string): never => {
  throw new MonitorError(message)
}

/** 0x and the digits of `bits` bits; without a width as many as there are. */
export const hex = (value: number | bigint, bits = 0): string => `0x${value.toString(16).padStart(bits / 4, "0")}`

/** Decimal, or hexadecimal with 0x; undefined: it is no number of up to 64 bits. */
export const parseNumber = (text: string): bigint | undefined => {
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(text)) return undefined
  const value = BigInt(text)
  return value < 1n << 64n ? value : undefined
}

/** One of the numbers 0..`count` - 1. */
export const parseIndex = (text: string, count: number, what: string): number => {
  const value = parseNumber(text) ?? fail(`"${text}" is no number`)
  if (value >= BigInt(count)) fail(`no such ${what} ${value}: there ${count === 1 ? "is 0" : `are 0..${count - 1}`}`)
  return Number(value)
}

/** Names of the bits that are set, by bit number; others as `bit N`. */
export const bitNames = (value: bigint, names: Readonly<Record<number, string>>, bits = 64): ReadonlyArray<string> => {
  const found: string[] = []
  for (let bit = 0; bit < bits; bit++) if (((value >> BigInt(bit)) & 1n) !== 0n) found.push(names[bit] ?? `bit ${bit}`)
  return found
}

export const bracketed = (names: ReadonlyArray<string>): string => `[${names.join(" ")}]`

/** Rows with their columns aligned; the first is the heading. Numbers and hexadecimal go to the right. */
export const columns = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)))
  const numeric = widths.map((_, i) => rows.slice(1).every((row) => /^(-?[\d.]+|)$/.test(row[i] ?? "")))
  return rows
    .map((row) =>
      row
        .map((cell, i) => (numeric[i] === true ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"] as const

/** 4096n: "4 KiB"; in the largest unit of which it is a whole number. */
export const sizeOf = (bytes: bigint): string => {
  let value = bytes
  let unit = 0
  while (unit < UNITS.length - 1 && value !== 0n && value % 1024n === 0n) {
    value /= 1024n
    unit++
  }
  return `${value} ${UNITS[unit]}`
}

/** "1 entry", "2 entries". */
export const counted = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`
