import type { SharedHeap } from "../../machine/shared.ts"

/*
 * What the module remembers of a virtual CPU besides its registers: numbers that all threads share. Its own thread writes
 * them, but for the pending interrupts, which anybody adds to, and all of them before it is up, which whoever starts it sets.
 */
const DOWN = 0
const STARTING = 1
const UP = 2

export class VcpuWords {
  private readonly numbers: Float64Array
  private readonly words: Int32Array

  constructor(heap: SharedHeap) {
    this.numbers = heap.f64(12)
    this.words = heap.i32(10)
    if (heap.fresh) this.sharedPa = -1
  }

  /** Host-physical address of the shared page, -1 before LGUEST_INIT. */
  get sharedPa(): number {
    return this.numbers[0]!
  }
  set sharedPa(pa: number) {
    this.numbers[0] = pa
  }
  /** SET_STACK. */
  get kernelStackLo(): number {
    return this.numbers[1]!
  }
  set kernelStackLo(lo: number) {
    this.numbers[1] = lo
  }
  get kernelStackHi(): number {
    return this.numbers[2]!
  }
  set kernelStackHi(hi: number) {
    this.numbers[2] = hi
  }
  /** SET_BASE: the GS bases of both views. */
  get kernelGsLo(): number {
    return this.numbers[3]!
  }
  set kernelGsLo(lo: number) {
    this.numbers[3] = lo
  }
  get kernelGsHi(): number {
    return this.numbers[4]!
  }
  set kernelGsHi(hi: number) {
    this.numbers[4] = hi
  }
  get userGsLo(): number {
    return this.numbers[5]!
  }
  set userGsLo(lo: number) {
    this.numbers[5] = lo
  }
  get userGsHi(): number {
    return this.numbers[6]!
  }
  set userGsHi(hi: number) {
    this.numbers[6] = hi
  }
  /** Pages that a guarded write has opened (guardedWrite.ts), or -1. */
  get openVpn(): number {
    return this.numbers[7]!
  }
  set openVpn(vpn: number) {
    this.numbers[7] = vpn
  }
  get openFlags(): number {
    return this.numbers[8]!
  }
  set openFlags(flags: number) {
    this.numbers[8] = flags
  }

  /** Virtual interrupts raised and not delivered. */
  get pendingInterrupts(): number {
    return Atomics.load(this.words, 0)
  }
  raise(irq: number): void {
    Atomics.or(this.words, 0, 1 << irq)
  }
  lower(irq: number): void {
    Atomics.and(this.words, 0, ~(1 << irq))
  }
  /** Place in the asynchronous ring. */
  get nextAsync(): number {
    return this.words[1]!
  }
  set nextAsync(i: number) {
    this.words[1] = i
  }
  /** Which view of its page tables the guest runs in: the host's own record of "kernel or user". */
  get userView(): boolean {
    return this.words[2] !== 0
  }
  set userView(user: boolean) {
    this.words[2] = user ? 1 : 0
  }
  /** Atomic: who goes to HALT looks whether anybody is left who could wake him, and two may do so at once. */
  get halted(): boolean {
    return Atomics.load(this.words, 3) !== 0
  }
  set halted(halted: boolean) {
    Atomics.store(this.words, 3, halted ? 1 : 0)
  }
  get taskSwitched(): boolean {
    return this.words[4] !== 0
  }
  set taskSwitched(ts: boolean) {
    this.words[4] = ts ? 1 : 0
  }
  /** Whether it has been started. */
  get up(): boolean {
    return Atomics.load(this.words, 5) === UP
  }
  /** Starts it, once: false if somebody else has. */
  bringUp(): boolean {
    return Atomics.exchange(this.words, 5, STARTING) === DOWN
  }
  /** Its registers are what they have to be: from here on others may interrupt it. */
  isUp(): void {
    Atomics.store(this.words, 5, UP)
  }
  /** The interrupt flag where the host keeps it, and whether an interrupt waits for it (interruptFlag.ts). */
  get interruptsOn(): boolean {
    return this.words[7] !== 0
  }
  set interruptsOn(on: boolean) {
    this.words[7] = on ? 1 : 0
  }
  get interruptWaits(): boolean {
    return this.words[8] !== 0
  }
  set interruptWaits(waits: boolean) {
    this.words[8] = waits ? 1 : 0
  }
  /** Its next entry has to load CR3 even where that is the same: its shadow allows less than before. Set by any thread. */
  askFlush(): void {
    Atomics.store(this.words, 9, 1)
  }
  get flushAsked(): boolean {
    return Atomics.load(this.words, 9) !== 0
  }
  takeFlush(): boolean {
    return Atomics.exchange(this.words, 9, 0) !== 0
  }
  /** A guarded write is under way. */
  get guarding(): boolean {
    return this.words[6] !== 0
  }
  set guarding(guarding: boolean) {
    this.words[6] = guarding ? 1 : 0
  }
}
