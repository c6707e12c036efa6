import { defines, type Struct } from "../../src/machine/layout.ts"
import * as I386 from "../../src/paravirt_ops/lguest.ts"
import * as X86_64 from "../../src/paravirt_ops/lguest64.ts"

/** A generated C header; `output` is relative to the repository. */
export interface Header {
  readonly output: string
  readonly text: string
}

const header = (output: string, definition: string, document: string, body: ReadonlyArray<string>): Header => ({
  output,
  text: [
    `/* Generated from ${definition} by npm run guests: do not edit. ${document} explains it. */`,
    "#pragma once",
    "",
    ...body,
  ].join("\n"),
})

const constants = (values: Readonly<Record<string, number>>): string =>
  [...Object.entries(values).map(([name, value]) => `#define ${name.padEnd(40)} 0x${value.toString(16)}`), ""].join(
    "\n",
  )

const structures = (all: ReadonlyArray<Struct>): string => all.map(defines).join("\n")

/** The scalar constants that lguest64.ts exports; an object of numbers becomes one definition for each of its names. */
const lguest64Constants: Readonly<Record<string, number>> = {
  ...Object.fromEntries(Object.entries(X86_64.LHCALL).map(([name, value]) => [`LHCALL_${name}`, value])),
  LGUEST_SHUTDOWN_POWEROFF: X86_64.SHUTDOWN_POWEROFF,
  LGUEST_SHUTDOWN_RESTART: X86_64.SHUTDOWN_RESTART,
  LGUEST_BASE_FS: X86_64.BASE_FS,
  LGUEST_BASE_GS_KERNEL: X86_64.BASE_GS_KERNEL,
  LGUEST_BASE_GS_USER: X86_64.BASE_GS_USER,
  GUEST_KERNEL_CS: X86_64.GUEST_KERNEL_CS,
  GUEST_KERNEL_DS: X86_64.GUEST_KERNEL_DS,
  GUEST_USER_CS: X86_64.GUEST_USER_CS,
  GUEST_USER_DS: X86_64.GUEST_USER_DS,
  GUEST_RING1_CS: X86_64.GUEST_RING1_CS,
  GUEST_RING1_DS: X86_64.GUEST_RING1_DS,
  ...Object.fromEntries(Object.entries(X86_64.DESIGN_WORD).map(([name, value]) => [`LGUEST_DESIGN_${name}`, value])),
  LGUEST_HYPERCALL_SYSCALL: X86_64.HYPERCALL_SYSCALL,
  LGUEST_HYPERCALL_INTERRUPT: X86_64.HYPERCALL_INTERRUPT,
  LGUEST_HYPERCALL_CALL_PAGE: X86_64.HYPERCALL_CALL_PAGE,
  LGUEST_FLAG_SHARED_WORD: X86_64.FLAG_SHARED_WORD,
  LGUEST_FLAG_HYPERCALL: X86_64.FLAG_HYPERCALL,
  LGUEST_FLAG_PVI: X86_64.FLAG_PVI,
  LGUEST_FLAG_ROM: X86_64.FLAG_ROM,
  LGUEST_HYPERCALL_VECTOR: X86_64.HYPERCALL_VECTOR,
  LGUEST_CALL_PAGE_OFFSET: X86_64.CALL_PAGE_OFFSET,
  LGUEST_CALL_STRIDE: X86_64.CALL_STRIDE,
  LGUEST_CALL_HYPERCALL: X86_64.CALL_HYPERCALL,
  LGUEST_CALL_SAVE_FLAGS: X86_64.CALL_SAVE_FLAGS,
  LGUEST_CALL_RESTORE_FLAGS: X86_64.CALL_RESTORE_FLAGS,
  LGUEST_CALL_IRQ_DISABLE: X86_64.CALL_IRQ_DISABLE,
  LGUEST_CALL_IRQ_ENABLE: X86_64.CALL_IRQ_ENABLE,
  LGUEST_FIRST_EXTERNAL_VECTOR: X86_64.FIRST_EXTERNAL_VECTOR,
  LGUEST_IRQS: X86_64.LGUEST_IRQS,
  LGUEST_IRQ_TIMER: X86_64.IRQ_TIMER,
  LGUEST_IRQ_IPI: X86_64.IRQ_IPI,
  LHCALL_RING_SIZE: X86_64.HCALL_RING_SIZE,
  LHCALL_FREE: X86_64.HCALL_FREE,
  LHCALL_PENDING: X86_64.HCALL_PENDING,
  LGUEST_HOST_PML4_SLOT: X86_64.HOST_PML4_SLOT,
}

/** The guests' headers, made from the one definition of each ABI. */
export const headers = (): ReadonlyArray<Header> => [
  header("guests/include/lguest64_abi.h", "src/paravirt_ops/lguest64.ts", "docs/abi-x86_64.md", [
    constants(lguest64Constants),
    structures([X86_64.LGUEST_SHARED, X86_64.ROM_DATA, X86_64.GUEST_REGS, X86_64.IRET_FRAME]),
  ]),
  header("guests/include/lguest_abi.h", "src/paravirt_ops/lguest.ts", "docs/abi-i386.md", [
    constants(I386.HEADER_CONSTANTS),
    structures(I386.HEADER_STRUCTS),
  ]),
]
