import { describe, expect, it } from "vitest"
import { FrameAllocator } from "../../src/host/frames.ts"
import {
  descriptorAddress,
  guestWorld,
  hostWorld,
  mapProcessor,
  mapText,
  mapVcpu,
} from "../../src/host/x86_64/fixedArea.ts"
import { mapDirect, newRoot, PTE_G, PTE_P, PTE_PS, PTE_U } from "../../src/host/x86_64/pageTables.ts"
import * as L from "../../src/host/x86_64/layout.ts"
import { SharedHeap } from "../../src/machine/shared.ts"
import { Ram } from "../../src/machine/ram.ts"
import { GUEST_BYTES, TestGuest, bootHost } from "../lguest64/guests.ts"

const BYTES = 0x40_0000
/** Any processor. */
const CPU = 5

/** Low halves of all entries that map pages, by virtual page number. */
const leaves = (ram: Ram, table: number, level = 4, base = 0): Map<number, number> => {
  const found = new Map<number, number>()
  for (let i = 0; i < 512; i++) {
    const entry = ram.read32(table + 8 * i)
    const vpn = base + i * 512 ** (level - 1)
    if ((entry & PTE_P) === 0) continue
    if (level === 1 || (entry & PTE_PS) !== 0) found.set(vpn, entry)
    else for (const [v, e] of leaves(ram, (entry & ~0xfff) >>> 0, level - 1, vpn)) found.set(v, e)
  }
  return found
}

const HOST_WORLD = hostWorld("pda")
const GUEST_WORLD = guestWorld("pda", "own")

const make = () => {
  const memory = new WebAssembly.Memory({ initial: 65, maximum: 65, shared: true })
  const ram = new Ram(memory, 0x1_0000, BYTES, 0x1000)
  const frames = new FrameAllocator(ram, SharedHeap.create(), 1, BYTES / 4096)
  const take = (count: number) => Array.from({ length: count }, () => newRoot(frames))
  const [host, guest, descriptor, state] = take(4) as [number, number, number, number]
  const text = take(L.TEXT_PAGES)
  const pages = take(L.CPU_USED)
  mapDirect(ram, frames, host, L.PAGE_OFFSET, BYTES)
  mapText(ram, frames, host, text)
  mapProcessor(ram, frames, host, CPU, pages, HOST_WORLD)
  mapVcpu(ram, frames, host, descriptorAddress(3), descriptor, state, HOST_WORLD)
  mapText(ram, frames, guest, text)
  mapProcessor(ram, frames, guest, CPU, pages, GUEST_WORLD)
  mapVcpu(ram, frames, guest, descriptorAddress(3), descriptor, state, GUEST_WORLD)
  return { host: leaves(ram, host), guest: leaves(ram, guest) }
}

describe("the fixed area", () => {
  it("is global exactly where both worlds map the same page with the same rights", () => {
    const { host, guest } = make()
    expect(guest.size).toBe(L.TEXT_PAGES + L.CPU_IST + 3 + 2)
    for (const [vpn, entry] of host) {
      const inGuest = guest.get(vpn)
      const same = inGuest !== undefined && ((inGuest ^ entry) & ~PTE_G) === 0
      expect({ vpn, global: (entry & PTE_G) !== 0 }).toEqual({ vpn, global: same })
    }
    for (const [vpn, entry] of guest) {
      expect(host.has(vpn)).toBe(true)
      expect(entry & PTE_G).toBe(host.get(vpn)! & PTE_G)
    }
  })

  it("is for ring 0, in both worlds", () => {
    const { host, guest } = make()
    for (const entry of [...host.values(), ...guest.values()]) expect(entry & PTE_U).toBe(0)
  })

  it("loses a virtual CPU's state page from the TLB when its task leaves the processor", () => {
    const host = bootHost(2 * GUEST_BYTES)
    const a = new TestGuest("spin", { host })
    const b = new TestGuest("spin", { host, base: host.guestBase + GUEST_BYTES })
    const { kernel } = host
    const before = kernel.processor.counters().invlpg
    b.run(kernel.now + 1000)
    a.run(kernel.now + 100_000_000)
    const left = kernel.tasks.list().reduce((sum, task) => sum + (task.kind === "vcpu" ? task.switches : 0), 0)
    const running = kernel.current.kind === "vcpu" ? 1 : 0
    expect(left).toBeGreaterThan(5)
    expect(kernel.processor.counters().invlpg - before).toBe(left - running)
  })
})
