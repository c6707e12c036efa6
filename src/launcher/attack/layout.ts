import { at, defines, struct } from "../../machine/layout.ts"

/*
 * What the harness and the programs in guests/attacks agree on. An attacker knows the host's source, so he is told where
 * everything lies; what he is not told are the secrets that lie there.
 */

/** Guest-physical addresses. */
export const GPA = {
  BOOT_PARAMS: 0x1000,
  PARAMS: 0x2000,
  REPORTS: 0x3000,
  /** A page of the guest kernel's own, with a secret and a canary for the guest's processes. */
  KERNEL_PAGE: 0x18000,
  /** Page that a process may write; where it counts how often it came around. */
  LAPS: 0x10000,
  IMAGE: 0x100000,
} as const

/** Offset of the canary in the guest kernel's own page; the secret is at its beginning. */
export const KERNEL_CANARY = 0x800

/** Bytes of the attacker's memory: no multiple of 2 MiB, so that a huge page can straddle its end; the victim's follows. */
export const ATTACKER_BYTES = 0x30_0000
export const VICTIM_BYTES = 0x1_0000
/** Where in its memory the victim keeps its secret. */
export const VICTIM_SECRET = 0x8000

export const FIXED_MAX = 64

export const ATTACK_PARAMS = struct("attack_params", "AP", 0x1000, "what an attacker knows", {
  variant: at(0x00, 8, "which of the variants of the attack this run is"),
  secretPa: at(0x08, 8, "host-physical address of a frame of the host's that holds a secret"),
  secretVa: at(0x10, 8, "the same in the host's direct map"),
  victimPa: at(0x18, 8, "host-physical address of another guest's secret"),
  victimVa: at(0x20, 8, "the same in the host's direct map"),
  base: at(0x28, 8, "host-physical address of the attacker's own memory"),
  bytes: at(0x30, 8, "bytes of it"),
  text: at(0x38, 8, "virtual address of the host's entry code or Switcher"),
  textBytes: at(0x40, 8, "bytes of it"),
  gdt: at(0x48, 8, "virtual addresses: the GDT"),
  idt: at(0x50, 8, "the IDT"),
  tss: at(0x58, 8, "the TSS"),
  pda: at(0x60, 8, "the PDA"),
  ist: at(0x68, 8, "the first stack of the IST"),
  descriptor: at(0x70, 8, "the attacker's own VCPU descriptor"),
  state: at(0x78, 8, "its state page"),
  mark: at(0x80, 8, "a word that only ring 0 should be able to write"),
  vcpuOffset: at(0x88, 8, "offset of the VCPU pointer in the PDA"),
  trapOffset: at(0x90, 8, "offset of the trap function in a VCPU descriptor"),
  callOffset: at(0x98, 8, "offset of the system-call function in it"),
  stackOffset: at(0xa0, 8, "offset of the stack's top in it"),
  hostRoot: at(0xa8, 8, "host-physical address of the host's page tables"),
  direct: at(0xb0, 8, "where the host's direct map has physical address 0"),
  textPa: at(0xb8, 8, "host-physical addresses: the text"),
  gdtPa: at(0xc0, 8, "the GDT"),
  idtPa: at(0xc8, 8, "the IDT"),
  descriptorPa: at(0xd0, 8, "the attacker's own VCPU descriptor"),
  fixedCount: at(0xd8, 8, "addresses in `fixed`"),
  fixed: at(0xe0, 8, "virtual addresses of the secrets in the pages that host and guest share", FIXED_MAX),
})

/** One thing that an attack has to say. */
export const REPORT = struct("attack_report", "AR", 24, "one report", {
  kind: at(0, 8, "R_..."),
  address: at(8, 8, "where"),
  value: at(16, 8, "what"),
})
export const REPORTS_MAX = 160
export const ATTACK_REPORTS = struct("attack_reports", "ARS", 0x1000, "what an attack reports", {
  next: at(0, 8, "bytes of reports so far"),
  reports: at(8, REPORT.size, "the reports", REPORTS_MAX),
})

/** Kinds of reports. */
export const KINDS = {
  /** Read `value` at `address`. Nobody believes that it is a secret: the harness compares. */
  READ: 1,
  /** A store at `address` did not fault. The harness looks whether anything has changed. */
  WROTE: 2,
  /** Something that must not go through did: `address` says which, `value` with what. */
  THROUGH: 3,
  /** EFLAGS as the attacker has them. */
  FLAGS: 4,
  /** CS as the attacker has it. */
  SELECTOR: 5,
} as const

/** What attacks store where they should not be able to. */
export const MARK = 0x6b72616d

/** Status with which a guest ends whose process made a hypercall. */
export const STATUS_FORGED = 66

/** `offsets.h` of the attacks' assembler sources. */
export const attackDefines = (): string =>
  [
    ...[ATTACK_PARAMS, ATTACK_REPORTS, REPORT].map(defines),
    ...Object.entries(GPA).map(([name, value]) => `#define ${name}_PA 0x${value.toString(16)}`),
    ...Object.entries(KINDS).map(([name, value]) => `#define R_${name} ${value}`),
    `#define KERNEL_CANARY 0x${KERNEL_CANARY.toString(16)}`,
    `#define MARK 0x${MARK.toString(16)}`,
    `#define REPORTS_END ${REPORT.size * REPORTS_MAX}`,
    `#define STATUS_FORGED ${STATUS_FORGED}`,
    "",
  ].join("\n")
