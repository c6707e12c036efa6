import {
  FIXED,
  FIXED_HI,
  FRAME,
  GATES,
  GATE_OFFSET,
  GATE_STRIDE,
  KERNEL_CS,
  KERNEL_DS,
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

const constants: Record<string, number> = {
  KERNEL_CS,
  KERNEL_DS,
  USER_CS,
  USER_DS,
  SYSCALL_EVENT,
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

/** The x86_64 host's machine code. */
export const units: ReadonlyArray<AssemblyUnit> = [
  {
    name: "the x86_64 host's text",
    source: "src/host/x86_64/image.S",
    sources: ["src/host/x86_64/image.S", "src/syscall/entry_64.S", "src/vcpu/switcher_64.S", ...layouts],
    address: FIXED + BigInt(TEXT_OFFSET),
    bits: 64,
    offsets,
    external: new Map(GATES.map((name, i) => [`gate_${name}`, FIXED + BigInt(GATE_OFFSET + i * GATE_STRIDE)])),
    output: "src/host/x86_64/image.gen.ts",
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
]
