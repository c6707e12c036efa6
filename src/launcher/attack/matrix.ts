import type { Arch } from "../../design/dimensions.ts"
import { hanging } from "../designs/text.ts"
import type { Expected } from "./expected.ts"
import type { Attack } from "./registry.ts"
import type { Verdict } from "./verdict.ts"

/* The result of `designs attack`: a matrix, and below it what was gained. */

export type Outcome = Verdict | { readonly kind: "not-applicable"; readonly reason: string }

export interface Cell {
  readonly attack: Attack
  readonly outcome: Outcome
  readonly expected: Expected | undefined
  /** What the design expects of itself has not come true. */
  readonly surprising: boolean
}

export interface Row {
  readonly design: string
  readonly title: string
  readonly arch: Arch
  readonly cells: ReadonlyArray<Cell>
}

const SYMBOL: Readonly<Record<Outcome["kind"], string>> = {
  withstood: ".",
  breached: "B",
  killed: "k",
  "not-applicable": " ",
}
const LEGEND = [
  ".  withstood: it came to nothing",
  "k  the guest was killed, and nobody else has noticed",
  "B  breached: told below",
  "   (empty) it takes virtual CPUs that the design does not have",
  "*  not what the design expects of itself",
]
const COLUMN = 3

/** One architecture's designs: an attack in each line, a design in each column. */
const matrixOf = (rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  const attacks = rows[0]!.cells.map(({ attack }) => attack)
  const width = Math.max(...attacks.map(({ name }) => name.length)) + 1
  const number = (i: number) => String(i + 1).padStart(COLUMN - 1) + " "
  return [
    ...rows.map(({ design, title }, i) => `${number(i)} ${design}: ${title}`),
    "",
    `${rows[0]!.arch.padEnd(width)}${rows.map((_, i) => number(i)).join("")}`.trimEnd(),
    ...attacks.map((attack, a) => {
      const cells = rows.map(({ cells }) => {
        const { outcome, surprising } = cells[a]!
        return ` ${SYMBOL[outcome.kind]}${surprising ? "*" : " "}`
      })
      return `${attack.name.padEnd(width)}${cells.join("")}`.trimEnd()
    }),
  ]
}

const inWords = (expected: Expected): string => {
  if (expected.kind === "breached") return `breached (${expected.gains.join("; ")})`
  return expected.kind === "harmless" ? "nothing gained" : expected.kind
}

const told = ({ attack, outcome, expected, surprising }: Cell, width: number): ReadonlyArray<string> => {
  const head = `    ${attack.name}: `
  const lines = outcome.kind === "breached" ? hanging(head, outcome.gains.join("; "), width) : []
  if (!surprising || expected === undefined) return lines
  const reason = outcome.kind === "killed" ? ` (${outcome.reason})` : ""
  return [...lines, ...hanging(head, `expected: ${inWords(expected)}; it is ${outcome.kind}${reason}`, width)]
}

export const matrixText = (rows: ReadonlyArray<Row>, width: number): string => {
  const archs = [...new Set(rows.map(({ arch }) => arch))]
  const gains = rows.flatMap((row) => {
    const lines = row.cells.flatMap((cell) => told(cell, width))
    return lines.length === 0 ? [] : [`  ${row.design}`, ...lines]
  })
  return [
    ...archs.flatMap((arch) => [...matrixOf(rows.filter((row) => row.arch === arch)), ""]),
    ...LEGEND,
    ...(gains.length === 0 ? [] : ["", "What was gained", ...gains]),
  ].join("\n")
}

export const matrixJson = (rows: ReadonlyArray<Row>, seed: number): string =>
  JSON.stringify(
    {
      kind: "lguest64 designs attack",
      version: 1,
      seed,
      designs: rows.map(({ design, title, arch, cells }) => ({
        design,
        title,
        arch,
        attacks: cells.map(({ attack, outcome, expected, surprising }) => ({
          attack: attack.name,
          side: attack.side,
          text: attack.text,
          outcome,
          ...(expected === undefined ? {} : { expected }),
          surprising,
        })),
      })),
    },
    null,
    2,
  )
