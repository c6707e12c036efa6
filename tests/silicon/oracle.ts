import { CaseWriter } from "./cases.ts"
import { describeCase, differences } from "./compare.ts"
import { RESULT, TEST } from "./layout.ts"
import type { Native } from "./native.ts"
import { Random } from "./random.ts"
import type { Simulated } from "./simulated.ts"
import { type Bitness, type Template, templates } from "./templates.ts"

/* Runs a great number of cases on both processors and gathers where they differ. */

export interface Plan {
  readonly seed: number
  readonly bitness: Bitness
  /** Encodings tried for each opcode, and operand sets tried for each encoding. */
  readonly encodings: number
  readonly operandSets: number
}

export interface Difference {
  readonly mnemonic: string
  readonly count: number
  /** The first few, in full. */
  readonly examples: ReadonlyArray<string>
}

export interface Verdict {
  readonly cases: number
  /** Cases by mnemonic. */
  readonly tried: ReadonlyMap<string, number>
  readonly differences: ReadonlyMap<string, Difference>
}

const BATCH = 16384
const EXAMPLES = 3

export const consult = (native: Native, simulated: Simulated, plan: Plan): Verdict => {
  const random = new Random(plan.seed)
  const writer = new CaseWriter(random, BATCH)
  const tried = new Map<string, number>()
  const found = new Map<string, { mnemonic: string; count: number; examples: string[] }>()
  let batch: Template[] = []
  let total = 0

  const run = () => {
    const count = batch.length
    const real = native.run(writer.bytes, count)
    const ours = new Uint8Array(count * RESULT.size)
    const tests = new DataView(writer.bytes.buffer, 0, count * TEST.size)
    const oursView = new DataView(ours.buffer)
    for (let i = 0; i < count; i++) simulated.run(tests, oursView, i)
    const realView = new DataView(real.buffer)
    const realWords = new Uint32Array(real.buffer)
    const ourWords = new Uint32Array(ours.buffer)
    batch.forEach((t, i) => {
      tried.set(t.mnemonic, (tried.get(t.mnemonic) ?? 0) + 1)
      const fields = differences(t, tests, realWords, ourWords, i)
      if (fields.length === 0) return
      const group = found.get(t.mnemonic) ?? { mnemonic: t.mnemonic, count: 0, examples: [] }
      found.set(t.mnemonic, group)
      group.count++
      if (group.examples.length < EXAMPLES) group.examples.push(describeCase(t, tests, realView, oursView, i, fields))
    })
    total += count
    batch = []
  }

  for (const template of templates(random, plan.bitness, plan.encodings)) {
    const sets = template.valid ? plan.operandSets : 1
    for (let i = 0; i < sets; i++) {
      writer.write(batch.length, template)
      batch.push(template)
      if (batch.length === BATCH) run()
    }
  }
  if (batch.length > 0) run()
  return { cases: total, tried, differences: found }
}
