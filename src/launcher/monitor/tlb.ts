import { tlbEntries } from "../../machine/tlbEntries.ts"
import type { Subject } from "./subject.ts"
import { columns, counted, hex, parseIndex } from "./text.ts"

/* `info tlb`: what a simulated processor remembers of the page tables that it has walked. */

export const infoTlb = (subject: Subject, [which]: ReadonlyArray<string>): string => {
  const { inspection, processors } = subject
  const cpu =
    which === undefined ? subject.processorOf(subject.index) : parseIndex(which, processors.length, "processor")
  const entries = tlbEntries(inspection.machine, cpu)
  const title = `the TLB of processor ${cpu} holds ${counted(entries.length, "entry", "entries")}`
  if (entries.length === 0) return title
  const rows = entries.map(({ half, linear, physical, write, execute, global, large }) => [
    half,
    hex(linear, subject.bits),
    hex(physical, 32),
    `r${write ? "w" : "-"}${execute ? "x" : "-"}`,
    [global ? "global" : "", large ? "large" : ""].filter((word) => word !== "").join(" "),
    subject.owner(physical),
  ])
  return `${title}\n${columns([["rights of", "linear page", "physical", "may", "", "memory"], ...rows])}`
}
