/*
 * How processors in different threads tell each other to forget: what a module does for its TlbFlushers, in miniature. A
 * processor is in the guest while its stay is odd; who wants it out asks, and waits for the stay to change. On its way in it
 * empties its TLB.
 */
export class Shootdown {
  private readonly stays: Int32Array
  private readonly asked: Int32Array

  constructor(buffer: SharedArrayBuffer) {
    const count = buffer.byteLength / 8
    this.stays = new Int32Array(buffer, 0, count)
    this.asked = new Int32Array(buffer, 4 * count, count)
  }

  static buffer(vcpus: number): SharedArrayBuffer {
    return new SharedArrayBuffer(8 * vcpus)
  }

  enter(vcpu: number): void {
    Atomics.store(this.asked, vcpu, 0)
    Atomics.add(this.stays, vcpu, 1)
  }

  leave(vcpu: number): void {
    Atomics.add(this.stays, vcpu, 1)
    Atomics.notify(this.stays, vcpu)
  }

  mustLeave(vcpu: number): boolean {
    return Atomics.load(this.asked, vcpu) !== 0
  }

  /** Returns when the processor has left the guest, or was not there. */
  evict(vcpu: number): void {
    Atomics.store(this.asked, vcpu, 1)
    const stay = Atomics.load(this.stays, vcpu)
    if (stay % 2 !== 0) Atomics.wait(this.stays, vcpu, stay)
  }
}
