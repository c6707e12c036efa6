import type { Choices } from "../../design/dimensions.ts"
import { EventLog } from "../../host/eventLog.ts"
import { machineCode } from "../../host/machineCode.ts"
import type { LguestDevice } from "../../host/devLguest.ts"
import { cpuAddress, descriptorAddress, fixed } from "../../host/x86_64/fixedArea.ts"
import * as L from "../../host/x86_64/layout.ts"
import type { VcpuPages } from "../../host/x86_64/vcpuPages.ts"
import {
  CR0,
  CR3,
  CR4,
  GDTR_BASE,
  IDTR_BASE,
  MSR_EFER,
  MSR_LSTAR,
  MSR_SFMASK,
  MSR_STAR,
} from "../../machine/core/state.ts"
import type { Field } from "../../machine/layout.ts"
import type { Ram } from "../../machine/ram.ts"
import { bootLguest64 } from "../../modules/lguest64/boot.ts"
import type { Hosted } from "../../modules/hosted.ts"
import { CALL_PAGE_OFFSET } from "../../paravirt_ops/lguest64.ts"
import { PDA } from "../../pda/index.ts"
import { VCPU } from "../../vcpu/descriptor.ts"
import type { Span } from "./guard.ts"
import { code, symbols } from "./image64.gen.ts"
import type { HostPage, Platform } from "./platform.ts"

/* The x86_64 host as an attacker and a guard see it. */

const PAGE = 4096
const PRESENT = 1
const LARGE = 0x80
const ENTRIES = 512

/** Calls `found` for each 4 KiB page that the table at `pa`, of `level`, maps, with its address relative to the table's. */
const walk = (ram: Ram, pa: number, level: number, va: bigint, found: (va: bigint, pa: number) => void): void => {
  for (let i = 0; i < ENTRIES; i++) {
    // All memory of this machine lies below 4 GiB.
    const entry = ram.read32(pa + 8 * i)
    if ((entry & PRESENT) === 0 || (level > 1 && (entry & LARGE) !== 0)) continue
    const frame = (entry & ~(PAGE - 1)) >>> 0
    const address = va + (BigInt(i) << BigInt(3 + 9 * level))
    if (level === 1) found(address, frame)
    else walk(ram, frame, level - 1, address, found)
  }
}

/** Roots by their host, as its processors had it before any guest. */
const roots = new WeakMap<Hosted, number>()
const rootOf = (hosted: Hosted): number => roots.get(hosted)!

const spanOf = ({ offset, width, count }: Field): Span => [offset, offset + width * count]
const P = PDA.fields
const PDA_VOLATILE = [P.vcpu, P.userRsp, P.kernelStack, P.current, P.needResched].map(spanOf)
const V = VCPU.fields
const DESCRIPTOR_VOLATILE = [V.hostRsp, V.hostCr3, V.gdtr, V.idtr, V.cr3, V.fsBase, V.gsBase].map(spanOf)
const TSS_VOLATILE = [L.TSS.fields.rsp0, L.TSS.fields.rsp1].map(spanOf)
const NOTHING: ReadonlyArray<Span> = []

const CPU_PAGE: Readonly<Record<number, readonly [string, ReadonlyArray<Span> | undefined]>> = {
  [L.CPU_GDT]: ["the GDT", NOTHING],
  [L.CPU_IDT]: ["the IDT", NOTHING],
  [L.CPU_TSS]: ["the TSS", TSS_VOLATILE],
  [L.CPU_PDA]: ["the PDA", PDA_VOLATILE],
  [L.CPU_GUEST_GDT]: ["the GDT of guests with switched selectors", undefined],
  [L.CPU_GUEST_IDT]: ["the IDT of guests with switched selectors", undefined],
}

/** The attacker's pairs of pages; its state pages hold its own registers, and nothing of the host's is there. */
const slotsOf = (device: LguestDevice): ReadonlyArray<number> =>
  (device as unknown as { readonly pages: ReadonlyArray<VcpuPages> }).pages.map(({ slot }) => slot)

/** By its place in the fixed area. */
const describe = (offset: number, own: ReadonlyArray<number>): Omit<HostPage, "va" | "pa"> => {
  if (offset < L.GATE_OFFSET) return { name: "the text of entry code and Switcher", volatile: NOTHING }
  if (offset < L.KNOWN_OFFSET && offset >= CALL_PAGE_OFFSET)
    return { name: "the call page", volatile: NOTHING, plain: true }
  if (offset < L.KNOWN_OFFSET) return { name: "the host's gates", volatile: NOTHING }
  if (offset < L.CPU_OFFSET) return { name: "the known address", volatile: undefined, plain: true }
  if (offset < L.VCPU_OFFSET) {
    const page = (offset - L.CPU_OFFSET) / PAGE
    const cpu = Math.floor(page / L.CPU_PAGES)
    const [name, spans] = CPU_PAGE[page % L.CPU_PAGES] ?? ["a stack of the IST", undefined]
    return { name: `${name} of processor ${cpu}`, volatile: spans }
  }
  if (offset < L.TASK_OFFSET) {
    const slot = Math.floor((offset - L.VCPU_OFFSET) / (2 * PAGE))
    const whose = own.includes(slot) ? "its own" : "another guest's"
    if ((offset / PAGE) % 2 === 0) return { name: `${whose} VCPU descriptor`, volatile: DESCRIPTOR_VOLATILE }
    return { name: `${whose} state page`, volatile: undefined, plain: own.includes(slot) }
  }
  return { name: "a task of the host", volatile: undefined }
}

/** Where physical address 0 is mapped: the slot of the upper half whose first page it is. */
const directMap = (hosted: Hosted): bigint => {
  const { ram } = hosted.machine
  const root = rootOf(hosted)
  for (const slot of [L.DIRECT_MAP_SLOT, L.MOVED_DIRECT_MAP_SLOT])
    if ((ram.read32(root + 8 * slot) & PRESENT) !== 0) return L.slotAddress(slot)
  throw new RangeError("the host has no direct map")
}

const pages = (hosted: Hosted, design: Choices, device: LguestDevice): ReadonlyArray<HostPage> => {
  const { ram } = hosted.machine
  const own = slotsOf(device)
  const found: HostPage[] = []
  const table = (ram.read32(rootOf(hosted) + 8 * L.FIXED_SLOT) & ~(PAGE - 1)) >>> 0
  walk(ram, table, 3, L.FIXED, (va, pa) => found.push({ va, pa, ...describe(Number(va - L.FIXED), own) }))
  const root = rootOf(hosted)
  const tables = { name: "the host's page tables", va: directMap(hosted) + BigInt(root), pa: root, volatile: NOTHING }
  found.push({ ...tables, plain: true })
  // The attacker's descriptor where its own tables have it.
  const descriptor = found.find(({ va }) => va === descriptorAddress(own[0]!))
  if (design.vcpu === "known-address" && descriptor !== undefined)
    found.push({ ...descriptor, va: fixed(L.KNOWN_OFFSET) })
  return found
}

const known: Platform["known"] = (hosted, design, device, all) => {
  const at = (va: bigint) => BigInt(all.find((page) => page.va === va)?.pa ?? 0)
  const descriptor = descriptorAddress(slotsOf(device)[0]!)
  const seen = design.vcpu === "known-address" ? fixed(L.KNOWN_OFFSET) : descriptor
  return {
    text: fixed(L.TEXT_OFFSET),
    textBytes: BigInt(L.TEXT_PAGES * PAGE),
    textPa: BigInt(L.TEXT_PA),
    gdt: cpuAddress(0, L.CPU_GDT),
    gdtPa: at(cpuAddress(0, L.CPU_GDT)),
    idt: cpuAddress(0, L.CPU_IDT),
    idtPa: at(cpuAddress(0, L.CPU_IDT)),
    tss: cpuAddress(0, L.CPU_TSS),
    pda: cpuAddress(0, L.CPU_PDA),
    ist: cpuAddress(0, L.CPU_IST),
    descriptor: seen,
    descriptorPa: at(descriptor),
    state: seen + 4096n,
    direct: directMap(hosted),
    hostRoot: BigInt(rootOf(hosted)),
    vcpuOffset: BigInt(P.vcpu.offset),
    trapOffset: BigInt(V.trap.offset),
    callOffset: BigInt(V.systemCall.offset),
    stackOffset: BigInt(V.stackTop.offset),
  }
}

export const platform64: Platform = {
  image: machineCode(code),
  symbols,
  boot: (core, shape) => {
    const hosted = bootLguest64({ ...shape, core, log: EventLog.off })
    roots.set(hosted, Number(hosted.machine.processor(0).long(CR3)))
    return hosted
  },
  pages,
  known,
  registers: (hosted, cpu) => {
    const processor = hosted.machine.processor(cpu)
    return [MSR_LSTAR, MSR_STAR, MSR_SFMASK, MSR_EFER, IDTR_BASE, GDTR_BASE, CR0, CR4].map((r) => processor.long(r))
  },
  isHostAddress: (hosted, _design, value) => {
    const direct = directMap(hosted)
    return (
      (value >= direct && value < direct + BigInt(hosted.machine.ram.size)) ||
      (value >= L.FIXED && value < fixed(L.FIXED_TABLES * L.TABLE_BYTES))
    )
  },
}
