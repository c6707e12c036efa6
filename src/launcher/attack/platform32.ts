import type { Choices } from "../../design/dimensions.ts"
import { EventLog } from "../../host/eventLog.ts"
import { machineCode } from "../../host/machineCode.ts"
import * as L from "../../i386/layout.ts"
import { CR0, CR3, CR4, GDTR_BASE, IDTR_BASE } from "../../machine/core/state.ts"
import { bootLguest } from "../../modules/lguest/boot.ts"
import type { Hosted } from "../../modules/hosted.ts"
import { SWITCHER_ADDR } from "../../paravirt_ops/lguest.ts"
import type { Span } from "./guard.ts"
import { code, symbols } from "./image32.gen.ts"
import type { HostPage, Platform } from "./platform.ts"

/* The i386 host as an attacker and a guard see it; its page tables have two levels. */

const PAGE = 4096
const PRESENT = 1
const ENTRIES = 1024
const DIRECTORY_SHIFT = 22
const FRAME = 0xffff_f000

/** What a host's processor had before any guest: its page tables and its GDT. */
interface Before {
  readonly root: number
  readonly gdt: number
}
const before = new WeakMap<Hosted, Before>()

const pageOffsetOf = ({ pageOffset }: Choices): number =>
  pageOffset === "host-moves" ? L.MOVED_PAGE_OFFSET : L.PAGE_OFFSET

/** Physical address of the page that has the host's GDT, IDT and TSS. */
const cpuPage = (hosted: Hosted, design: Choices): number => before.get(hosted)!.gdt - L.CPU_GDT - pageOffsetOf(design)

const NOTHING: ReadonlyArray<Span> = []
const TSS_BUSY = L.CPU_GDT + L.TSS_SELECTOR + 5
/** The host's own: the current task, whether another should run, ring 0's stack, and whether its TSS is loaded. */
const CPU_VOLATILE: ReadonlyArray<Span> = [
  [L.CPU_PERCPU, L.CPU_PERCPU + L.PERCPU.size],
  [L.CPU_TSS + L.TSS.fields.esp0.offset, L.CPU_TSS + L.TSS.fields.esp0.offset + 4],
  [TSS_BUSY, TSS_BUSY + 1],
]

/** Behind the guest's GDT, the last of the tables in the second of the Switcher's pages. */
const TABLES_END = L.PAGES.fields.guestGdt.offset + 8 * L.PAGES.fields.guestGdt.count - PAGE

/** The second of the Switcher's pages is written by the host before each entry, but for what no field has. */
const describe = (va: number): Omit<HostPage, "va" | "pa"> => {
  if (va === L.SWITCHER_PAGES_ADDR) return { name: "the registers' page", volatile: undefined, plain: true }
  if (va === L.SWITCHER_PAGES_ADDR + PAGE)
    return { name: "the Switcher's tables and the host's registers", volatile: undefined, place: TABLES_END + 64 }
  return { name: "the Switcher's text", volatile: NOTHING }
}

const pages: Platform["pages"] = (hosted, design) => {
  const { ram } = hosted.machine
  const { root } = before.get(hosted)!
  const table = (ram.read32(root + 4 * (SWITCHER_ADDR >>> DIRECTORY_SHIFT)) & FRAME) >>> 0
  const found: HostPage[] = []
  for (let i = 0; i < ENTRIES; i++) {
    const entry = ram.read32(table + 4 * i)
    const va = SWITCHER_ADDR + i * PAGE
    if ((entry & PRESENT) !== 0) found.push({ va: BigInt(va), pa: (entry & FRAME) >>> 0, ...describe(va) })
  }
  const own = (name: string, pa: number, volatile: ReadonlyArray<Span>) =>
    found.push({ name, va: BigInt(pageOffsetOf(design) + pa), pa, volatile, plain: true })
  own("the host's GDT, IDT and TSS", cpuPage(hosted, design), CPU_VOLATILE)
  own("the host's page directory", root, NOTHING)
  own("the host's text", L.TEXT_PA, NOTHING)
  own("the host's gates", L.GATE_PA, NOTHING)
  return found
}

const known: Platform["known"] = (hosted, design) => {
  const state = L.SWITCHER_PAGES_ADDR + PAGE
  const field = ({ offset }: { readonly offset: number }) => BigInt(L.SWITCHER_PAGES_ADDR + offset)
  const cpu = cpuPage(hosted, design)
  return {
    text: BigInt(design.host.startsWith("everything") ? L.MAPPED_SWITCHER_ADDR : SWITCHER_ADDR),
    textBytes: BigInt(L.SWITCHER_TEXT_PAGES * PAGE),
    textPa: BigInt(L.TEXT_PA),
    state: BigInt(state),
    gdt: field(L.PAGES.fields.guestGdt),
    gdtPa: BigInt(cpu + L.CPU_GDT),
    idt: field(L.PAGES.fields.guestIdt),
    idtPa: BigInt(cpu + L.CPU_IDT),
    tss: field(L.PAGES.fields.guestTss),
    direct: BigInt(pageOffsetOf(design)),
    hostRoot: BigInt(before.get(hosted)!.root),
  }
}

export const platform32: Platform = {
  image: machineCode(code),
  symbols,
  boot: (core, shape) => {
    const hosted = bootLguest({ ...shape, core, log: EventLog.off })
    const processor = hosted.machine.processor(0)
    before.set(hosted, { root: Number(processor.long(CR3)), gdt: Number(processor.long(GDTR_BASE)) })
    return hosted
  },
  pages,
  known,
  registers: (hosted, cpu) => {
    const processor = hosted.machine.processor(cpu)
    return [IDTR_BASE, GDTR_BASE, CR0, CR4].map((r) => processor.long(r))
  },
  isHostAddress: () => false,
}
