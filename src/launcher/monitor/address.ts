import { REGISTER_NAMES, type RegisterName } from "../../machine/inspection.ts"
import type { Subject } from "./subject.ts"
import { fail, parseNumber } from "./text.ts"

/* Addresses as a person writes them: 0x1000, 4096, $rsp, $rip+0x10, $rbp-8. */

const NAMES = new Set<string>(REGISTER_NAMES)

/** $rip and $eip, $pc and $sp: the register by our name for it. */
const registerOf = (name: string): RegisterName | undefined => {
  const known = ({ pc: "rip", sp: "rsp", rflags: "eflags" } as const)[name]
  if (known !== undefined) return known
  const long = /^e(?:[a-d]x|[sd]i|[sb]p|ip)$/.test(name) ? `r${name.slice(1)}` : name
  return NAMES.has(long) ? (long as RegisterName) : undefined
}

const term = (text: string, subject: Subject): bigint => {
  if (!text.startsWith("$")) return parseNumber(text) ?? fail(`"${text}" is no address: a number or a $register`)
  const name = registerOf(text.slice(1).toLowerCase())
  return name === undefined ? fail(`no such register ${text}`) : subject.register(name)
}

/** The value, modulo the guest's word. */
export const parseAddress = (text: string, subject: Subject): bigint => {
  const parts = text.split(/(?=[+-])/)
  let sum = 0n
  for (const part of parts) {
    const negative = part.startsWith("-")
    const value = term(part.replace(/^[+-]/, ""), subject)
    sum += negative ? -value : value
  }
  return BigInt.asUintN(subject.bits, sum)
}
