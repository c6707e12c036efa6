import { Board, type DevicesConfig, GuestFault, GuestMemory, noDevices, PciBus } from "../devices/index.ts"
import type { Death, HostKernel, LguestDevice, Pending } from "../host/index.ts"
import { SUBARCH_LGUEST } from "../machine/bootParams.ts"
import { BOOT_PARAMS_AT, type KernelImage, loadKernel } from "../machine/load.ts"
import type { Machine } from "../machine/machine.ts"
import { Fields, NotNow, type State } from "../machine/snapshot.ts"
import type { DesignWord } from "../modules/hosted.ts"
import { type DeviceBus, emulateMemory, emulatePort } from "./emulate.ts"
import { tracedBus } from "./traceRun.ts"

/*
 * L:070 Someone has to be the motherboard. For each Guest there is one of these, with its devices, its interrupt lines,
 * and its end of the file.
 *
 * A guest under a module, from the launcher's side: lay it out in memory, give it devices, then read /dev/lguest in a
 * loop. "Simple program to layout physical memory for new lguest guest", its ancestor began.
 */

/** A host with a module loaded and /dev/lguest open: what `boot.ts` of a module returns. */
export interface Host {
  readonly machine: Machine
  readonly kernel: HostKernel
  readonly device: LguestDevice
  /** Host-physical address of the guest's memory. */
  readonly guestBase: number
  /** What the guest is told of its design (hardware_subarch_data). */
  readonly designWord?: DesignWord | undefined
}

export interface HostedConfig {
  readonly host: Host
  readonly memoryBytes: number
  readonly kernel: KernelImage
  readonly cmdline: string
  readonly initrd: Uint8Array | undefined
  readonly consoleOut: (bytes: Uint8Array) => void
  /** Disks, network, randomness; none of the first two if this is not there. */
  readonly devices?: DevicesConfig
}

/** Why `run` came back. All but `budget` and `idle` are the end. */
export type HostedEvent =
  | { readonly kind: "budget" }
  | { readonly kind: "idle"; readonly until: number }
  | { readonly kind: "powerOff"; readonly status: number; readonly message: string }
  | { readonly kind: "reset" }
  | { readonly kind: "killed"; readonly death: Death }

const BUDGET: HostedEvent = { kind: "budget" }
const GENERAL_PROTECTION = 13
/** PCI devices have lines 0..15, as on a PC. */
const LINES = 16
const FIELDS = new Fields({ arrays: ["levels"], parts: ["board"] })

export class HostedGuest {
  readonly host: Host
  readonly board: Board
  /** The devices as the guest's accesses see them. */
  private readonly bus: DeviceBus
  private ending: HostedEvent | undefined
  /** Levels of the interrupt lines: one that rises is an interrupt; the module delivers each once. */
  private readonly levels = new Uint8Array(LINES)

  constructor(config: HostedConfig) {
    const { host, memoryBytes, kernel, cmdline, initrd } = config
    this.host = host
    const { device } = host
    const { trace } = host.kernel
    const pci = new PciBus((line, level) => {
      if (level && this.levels[line] === 0) {
        if (trace.on) trace.irq(line)
        device.irq(line)
      }
      this.levels[line] = level ? 1 : 0
    })
    const memory = new GuestMemory(
      host.machine.ram,
      host.guestBase,
      memoryBytes,
      (gpa, n) => device.written(gpa, n),
      (gpa, n) => device.writing(gpa, n),
    )
    this.board = new Board({
      ...(config.devices ?? noDevices()),
      pci,
      memory,
      consoleOut: config.consoleOut,
      now: () => this.now,
    })
    this.bus = trace.on ? tracedBus(pci, trace) : pci
    loadKernel({
      ram: host.machine.ram,
      base: host.guestBase,
      memoryBytes,
      kernel,
      cmdline,
      initrd,
      subarch: SUBARCH_LGUEST,
      subarchData: host.designWord,
    })
    device.initialize({ entry: kernel.entry, bootParams: BOOT_PARAMS_AT })
  }

  /** Simulated nanoseconds. */
  get now(): number {
    return this.host.kernel.time
  }

  /**
   * L:080 The loop. It is as short as it looks: read, see to what came back, read again. While `read` does not return
   * the Guest runs at full speed, and nobody up here can see what it does.
   *
   * Runs for at most `slice` ns of simulated time. After an ending event it returns that event again.
   */
  run(slice: number): HostedEvent {
    const { device } = this.host
    const limit = this.now + slice
    if (this.ending === undefined) this.poll()
    while (this.ending === undefined) {
      const pending = device.read(limit)
      if (pending.kind === "slice") return BUDGET
      if (pending.kind === "idle") return pending
      this.answer(pending)
    }
    return this.ending
  }

  /** Why the guest has ended, if it has. */
  get end(): HostedEvent | undefined {
    return this.ending
  }

  /** Lets the devices do what no access of the guest's sets off. */
  poll(): void {
    this.guarded(() => this.board.poll())
  }

  /**
   * L:090 What comes back, mostly, is an instruction that could not be carried out: the Guest has touched a device
   * register, which is memory that does not exist, or used IN or OUT, which ring 3 may not. The registers of D:030 are
   * here, if you like, and the interrupt that answers goes back by `irq`.
   *
   * Sees to what the virtual CPU that the device serves has for us.
   */
  answer(pending: Pending): void {
    switch (pending.kind) {
      case "io":
        this.carryOut(pending.trap, pending.address, pending.instruction, pending.bits)
        break
      case "shutdown":
        this.ending = pending.restart
          ? { kind: "reset" }
          : { kind: "powerOff", status: pending.status, message: pending.message }
        break
      case "killed":
        this.ending = { kind: "killed", death: pending.death }
    }
  }

  private carryOut(trap: 13 | 14, address: number, instruction: Uint8Array, bits: 32 | 64): void {
    const { device } = this.host
    try {
      const done =
        trap === GENERAL_PROTECTION
          ? emulatePort(device, this.bus, instruction, bits)
          : emulateMemory(device, this.bus, instruction, bits, address)
      if (done) return
    } catch (thrown) {
      if (!(thrown instanceof GuestFault)) throw thrown
      device.kill(thrown.message)
      return
    }
    const what = trap === GENERAL_PROTECTION ? "ports" : `the device memory at 0x${address.toString(16)}`
    device.kill(`an access to ${what} by an instruction that is neither MOV nor IN nor OUT`)
  }

  /** Lets idle time pass until simulated nanosecond `until`. */
  skip(until: number): void {
    this.host.kernel.skip(until)
  }

  /** Input for the console. */
  input(bytes: Uint8Array): void {
    this.guarded(() => this.board.console.input(bytes))
  }

  /** What the guest's rings make impossible ends the guest. */
  private guarded(work: () => void): void {
    try {
      work()
    } catch (thrown) {
      if (!(thrown instanceof GuestFault)) throw thrown
      this.host.device.kill(thrown.message)
    }
  }

  /** The devices. Throws NotNow after an ending event. */
  save(): State {
    if (this.ending !== undefined) throw new NotNow("the guest is at its end")
    return FIELDS.save(this)
  }

  restore(state: State): void {
    FIELDS.restore(this, state)
  }
}
