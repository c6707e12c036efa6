import { describe, expect, it } from "vitest"
import { EventLog } from "../../src/host/eventLog.ts"
import { bootLguest64 } from "../../src/modules/lguest64/boot.ts"
import { look64 } from "../launcher/hostMemory.ts"
import { core, GUEST_BYTES, TestGuest, USER_CODE } from "./guests.ts"

/*
 * Two guests of one module on one host: on two processors at once, or taking turns on one. Each processor's PDA has the VCPU
 * of the guest that runs there, and of no other.
 */

/** Instructions between two looks. */
const APART = 19_997
const LOOKS = 400

/** User code without end, by the guest's kernel: mov $7,%eax; syscall; jmp to the start. */
const CALLS = [0xb8, 7, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7]

const boot = (processors: number, seed: number) => {
  const config = { core, guestBytes: 2 * GUEST_BYTES, startMs: 0, processors, seed, log: EventLog.off }
  const hosted = bootLguest64(config)
  const view = hosted.view()
  hosted.device.close()
  const guests = (["spin", "user"] as const).map((entry, i) => {
    const guest = new TestGuest(entry, { host: hosted, base: hosted.guestBase + i * GUEST_BYTES })
    guest.put(USER_CODE, CALLS)
    return guest
  })
  return { hosted, view, guests }
}

/** What is in the PDAs over a while: VCPUs by the task that runs, and how many looks found no guest. */
class Looks {
  readonly owners = new Map<number, Set<bigint>>()
  free = 0
  /** Processors that had guests at the same time, at most. */
  atOnce = 0

  constructor({ hosted, view }: ReturnType<typeof boot>, guests: ReadonlyArray<TestGuest>) {
    const { kernel } = hosted
    for (let n = 0; n < LOOKS; n++) {
      const pending = guests[n % guests.length]!.device.read(kernel.time + APART)
      expect(pending.kind).toBe("slice")
      let running = 0
      for (const { index } of kernel.cpus) {
        const seen = look64(view, index)
        if (seen?.kind === "vcpu") {
          running++
          this.owners.set(seen.pid, (this.owners.get(seen.pid) ?? new Set()).add(seen.vcpu))
        } else if (seen !== undefined) {
          expect(seen.vcpu).toBe(0n)
          this.free++
        }
      }
      this.atOnce = Math.max(this.atOnce, running)
    }
  }

  /** Each task's one VCPU. */
  get vcpus(): ReadonlyArray<bigint> {
    return [...this.owners.values()].map((set) => {
      expect(set.size).toBe(1)
      return [...set][0]!
    })
  }
}

describe.each([1, 2])("two guests of lguest64 on one host with %i processors", (processors) => {
  it.each([1, 2])("each have their own VCPU in the PDA where they run (seed %i)", (seed) => {
    const pc = boot(processors, seed)
    const [first, second] = pc.guests
    const together = new Looks(pc, pc.guests)
    expect(together.atOnce).toBe(processors)
    expect(together.vcpus).toHaveLength(2)
    expect(new Set(together.vcpus).size).toBe(2)
    expect(together.vcpus).not.toContain(0n)

    first!.device.close()
    const alone = new Looks(pc, [second!])
    expect(alone.vcpus).toHaveLength(1)
    expect(together.vcpus).toContain(alone.vcpus[0])
    if (processors === 2) expect(alone.free).toBeGreaterThan(LOOKS / 2)
  })
})
