/*
 * L:060 And this is all that Launcher and Host have to say to each other. One file, as in lguest: a write sets the
 * Guest up, each read runs it until something happens that is none of the Host's business.
 *
 * /dev/lguest: all that the launcher knows of the host and its modules. It initialises a guest, reads in a loop (each
 * read runs the guest until something happens that the launcher must see to) and writes to inject an interrupt. The
 * requests are those of lguest in Linux 4.x (LHREQ_INITIALIZE, _IRQ, _GETREG, _SETREG, _TRAP), one device for both
 * modules.
 */

/** LHREQ_INITIALIZE: where the launcher has laid out the guest. */
export interface GuestSetup {
  /** Entry, a guest-physical address. */
  readonly entry: number
  /** Guest-physical address of boot_params. */
  readonly bootParams: number
}

/** What a read returns with. */
export type Pending =
  /**
   * An instruction that the launcher has to carry out on its devices: trap 13 is IN or OUT, trap 14 an access to
   * `address`, a guest-physical one above memory. `instruction` holds the bytes at the guest's instruction pointer.
   */
  | {
      readonly kind: "io"
      readonly trap: 13 | 14
      readonly address: number
      readonly instruction: Uint8Array
      readonly bits: 32 | 64
    }
  /** Every virtual CPU sleeps and the host has nothing to do until the simulated time `until` (ns; Infinity: never). */
  | { readonly kind: "idle"; readonly until: number }
  | { readonly kind: "shutdown"; readonly restart: boolean; readonly status: number; readonly message: string }
  /** The guest was killed; the line says what did it, where and why. */
  | { readonly kind: "killed"; readonly death: Death }
  /** The guest has brought up another virtual CPU, which needs a thread if each has one. */
  | { readonly kind: "start"; readonly vcpu: number }
  /** The time limit of this read has come. */
  | { readonly kind: "slice" }

/** Why a guest was killed. */
export interface Death {
  readonly cause: string
  /** Instruction pointer as hexadecimal digits, and the bytes there where the guest's tables map them. */
  readonly address: string
  readonly instruction: Uint8Array
  readonly bits: 32 | 64
}

export interface LguestDevice {
  initialize(setup: GuestSetup): void
  /**
   * Runs the host in this thread, and with it the guest, up to simulated time `limit` (ns). The answer is about one virtual
   * CPU, and so are the calls below until the next read.
   */
  read(limit: number): Pending
  /** Index of that virtual CPU. */
  readonly served: number
  /** Where each virtual CPU has its thread: makes `vcpu` the one that is served, and says what it has for the launcher. */
  serve(vcpu: number): Pending | undefined
  /** What that virtual CPU had for the launcher has been seen to. */
  goOn(): void
  /** Injects virtual interrupt `irq` (0..31). */
  irq(irq: number): void
  /** Asked before the guest's devices write to its memory; false: they must not. `written` follows. */
  writing(gpa: number, bytes: number): boolean
  /** The launcher's devices have written [gpa, gpa + bytes) of the guest's memory, which may be page tables. */
  written(gpa: number, bytes: number): void
  /** General register by its number in instruction encodings. */
  registerLo(index: number): number
  registerHi(index: number): number
  setRegister(index: number, lo: number, hi: number): void
  /** Moves the guest's instruction pointer past an instruction of `length` bytes that was carried out. */
  advance(length: number): void
  /** Delivers an exception instead: the instruction was not one that devices understand. */
  trap(vector: number, error: number): void
  /** Kills the guest for a reason that the launcher found (a hostile ring). */
  kill(cause: string): void
  /** Gives back all that the host holds for the guest; the device is of no use afterwards. */
  close(): void
}
