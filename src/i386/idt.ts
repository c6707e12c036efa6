import {
  FIRST_EXTERNAL_VECTOR,
  GUEST_KERNEL_CS,
  GUEST_PL,
  LGUEST_TRAP_ENTRY,
  SYSCALL_VECTOR,
  SYSCALL_VECTOR_PLAN9,
} from "../paravirt_ops/lguest.ts"
import { Changes } from "./changes.ts"
import {
  DESC_DPL,
  DESC_DPL_SHIFT,
  GATE_FLAGS,
  GATE_INTERRUPT,
  GATE_TRAP,
  gateAddress,
  gateHi,
  gateLo,
  gatePresent,
  gateType,
} from "./descriptors.ts"
import { IDT_ENTRIES, LGUEST_CS } from "./layout.ts"
import { Fields, type State } from "../machine/snapshot.ts"

/*
 * H:350 One more thing that i386 could do. There the Guest's kernel is in ring 1, between its processes and the Host,
 * and segments guard the latter; so the processor may take a system call straight from the Guest's ring 3 to the
 * Guest's ring 1, and the Host sleeps through it. Count what G:130 costs against that (`events: through-host` makes the
 * elder one pay it too).
 *
 * A guest's interrupt descriptors. Two questions are asked of each: where does the host reflect this vector to, and may
 * the processor go there by itself? A direct trap never comes near the host: for a system call it is the difference
 * between one ring crossing and two changes of the world.
 */

const NMI = 2
const DEVICE_NOT_AVAILABLE = 7
const DOUBLE_FAULT = 8
const SPURIOUS = 15
const GENERAL_PROTECTION = 13
const PAGE_FAULT = 14
const MACHINE_CHECK = 18

/** Vectors that are the host's whatever a guest says: setting them is ignored, as it was in lguest. */
export const isHostsVector = (vector: number): boolean =>
  vector === NMI ||
  vector === DOUBLE_FAULT ||
  vector === SPURIOUS ||
  vector === MACHINE_CHECK ||
  vector === LGUEST_TRAP_ENTRY

/** Vectors that a guest may choose for its system calls. */
export const couldBeSyscall = (vector: number): boolean => vector === SYSCALL_VECTOR || vector === SYSCALL_VECTOR_PLAN9

/**
 * Whether the guest's handler may be entered without the host. Hardware interrupts are the host's; page faults are shadow
 * paging, protection faults may be IN or OUT, and "device not available" may be the host's doing.
 */
export const isDirectVector = (vector: number): boolean =>
  vector >= FIRST_EXTERNAL_VECTOR
    ? couldBeSyscall(vector)
    : !isHostsVector(vector) &&
      vector !== PAGE_FAULT &&
      vector !== GENERAL_PROTECTION &&
      vector !== DEVICE_NOT_AVAILABLE

/** Vectors below 32 with which the processor pushes an error code, which INT does not (SDM vol. 3, table 6-1). */
const WITH_ERROR_CODE = 0x227d00
const hasErrorCode = (vector: number): boolean => vector < 32 && ((WITH_ERROR_CODE >>> vector) & 1) !== 0

/** The host wants to see all of them. */
export const noVector = (): boolean => false

const FIELDS = new Fields({ arrays: ["lo", "hi"], parts: ["changes"] })

export class GuestIdt {
  private readonly lo = new Uint32Array(IDT_ENTRIES)
  private readonly hi = new Uint32Array(IDT_ENTRIES)
  readonly changes = new Changes(IDT_ENTRIES)
  /** Address of the Switcher's stub for vector 0, for all that does not go to the guest; 16 bytes each. */
  readonly stubs: number
  private readonly direct: (vector: number) => boolean

  /** `direct`: vectors whose gates, if they are trap gates, the processor may take by itself (`isDirectVector`, `noVector`). */
  constructor(stubs: number, direct: (vector: number) => boolean) {
    this.stubs = stubs
    this.direct = direct
  }

  /**
   * Takes over what is harmless of a gate: address, P, DPL, type; the selector is always the guest kernel's. False: it is a
   * type of gate that there is no support for. `vector` is less than 256.
   */
  load(vector: number, lo: number, hi: number): boolean {
    if (isHostsVector(vector)) return true
    this.changes.add(vector)
    if (!gatePresent(hi)) {
      this.lo[vector] = 0
      this.hi[vector] = 0
      return true
    }
    const type = gateType(hi)
    if (type !== GATE_INTERRUPT && type !== GATE_TRAP) return false
    this.lo[vector] = gateLo(GUEST_KERNEL_CS, lo)
    this.hi[vector] = (hi & (0xffff0000 | GATE_FLAGS)) >>> 0
    return true
  }

  present(vector: number): boolean {
    return gatePresent(this.hi[vector]!)
  }

  /** A trap gate leaves interrupts on. */
  isTrap(vector: number): boolean {
    return gateType(this.hi[vector]!) === GATE_TRAP
  }

  address(vector: number): number {
    return gateAddress(this.lo[vector]!, this.hi[vector]!)
  }

  dpl(vector: number): number {
    return (this.hi[vector]! & DESC_DPL) >>> DESC_DPL_SHIFT
  }

  /**
   * Whether the processor goes to the guest by itself. Not through an interrupt gate: that one wants interrupts off, and
   * the real flag is the host's; the guest's is a word in lguest_data, which no gate clears.
   */
  isDirect(vector: number): boolean {
    return this.direct(vector) && this.present(vector) && this.isTrap(vector)
  }

  /** The low word for the processor's IDT. */
  entryLo(vector: number): number {
    return this.isDirect(vector) ? this.lo[vector]! : gateLo(LGUEST_CS, this.stub(vector))
  }

  private stub(vector: number): number {
    return this.stubs + 16 * vector
  }

  /**
   * The high word. The DPL says who may use INT: the guest's kernel for hypercalls; whom the guest wants for its own
   * direct vectors (breakpoints, system calls), even where an interrupt gate makes them come to the host first. But nobody
   * by a vector with an error code: the Switcher's stub counts on one, and would save all registers one word off.
   */
  entryHi(vector: number): number {
    if (this.isDirect(vector)) return this.hi[vector]!
    const open = isDirectVector(vector) && !hasErrorCode(vector)
    const dpl = vector === LGUEST_TRAP_ENTRY ? GUEST_PL : open ? this.dpl(vector) : 0
    return gateHi(this.stub(vector), dpl, GATE_INTERRUPT)
  }

  save(): State {
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
