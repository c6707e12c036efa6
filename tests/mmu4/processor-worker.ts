import { parentPort, workerData } from "node:worker_threads"
import { EMULATE, FIXED } from "../../src/mmu4/index.ts"
import { Shootdown } from "./shootdown.ts"
import { INDICES, POOL, resolve, WINDOW_SLOTS } from "./simulation.ts"
import { Hardware, hfnToGfn, TestMemory, World, type WorldOptions, type WorldShare } from "./world.ts"

/*
 * One virtual CPU of a guest in a thread of its own. Each message is a seed: it does some hundred random things, in the guest
 * and as its module, and answers with what it has done.
 */

export interface ProcessorJob {
  readonly options: WorldOptions
  readonly share: WorldShare
  readonly shootdown: SharedArrayBuffer
  readonly vcpu: number
  readonly vpns: readonly number[]
  readonly operations: number
}

export interface ProcessorReport {
  /** Accesses that arrived, stores to page tables among them, and those of them that went through windows. */
  accesses: number
  stores: number
  windows: number
}

const { options, share, shootdown: buffer, vcpu, vpns, operations } = workerData as ProcessorJob
const shootdown = new Shootdown(buffer)
const own = new Hardware(new TestMemory(share.memory))
const flushers = Array.from({ length: options.vcpus ?? 1 }, (_, i) =>
  i === vcpu ? own : { flushAll: () => shootdown.evict(i), flushPage: () => shootdown.evict(i) },
)
const world = new World(options, { share, hardware: [], flushers })
const { mmu } = world
const cpu = mmu.vcpus[vcpu]!
let report: ProcessorReport = { accesses: 0, stores: 0, windows: 0 }

/** Marsaglia's xorshift. */
let state = 1
const random = (below: number): number => {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) % below
}
const chance = (percent: number): boolean => random(100) < percent
const pick = <T>(from: readonly T[]): T => from[random(from.length)]!

const FLAGS: readonly (readonly [flag: bigint, percent: number])[] = [
  [1n, 95],
  [2n, 90],
  [4n, 88],
  [0x20n, 60],
  [0x40n, 50],
  [0x80n, 8],
  [1n << 63n, 10],
]
const entryFor = (frame: number): bigint => {
  let flags = 0n
  for (const [flag, percent] of FLAGS) if (chance(percent)) flags |= flag
  return resolve(frame, { wild: chance(4), pick: random(100), flags })
}

/** The processor's stay in the guest: until it faults, or is asked to leave. What `work` says is why it left. */
const inGuest = <T>(user: boolean, work: () => T): T => {
  own.root = cpu.rootFor(user)
  own.ring3 = user || options.supervisor !== true
  shootdown.enter(vcpu)
  own.flushAll()
  try {
    return work()
  } finally {
    shootdown.leave(vcpu)
  }
}

/** The access itself, with the store that it is for; the page fault's code as a negative number. */
const access = (vpn: number, write: boolean, fetch: boolean): number => {
  const hfn = own.access(vpn, write, fetch)
  if (hfn < 0) return hfn
  const gfn = hfnToGfn.get(hfn)
  if (gfn === undefined) throw new Error(`the guest reached host frame ${hfn}`)
  report.accesses++
  if (write && gfn < POOL) {
    world.memory.write64(hfn * 4096 + 8 * pick(INDICES), entryFor(gfn))
    report.stores++
  }
  return hfn
}

/** As a module does it: the instruction runs with its page open, and if that is not enough, again from the start. */
const throughWindow = (vpn: number, user: boolean): void => {
  if (!cpu.openWindow(vpn, user)) return
  if (inGuest(user, () => access(vpn, true, false)) >= 0) report.windows++
  cpu.closeWindow()
}

const run = (): void => {
  const user = chance(30)
  let vpn = 0
  let write = false
  const fault = inGuest(user, () => {
    for (let i = 0; i < 8 && !shootdown.mustLeave(vcpu); i++) {
      // Half of all accesses go through the kernel's own mapping of its page tables.
      vpn = chance(50) ? pick(WINDOW_SLOTS) * 2 ** 27 + random(POOL) : pick(vpns)
      write = chance(50)
      const hfn = access(vpn, write, !write && chance(20))
      if (hfn < 0) return -1 - hfn
    }
    return -1
  })
  if (fault < 0) return
  const r = cpu.pageFault(vpn, 8 * pick(INDICES), fault, user)
  if (r.kind !== EMULATE) return
  if (chance(50)) {
    throughWindow(vpn, user)
    return
  }
  const gfn = Math.floor(r.gpa / 4096)
  const value = gfn < POOL ? entryFor(gfn) : 0n
  if (gfn < POOL) mmu.guestWrite(r.gpa, 8, Number(value & 0xffffffffn), Number(value >> 32n))
}

const module = (): void => {
  const frame = random(POOL)
  const gpa = frame * 4096 + 8 * pick(INDICES)
  const what = random(100)
  if (what < 30) cpu.flushAddress(pick(vpns))
  else if (what < 50) cpu.flush(true)
  else if (what < 70) cpu.newRoot(pick([0, 0, 1, 1, frame]) * 4096)
  else if (what < 80) {
    const { kind, gpa: at } = cpu.translate(pick(vpns), 0x123, pick([0, 2, 16]), chance(30))
    if (kind === FIXED && !world.isMemory(Math.floor(at / 4096))) throw new Error(`${at} is no memory`)
  } else if (what < 86) {
    world.poke(gpa, entryFor(frame))
    mmu.memoryWritten(gpa, 8)
  } else if (what < 92) mmu.entryChanged(gpa)
  else if (what < 94) mmu.zapFrame(frame)
  else if (what < 96) mmu.zapAll()
  else if (what < 98) cpu.linear()
  else mmu.reclaim(1 + random(8))
}

parentPort!.on("message", (seed: number) => {
  state = seed
  report = { accesses: 0, stores: 0, windows: 0 }
  for (let i = 0; i < operations; i++) {
    if (chance(85)) run()
    else module()
  }
  parentPort!.postMessage(report)
})
