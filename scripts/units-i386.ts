import {
  FRAME,
  GATES,
  GATE_PA,
  GATE_STRIDE,
  KERNEL_CS,
  KERNEL_DS,
  LGUEST_CS,
  LGUEST_DS,
  MAPPED_SWITCHER_ADDR,
  PAGE_OFFSET,
  PAGES,
  PERCPU,
  PERCPU_SELECTOR,
  REGS,
  TASK,
  TEXT_PA,
  TSS,
  TSS_SELECTOR,
  VCPU,
} from "../src/i386/layout.ts"
import { HEARTBEAT_NS, PROCESS_TEXT, SYS } from "../src/i386/process.ts"
import { defines } from "../src/machine/layout.ts"
import {
  CALL_PAGE_ADDR,
  headerText,
  SWITCHER_ADDR,
  SYSCALL_VECTOR,
  SYSCALL_VECTOR_PLAN9,
} from "../src/paravirt_ops/lguest.ts"
import type { AssemblyUnit } from "./assemble.ts"

const constants: Record<string, number> = {
  KERNEL_CS,
  KERNEL_DS,
  LGUEST_CS,
  LGUEST_DS,
  TSS_SELECTOR,
  PERCPU_SELECTOR,
  SWITCHER_ADDR,
  SYSCALL_VECTOR,
  SYSCALL_VECTOR_PLAN9,
  CR0_TS: 8,
  PAGE_MASK: 0xfffff000,
  // All but the busy bit of a TSS descriptor's byte 5.
  TSS_NOT_BUSY: 0xfd,
  SYS_GETPID: SYS.getpid,
  SYS_NANOSLEEP: SYS.nanosleep,
  HEARTBEAT_NS,
}

const offsets = [
  ...[PERCPU, VCPU, TASK, TSS, FRAME, REGS, PAGES].map(defines),
  ...Object.entries(constants).map(([name, value]) => `#define ${name} 0x${value.toString(16)}`),
  "",
].join("\n")

const layouts = [
  "src/i386/layout.ts",
  "src/i386/process.ts",
  "src/paravirt_ops/lguest.ts",
  "src/machine/layout.ts",
  "scripts/units-i386.ts",
  "scripts/assemble.ts",
]

const unit = (name: string, source: string, address: number, external: ReadonlyMap<string, bigint>): AssemblyUnit => ({
  name,
  source: `src/i386/${source}.S`,
  sources: [`src/i386/${source}.S`, ...layouts],
  address: BigInt(address),
  bits: 32,
  offsets,
  external,
  output: `src/i386/${source}.gen.ts`,
})

const switcher = unit("the Switcher's text", "switcher_32", SWITCHER_ADDR, new Map())

const gates = new Map(
  GATES.map((name, i) => [`gate_${name}`, BigInt(PAGE_OFFSET + GATE_PA + i * GATE_STRIDE)] as const),
)

/** Where the tests' guests are linked; they are loaded 3 GiB below. */
const TEST_GUEST = 0xc010_0000

const testGuest: AssemblyUnit = {
  name: "the tests' i386 guests",
  source: "tests/i386/guest.S",
  sources: ["tests/i386/guest.S", ...layouts],
  address: BigInt(TEST_GUEST),
  bits: 32,
  offsets: `${headerText()}
#define LGUEST_CS_SELECTOR ${LGUEST_CS}
#define LGUEST_DS_SELECTOR ${LGUEST_DS}
`,
  external: new Map(),
  output: "tests/i386/guest.gen.ts",
}

/** The i386 host's machine code, and what runs on it in the tests. */
export const units: ReadonlyArray<AssemblyUnit> = [
  unit("the i386 host's text", "image", PAGE_OFFSET + TEXT_PA, gates),
  switcher,
  {
    ...switcher,
    name: "the Switcher's text where the host stays mapped",
    address: BigInt(MAPPED_SWITCHER_ADDR),
    offsets: `#define HOST_STAYS_MAPPED 1\n${offsets}`,
    output: "src/i386/mappedSwitcher_32.gen.ts",
  },
  // It is guests who call it, so it knows what they know.
  { ...unit("the call page", "callPage_32", CALL_PAGE_ADDR, new Map()), offsets: headerText() },
  unit("the i386 host's process", "process", PROCESS_TEXT, new Map()),
  testGuest,
]
