import { describe, expect, it } from "vitest"
import { type Choices, LGUEST64 } from "../../src/design/dimensions.ts"
import { check } from "../../src/design/rules.ts"
import type { Hosted } from "../../src/modules/index.ts"
import { designWord } from "../../src/modules/designWord.ts"
import { VCPU } from "../../src/vcpu/index.ts"
import { fixed } from "../../src/host/x86_64/fixedArea.ts"
import { KNOWN_OFFSET, TASK } from "../../src/host/x86_64/layout.ts"
import { CR3 } from "../../src/machine/core/state.ts"
import type { Field } from "../../src/machine/layout.ts"
import { PDA } from "../../src/pda/index.ts"
import { translate } from "../host/worlds.ts"
import { bootDesign, MEMORY, Puppy } from "./puppy.ts"

/*
 * "We would like to have modules for different hypervisors. So you can load two different hypervisor modules in at the same
 * time and dependent on which guest is running for which hypervisor, we would have different functions being pointed to by
 * those pointers" (Steven Rostedt). Two guests of different designs on the same processors, and what the VCPU pointer
 * leads to whenever somebody looks.
 */

const design = (choices: Partial<Choices>): Choices => ({ ...LGUEST64, ...choices })

/** Who argued for what is in designs/*.yaml; here it matters that they differ. */
const PAIRS: ReadonlyArray<readonly [name: string, a: Choices, b: Choices]> = [
  ["Rusty's answer and the proposal", design({}), design({ host: "everything", pageOffset: "guest-moves" })],
  [
    "ring 3 with CR4.PVI, and ring 1 with the bare machine's selectors",
    design({ interruptFlag: "pvi", hypercall: "interrupt" }),
    design({ ring: 1, spaces: "one", selectors: "switched" }),
  ],
  [
    "Xen's method, and plex86's",
    design({ mmu: "direct", hypercall: "call-page" }),
    design({ mmu: "on-demand", interruptFlag: "pvi" }),
  ],
]

const SCRIPT = ["getpid-loop 200", "fork-bench 3", "pipe-bench 20", "echo alive", "poweroff 7"]
/** Simulated ns between two looks: no whole parts of anything. */
const APART = 49_999
const LONGEST = 20_000_000_000

type Found = Choices["vcpu"]

/** What runs on a processor, and the functions that the entry code would find there, "" for none. */
const look = (
  hosted: Hosted,
  vcpu: Found,
  cpu: number,
): { readonly kind: string; readonly pid: number; readonly functions: string } | undefined => {
  const { kernel, machine } = hosted
  const { ram } = machine
  const { processor } = kernel.cpus[cpu]!
  // While the host is at work itself, pointers may be half changed.
  if (processor.cpl === 0 && !processor.halted) return undefined
  const pid = kernel.cpuTable.current[cpu]!
  const { pa } = hosted.view().perProcessor(cpu)
  const pointer: Record<Found, () => bigint> = {
    pda: () => ram.readBig(pa + PDA.fields.vcpu.offset),
    task: () => ram.readBig(kernel.tasks.of(pid).pa + TASK.fields.vcpu.offset),
    "known-address": () => fixed(KNOWN_OFFSET),
  }
  const address = pointer[vcpu]()
  const root = Number(processor.long(CR3))
  const read = ({ offset }: Field) => ram.readBig(translate(ram, root, address + BigInt(offset)))
  const { systemCall, trap, enter } = VCPU.fields
  const none = address === 0n || read(systemCall) === 0n
  return {
    kind: kernel.tasks.kind(pid),
    pid,
    functions: none ? "" : [systemCall, trap, enter].map((field) => read(field).toString(16)).join(" "),
  }
}

/** A guest of a design on a part of the host's memory. */
const openIn = (hosted: Hosted, choices: Choices, index: number): Puppy => {
  const base = hosted.guestBase + index * MEMORY
  hosted.machine.ram.fill(base, MEMORY, 0)
  const device = hosted.open(base, MEMORY, 2000, choices)
  const { machine, kernel } = hosted
  return new Puppy({ machine, kernel, device, guestBase: base, designWord: designWord(choices, base / 4096) }, "x86_64")
}

/** Where the entry code looks is one answer for all guests of a host. */
const FOUND: ReadonlyArray<Found> = ["pda", "task", "known-address"]
const CASES = PAIRS.flatMap(([name, a, b]) =>
  FOUND.map((vcpu) => [name, vcpu, { ...a, vcpu }, { ...b, vcpu }] as const).filter(([, , ...both]) =>
    both.every((choices) => check(choices).length === 0),
  ),
)

describe.each(CASES)("%s, found by %s:", (_name, vcpu, a, b) => {
  it.each([1, 2])(
    "run on the same %i processors, each by its own functions; between them the pointer is NULL",
    async (cpus) => {
      const hosted = await bootDesign(design({ vcpu }), { bytes: 2 * MEMORY, processors: cpus })
      hosted.device.close()
      const guests = [a, b].map((choices, i) => openIn(hosted, choices, i))
      const left = guests.map(() => [...SCRIPT])
      /** Functions behind the VCPU pointers that were seen, by task. */
      const seen = new Map<number, Set<string>>()
      let free = 0
      const ended = new Map<number, unknown>()
      for (let n = 0; ended.size < guests.length; n++) {
        expect(hosted.kernel.time).toBeLessThan(LONGEST)
        const i = n % guests.length
        const guest = guests[i]!
        if (ended.has(i)) continue
        const event = guest.guest.run(APART)
        if (event.kind !== "budget" && event.kind !== "idle") {
          ended.set(i, event)
          guest.guest.host.device.close()
          continue
        }
        if (event.kind === "idle" && guest.waits && left[i]!.length > 0) guest.type(left[i]!.shift()!)
        else if (event.kind === "idle") guest.guest.skip(Math.min(event.until, guest.guest.now + APART))
        for (const { index } of hosted.kernel.cpus) {
          const what = look(hosted, vcpu, index)
          if (what === undefined) continue
          if (what.kind === "vcpu") seen.set(what.pid, (seen.get(what.pid) ?? new Set()).add(what.functions))
          else {
            expect(what.functions).toBe("")
            free++
          }
        }
      }
      for (const guest of guests) expect(guest.output).toContain("\nalive\n")
      for (const event of ended.values()) expect(event).toMatchObject({ kind: "powerOff", status: 7 })
      expect(free).toBeGreaterThan(0)
      expect(seen.size).toBe(2)
      expect([...seen.values()].some((functions) => functions.has(""))).toBe(false)
      for (const functions of seen.values()) expect(functions.size).toBe(1)
      expect(new Set([...seen.values()].map(([...functions]) => functions[0])).size).toBe(2)
    },
  )
})
