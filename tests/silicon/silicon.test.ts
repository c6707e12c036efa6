import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Native, unavailable } from "./native.ts"
import { type Verdict, consult } from "./oracle.ts"
import { Simulated } from "./simulated.ts"

/*
 * The real processor as the oracle: every integer instruction that ring 3 may execute, native and simulated, must agree
 * in every register, defined flag, memory word and fault. SILICON_CASES sets how many operand sets each encoding gets (default
 * 12, about half a minute; 200 is a thorough run of some minutes), SILICON_SEED another walk through the encodings.
 */
const operandSets = Number(process.env["SILICON_CASES"] ?? 12)
const seed = Number(process.env["SILICON_SEED"] ?? 2007)
const encodings = 24

const GROUPS: Readonly<Record<string, RegExp>> = {
  "arithmetic and logic": /^(add|or|adc|sbb|and|sub|xor|cmp|test|not|neg|inc|dec|xadd|cmpxchg\w*)$/,
  "multiplication and division": /^(mul|imul|div|idiv|cbw|cwde|cdqe|cwd|cdq|cqo)$/,
  "decimal arithmetic": /^(daa|das|aaa|aas|aam|aad)$/,
  "shifts and rotates": /^(shl|sal|shr|sar|rol|ror|rcl|rcr|shld|shrd)$/,
  bits: /^(bt|bts|btr|btc|bsf|bsr|bswap)$/,
  moves: /^(mov|movzx|movsx|movsxd|lea|xchg|xlatb|movnti|cmov\w+|set\w+)$/,
  strings: /^(movs|cmps|stos|lods|scas)[bwdq]$/,
  stack: /^(push|pop|pusha|pushad|popa|popad|enter|leave|pushfq?|pushfd|popfq?|popfd)$/,
  "near transfers": /^(ret|loop|loopn?e|j(?!mp$)\w+)$/,
  "near and far jumps and calls": /^(jmp|call)$/,
  "far returns and interrupts": /^(retf|iret|iretd|iretq|int|int1|int3|into|bound)$/,
  flags: /^(clc|stc|cmc|cld|std|lahf|sahf)$/,
  "segments and protection": /^(lds|les|lss|lfs|lgs|lar|lsl|verr|verw|arpl)$/,
  "privileged instructions":
    /^(cli|sti|hlt|in|out|ins[bwd]|outs[bwd]|clts|invd|wbinvd|invlpg|lgdt|lidt|lldt|ltr|lmsw|rdmsr|wrmsr|swapgs)$/,
  "what is no instruction": /^\(invalid\)$/,
}
const REST = "all others"

const missing = unavailable()
if (missing !== undefined) console.log(`the real processor is not asked: this test ${missing}`)

describe.skipIf(missing !== undefined)("the real processor agrees with the simulated one", () => {
  describe.each([64, 32, 16] as const)("in %i-bit code", (bitness) => {
    let native: Native
    let verdict: Verdict

    beforeAll(() => {
      native = new Native()
      verdict = consult(native, new Simulated(), { seed, bitness, encodings, operandSets })
    }, 3_600_000)
    afterAll(() => native.close())

    it("was asked about enough", () => {
      expect(verdict.cases).toBeGreaterThan(1000 * operandSets)
      expect(verdict.tried.size).toBeGreaterThan(150)
    })

    it.each([...Object.keys(GROUPS), REST])("%s", (group) => {
      const belongs = (mnemonic: string) =>
        group === REST ? !Object.values(GROUPS).some((g) => g.test(mnemonic)) : GROUPS[group]!.test(mnemonic)
      const wrong = [...verdict.differences.values()].filter((d) => belongs(d.mnemonic))
      expect(wrong.map((d) => `${d.mnemonic}: ${d.count} cases differ\n${d.examples.join("\n")}`).join("\n\n")).toBe("")
    })
  })
})
