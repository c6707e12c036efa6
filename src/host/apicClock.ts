import { APIC_PAGE, type Chipset } from "../machine/chipset/index.ts"
import type { SharedHeap } from "../machine/shared.ts"
import type { HostClock } from "./cpus.ts"

/*
 * The host's timer: the local APIC's, one-shot (SDM vol. 3, 11.5.4), 1 ns a count. The host reaches the APIC as its C
 * code would, by stores to its registers; the page's mapping is of no interest here, so they go straight to the bus.
 */
const EOI = 0x0b0
const SPURIOUS = 0x0f0
const LVT_TIMER = 0x320
const LVT_LINT0 = 0x350
const TIMER_INITIAL = 0x380
const TIMER_DIVIDE = 0x3e0

const SOFTWARE_ENABLE = 0x100
const MASKED = 0x10000
const DIVIDE_BY_1 = 0b1011
/** The timer's register has 32 bits: whoever waits longer is woken and waits again. */
const LONGEST = 0xffff_ffff

export class ApicClock implements HostClock {
  private readonly chipset: Chipset
  private readonly cpu: number
  private readonly rescheduleVector: number
  /** One time, shared with the other threads' objects for this processor: when the timer strikes next. */
  private readonly next: Float64Array

  /** The clock of processor `cpu`; whoever drives that processor uses it. */
  constructor(
    heap: SharedHeap,
    chipset: Chipset,
    cpu: number,
    vectors: { readonly timer: number; readonly reschedule: number; spurious: number },
  ) {
    this.chipset = chipset
    this.cpu = cpu
    this.rescheduleVector = vectors.reschedule
    this.next = heap.f64(1)
    if (!heap.fresh) return
    this.next[0] = Infinity
    this.store(SPURIOUS, SOFTWARE_ENABLE | vectors.spurious)
    this.store(LVT_LINT0, MASKED)
    this.store(TIMER_DIVIDE, DIVIDE_BY_1)
    this.store(LVT_TIMER, vectors.timer)
  }

  private store(register: number, value: number): void {
    this.chipset.mmioWrite(this.cpu, APIC_PAGE + register, 4, value)
  }

  arm(at: number, now: number): void {
    this.store(TIMER_INITIAL, at === Infinity ? 0 : Math.min(LONGEST, Math.max(1, at - now)))
    this.next[0] = this.chipset.apics.of(this.cpu).nextEvent()
  }

  acknowledge(): void {
    this.store(EOI, 0)
  }

  /** The message that another processor's APIC, or a device of the launcher's, puts on the APICs' bus. */
  kick(): void {
    this.chipset.apics.of(this.cpu).accept(this.rescheduleVector)
  }

  nextEvent(): number {
    return this.next[0]!
  }

  advance(now: number): void {
    if (now < this.next[0]!) return
    const apic = this.chipset.apics.of(this.cpu)
    apic.advance(now)
    this.next[0] = apic.nextEvent()
  }
}
