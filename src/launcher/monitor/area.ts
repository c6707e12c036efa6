import type { Struct } from "../../machine/layout.ts"
import type { Ram } from "../../machine/ram.ts"
import type { Area, ModuleView } from "../../modules/index.ts"
import type { Subject } from "./subject.ts"
import { columns, hex, parseIndex } from "./text.ts"

/* `info pda`: a structure in the host's memory, field by field as `struct` has declared it. */

/** Arrays and fields that are structures themselves are only named. */
const WIDTHS = new Set([1, 2, 4, 8])

const fieldValue = (ram: Ram, pa: number, width: number): bigint => {
  let value = 0n
  for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(ram.read8(pa + i))
  return value
}

export const structRows = (
  ram: Ram,
  { fields }: Struct,
  pa: number,
  meaning: (field: string, value: bigint) => string | undefined,
): ReadonlyArray<ReadonlyArray<string>> =>
  Object.entries(fields).map(([name, { offset, width, count, doc }]) => {
    if (count !== 1 || !WIDTHS.has(width)) return [hex(offset, 12), name, `${width * count} bytes`, doc]
    const value = fieldValue(ram, pa + offset, width)
    const meant = meaning(name, value)
    return [hex(offset, 12), name, hex(value, 8 * width), meant === undefined ? doc : `${doc}: ${meant}`]
  })

const HEADING = ["offset", "field", "value", "meaning"]

const title = ({ struct, pa, va }: Area, what: string): string =>
  `${what}: ${struct.doc}, at ${hex(va)} (host-physical ${hex(pa)})`

export const infoPda = (subject: Subject, [which]: ReadonlyArray<string>): string => {
  const module: ModuleView = subject.requireModule("info pda")
  const { ram } = subject.inspection.machine
  const { tasks, cpus } = module.kernel
  const cpu = which === undefined ? subject.processorOf(subject.index) : parseIndex(which, cpus.length, "processor")
  const area = module.perProcessor(cpu)
  const vcpuOf = (va: bigint): number => module.vcpus.findIndex(({ descriptor }) => descriptor.va === va)
  const meaning = (field: string, value: bigint): string | undefined => {
    if (field === "current") {
      const pa = Number(value - module.directMap)
      const task = [...Array(tasks.count).keys()].find((pid) => !tasks.isFree(pid) && tasks.pa[pid] === pa)
      return task === undefined ? undefined : `task ${task} "${tasks.name(task)}"`
    }
    if (field !== "vcpu") return undefined
    return value === 0n ? "NULL, no guest runs here" : `virtual CPU ${vcpuOf(value)}`
  }
  const rows = structRows(ram, area.struct, area.pa, meaning)
  const out = [title(area, `processor ${cpu}`), columns([HEADING, ...rows])]
  const current = area.struct.fields["vcpu"]
  const vcpu = current === undefined ? -1 : vcpuOf(fieldValue(ram, area.pa + current.offset, current.width))
  if (vcpu >= 0) {
    const { descriptor } = module.vcpus[vcpu]!
    out.push("", title(descriptor, `virtual CPU ${vcpu}`))
    out.push(columns([HEADING, ...structRows(ram, descriptor.struct, descriptor.pa, () => undefined)]))
  }
  return out.join("\n")
}
