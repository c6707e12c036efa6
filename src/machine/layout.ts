/*
 * Layouts are data, once. A structure that lies in simulated memory is declared with `struct`; from that one
 * declaration come the offsets that TypeScript uses, the symbols that the assembler sources include, the C header of
 * the guests and the debugger's dump.
 */

export interface Field {
  /** Byte offset from the start of the structure. */
  readonly offset: number
  /** Bytes of one element. */
  readonly width: number
  /** Number of elements; 1 where the field is no array. */
  readonly count: number
  readonly doc: string
}

export interface Struct<F extends Record<string, Field> = Record<string, Field>> {
  /** The C name, such as `lguest_data`. */
  readonly name: string
  /** Prefix of the assembler and C symbols, such as `LGUEST_DATA`. */
  readonly prefix: string
  readonly doc: string
  readonly fields: F
  /** Bytes. */
  readonly size: number
}

/** One field: `at(0x10, 8, "…")`; an array with a count. */
export const at = (offset: number, width: number, doc: string, count = 1): Field => ({ offset, width, count, doc })

/**
 * P:160 Machine code, TypeScript and C all read the same structures, so each is declared once, as data, and everybody's
 * offsets come from here. If you want to know what anything in memory looks like, look for `struct(`.
 *
 * Declares a structure, and refuses one whose fields overlap or pass its end.
 */
export const struct = <F extends Record<string, Field>>(
  name: string,
  prefix: string,
  size: number,
  doc: string,
  fields: F,
): Struct<F> => {
  const sorted = Object.entries(fields).sort(([, a], [, b]) => a.offset - b.offset)
  let end = 0
  let last = "the start"
  for (const [field, { offset, width, count }] of sorted) {
    if (offset < end) throw new Error(`${name}.${field} at ${offset} overlaps ${last}, which ends at ${end}`)
    end = offset + width * count
    last = field
  }
  if (end > size) throw new Error(`${name}.${last} ends at ${end}, past the structure's ${size} bytes`)
  return { name, prefix, doc, fields, size }
}

const symbol = (prefix: string, field: string) =>
  `${prefix}_${field.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toUpperCase()}`

/** As a C programmer says it: u64, or u8[64]. */
const type = ({ width, count }: Field): string => `u${8 * width}${count === 1 ? "" : `[${count}]`}`

/** `#define PDA_VCPU 0x10` lines, for assembler and C alike. */
export const defines = (s: Struct): string =>
  [
    `/* ${s.doc} */`,
    ...Object.entries(s.fields).map(
      ([name, f]) =>
        `#define ${symbol(s.prefix, name).padEnd(40)} 0x${f.offset.toString(16)} /* ${type(f)}: ${f.doc} */`,
    ),
    `#define ${(s.prefix + "_SIZE").padEnd(40)} 0x${s.size.toString(16)}`,
    "",
  ].join("\n")
