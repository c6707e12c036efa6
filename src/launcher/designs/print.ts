import { defaultChoices, DIMENSIONS } from "../../design/dimensions.ts"
import { type AttackClaims, gainsOf, namedIn, type Relation } from "./expects.ts"
import type { DesignFile } from "./file.ts"
import { align, hanging, paragraphs } from "./text.ts"

/* `lguest64 designs list` and `show`. */

/** "ring 1, spaces one": the answers that are not the default's. */
export const differences = ({ choices }: DesignFile): string => {
  const usual = defaultChoices(choices.arch)
  return DIMENSIONS.filter(({ key }) => choices[key] !== usual[key])
    .map(({ key }) => `${key} ${choices[key]}`)
    .join(", ")
}

export const listText = (designs: ReadonlyArray<DesignFile>, width: number): string => {
  const heads = align([
    ["NAME", "ARCH", "TITLE", ""],
    ...designs.map(({ name, choices, title }) => [name, choices.arch, title, ""]),
  ])
  // The last column begins where the longest title ends.
  const indent = Math.max(...heads.map((head) => head.length)) + 2
  const [first, ...rest] = heads.map((head) => head.padEnd(indent))
  return [
    `${first}DIFFERS FROM THE DEFAULT IN`,
    ...rest.flatMap((head, i) => hanging(head, differences(designs[i]!) || "nothing: it is the default", width)),
  ].join("\n")
}

const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

const inWords: Readonly<Record<Relation, (count: string, than: string) => string>> = {
  lower: (count, than) => `lower ${count} than ${than}`,
  higher: (count, than) => `higher ${count} than ${than}`,
  same: (count, than) => `the same ${count} as ${than}`,
}

const likeness = (own: AttackClaims | undefined): ReadonlyArray<readonly [string, string]> => {
  if (own?.like === undefined) return []
  const others = namedIn(own).map(({ name }) => name)
  return [[`attacks as on ${own.like}`, others.length === 0 ? "" : `, but for ${others.join(", ")}`]]
}

const claims = ({ expects }: DesignFile): ReadonlyArray<readonly [string, string]> => {
  const { own, withstands, killed, harmless, breached, counts } = expects
  const list = (claim: string, names: ReadonlyArray<string>): ReadonlyArray<readonly [string, string]> =>
    names.length === 0 ? [] : [[`${claim}: `, names.join(", ")]]
  return [
    ...likeness(own),
    ...list("withstands", withstands),
    ...list("cost the guest its life", killed),
    ...list("nothing, or the guest's life, as its virtual CPUs' turns fall", harmless),
    ...Object.entries(breached).map(
      ([attack, breach]) =>
        [`is breached by ${attack}: `, `${gainsOf(breach).join("; ")}. ${sentence(breach.why)}`] as const,
    ),
    ...counts.map(
      ({ count, workload, relation, than, why }) => [`${workload}: ${inWords[relation](count, than)}: `, why] as const,
    ),
  ]
}

const INDENT = "  "

export const showText = (design: DesignFile, width: number): string => {
  const { name, title, choices, argument } = design
  const usual = defaultChoices(choices.arch)
  const keys = Math.max(...DIMENSIONS.map(({ key }) => key.length))
  const answers = Math.max(...DIMENSIONS.map(({ key }) => String(choices[key]).length))
  const lines = DIMENSIONS.flatMap(({ key, alternatives }) => {
    const answer = String(choices[key])
    const mark = choices[key] === usual[key] ? " " : "*"
    const head = `${mark} ${key.padEnd(keys)}  ${answer.padEnd(answers)}  `
    return hanging(head, alternatives.find((alternative) => alternative.name === answer)?.text ?? "", width)
  })
  const expected = claims(design).flatMap(([claim, why]) =>
    hanging(INDENT, `${claim}${why}`, width - INDENT.length).map((line, i) => (i === 0 ? line : INDENT + line)),
  )
  return [
    `${name}: ${title} (${choices.arch})`,
    "",
    "Its answers (* where they are not the default's)",
    ...lines,
    "",
    "The argument",
    ...paragraphs(argument, width - INDENT.length).map((line) => (line === "" ? "" : INDENT + line)),
    "",
    "What it expects of itself",
    ...(expected.length === 0 ? [`${INDENT}nothing`] : expected),
  ].join("\n")
}
