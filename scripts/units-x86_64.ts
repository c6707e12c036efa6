import { CALL_PAGE_OFFSET } from "../src/paravirt_ops/lguest64.ts"
import {
  FIXED,
  FIXED_HI,
  FRAME,
  GATES,
  GATE_OFFSET,
  GATE_STRIDE,
  KERNEL_CS,
  KERNEL_DS,
  KNOWN_OFFSET,
  SWITCHER_CS,
  SWITCHER_DS,
  TASK,
  TEXT_OFFSET,
  TSS,
  USER_CS,
  USER_DS,
} from "../src/host/x86_64/layout.ts"
import { HEARTBEAT_NS, PROCESS_TEXT, SYS } from "../src/host/x86_64/process.ts"
import { defines } from "../src/machine/layout.ts"
import { PDA } from "../src/pda/index.ts"
import { SYSCALL_EVENT, VCPU, VCPU_STATE } from "../src/vcpu/descriptor.ts"
import type { AssemblyUnit } from "./assemble.ts"
import { headers } from "./guests/headers.ts"

const constants: Record<string, number> = {
  KERNEL_CS,
  KERNEL_DS,
  SWITCHER_CS,
  SWITCHER_DS,
  USER_CS,
  USER_DS,
  SYSCALL_EVENT,
  CR4_PVI: 2,
  FIXED_HI,
  MSR_FS_BASE: 0xc0000100,
  MSR_GS_BASE: 0xc0000101,
  MSR_KERNEL_GS_BASE: 0xc0000102,
  SYS_GETPID: SYS.getpid,
  SYS_NANOSLEEP: SYS.nanosleep,
  HEARTBEAT_NS,
}

const offsets = [
  ...[PDA, VCPU, VCPU_STATE, TASK, TSS, FRAME].map(defines),
  ...Object.entries(constants).map(([name, value]) => `#define ${name} 0x${value.toString(16)}`),
  "",
].join("\n")

const layouts = [
  "src/host/x86_64/layout.ts",
  "src/host/x86_64/process.ts",
  "src/pda/index.ts",
  "src/vcpu/descriptor.ts",
  "src/machine/layout.ts",
  "scripts/units-x86_64.ts",
  "scripts/assemble.ts",
]

/** Where the tests' guests are linked; they are loaded 2 GiB below the top, at 1 MiB. */
const TEST_GUEST = 0xffff_ffff_8010_0000n

/** What guests include. */
const guestAbi = headers()
  .find(({ output }) => output.endsWith("lguest64_abi.h"))!
  .text.replace("#pragma once", "")

/** The host's text, one image for each place where the VCPU can be found (src/syscall/findVcpu_64.S). */
const image = (found: "PDA" | "TASK" | "KNOWN_ADDRESS" | "NOWHERE", output: string): AssemblyUnit => ({
  name: "the x86_64 host's text",
  source: "src/host/x86_64/image.S",
  sources: [
    "src/host/x86_64/image.S",
    "src/syscall/entry_64.S",
    "src/syscall/findVcpu_64.S",
    "src/vcpu/switcher_64.S",
    ...layouts,
  ],
  address: FIXED + BigInt(TEXT_OFFSET),
  bits: 64,
  offsets: `${offsets}#define FIND_VCPU_${found} 1\n`,
  external: new Map([
    ...GATES.map((name, i) => [`gate_${name}`, FIXED + BigInt(GATE_OFFSET + i * GATE_STRIDE)] as const),
    ["known_vcpu", FIXED + BigInt(KNOWN_OFFSET)],
    ["known_state", FIXED + BigInt(KNOWN_OFFSET + 4096)],
  ]),
  output,
})

/** The x86_64 host's machine code, and what runs on it in the tests. */
export const units: ReadonlyArray<AssemblyUnit> = [
  image("PDA", "src/host/x86_64/image.gen.ts"),
  image("TASK", "src/host/x86_64/image.task.gen.ts"),
  image("KNOWN_ADDRESS", "src/host/x86_64/image.known.gen.ts"),
  image("NOWHERE", "tests/host/image.none.gen.ts"),
  {
    name: "the call page of x86_64 guests",
    source: "src/vcpu/callPage_64.S",
    sources: ["src/vcpu/callPage_64.S", "src/paravirt_ops/lguest64.ts", ...layouts],
    address: FIXED + BigInt(CALL_PAGE_OFFSET),
    bits: 64,
    offsets: `${guestAbi}#define EFLAGS_IF 0x200\n`,
    external: new Map([["rom_data", FIXED + BigInt(CALL_PAGE_OFFSET + 4096)]]),
    output: "src/vcpu/callPage_64.gen.ts",
  },
  {
    name: "the x86_64 host's process",
    source: "src/host/x86_64/process.S",
    sources: ["src/host/x86_64/process.S", ...layouts],
    address: PROCESS_TEXT,
    bits: 64,
    offsets,
    external: new Map(),
    output: "src/host/x86_64/process.gen.ts",
  },
  {
    name: "the tests' x86_64 guests",
    source: "tests/lguest64/guest.S",
    sources: ["tests/lguest64/guest.S", "src/paravirt_ops/lguest64.ts", ...layouts],
    address: TEST_GUEST,
    bits: 64,
    offsets: guestAbi,
    external: new Map(),
    output: "tests/lguest64/guest.gen.ts",
  },
  {
    name: "the tests' x86_64 guests with several virtual CPUs",
    source: "tests/lguest64/smpGuest.S",
    sources: ["tests/lguest64/smpGuest.S", "src/paravirt_ops/lguest64.ts", ...layouts],
    address: TEST_GUEST,
    bits: 64,
    offsets: guestAbi,
    external: new Map(),
    output: "tests/lguest64/smpGuest.gen.ts",
  },
]
