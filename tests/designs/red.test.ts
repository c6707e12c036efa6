import { describe, expect, it } from "vitest"
import { type Choices, LGUEST64 } from "../../src/design/dimensions.ts"
import { EventLog } from "../../src/host/eventLog.ts"
import { ATT_NMI } from "../../src/machine/core/state.ts"
import type { VcpuInspection } from "../../src/machine/inspection.ts"
import type { Hosted } from "../../src/modules/index.ts"
import { bootLguest64 } from "../../src/modules/lguest64/boot.ts"
import { symbols } from "../lguest64/guest.gen.ts"
import { core, GUEST_BYTES, KERNEL_CODE, layOut } from "../lguest64/guests.ts"

/* What was found by whoever read designs' code as an attacker, and no program of guests/attacks can bring about by itself. */

const LOAD = 0x10_0000
/** Four pages of the guest's that nothing else uses. */
const TABLES = 0x8_0000
/** The first address that is not canonical. */
const EDGE = 0x8000_0000_0000n
/** Instructions in which a guest gets where it wants to be. */
const SOON = 200_000

const DESIGNS: ReadonlyArray<readonly [name: string, choices: Partial<Choices>]> = [
  ["lguest64", {}],
  ["the proposal", { host: "everything", pageOffset: "guest-moves" }],
]

/** A guest whose kernel does nothing but `code`, on its own tables. */
const bootKernel = (choices: Partial<Choices>, code: ReadonlyArray<number>): Hosted => {
  const design = { ...LGUEST64, ...choices }
  const hosted = bootLguest64({ core, guestBytes: GUEST_BYTES, startMs: 0, log: EventLog.off, design })
  layOut(hosted, hosted.guestBase)
  hosted.machine.ram.copyIn(hosted.guestBase + KERNEL_CODE, Uint8Array.from(code))
  hosted.device.initialize({ entry: LOAD + symbols.kernel, bootParams: 0x1000 })
  return hosted
}

/** Goes on by single instructions until the processor, in the guest, is where it ought to be. */
const stepTo = ({ kernel, device }: Hosted, there: (rip: bigint) => boolean): void => {
  const { processor } = kernel.cpus[0]!
  for (let i = 0; i < SOON; i++) {
    if (processor.cpl !== 0 && there(processor.rip)) return
    device.read(kernel.now + 1)
  }
  throw new Error(`the guest is at 0x${processor.rip.toString(16)}`)
}

describe.each(DESIGNS)("%s:", (_name, choices) => {
  it("an interrupt behind the last address of the lower half is the guest's end, and nobody else's", () => {
    // movabs $0x7fffffffffff, %rax; jmp *%rax, to a NOP
    const hosted = bootKernel(choices, [0x48, 0xb8, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0xff, 0xe0])
    const { machine, guestBase, kernel, device } = hosted
    const entry = (table: number, index: number, value: number) =>
      machine.ram.write64(guestBase + table + 8 * index, value, 0)
    entry(0x4000, 255, TABLES | 0x63)
    for (const table of [0, 0x1000, 0x2000]) entry(TABLES + table, 511, (TABLES + table + 0x1000) | 0x63)
    machine.ram.fill(guestBase + TABLES + 0x3000, 4096, 0x90)
    stepTo(hosted, (rip) => rip === EDGE)
    kernel.cpus[0]!.clock.kick()
    expect(device.read(kernel.now + SOON)).toMatchObject({ kind: "killed" })
  })

  it("who returns from an NMI into a guest is inside for a shootdown", () => {
    const hosted = bootKernel(choices, [0xeb, 0xfe]) // jmp .
    const { kernel, device } = hosted
    const [{ processor }] = kernel.cpus as [(typeof kernel.cpus)[0]]
    const inside = () => kernel.cpuTable.inGuest[0] !== 0
    const here = (rip: bigint) => rip === 0xffff_ffff_8000_0000n + BigInt(KERNEL_CODE)
    stepTo(hosted, here)
    expect(inside()).toBe(true)
    processor.attend(ATT_NMI)
    device.read(kernel.now + 1)
    expect(processor.cpl).toBe(0)
    stepTo(hosted, here)
    expect(inside()).toBe(true)
  })
})

describe("with the interrupt flag in VIF", () => {
  it("a debugger sees and sets it while the guest runs", () => {
    const hosted = bootKernel({ interruptFlag: "pvi" }, [0xfb, 0xfa, 0xeb, 0xfe]) // sti; cli; jmp .
    const { kernel, device } = hosted
    const at = 0xffff_ffff_8000_0000n + BigInt(KERNEL_CODE)
    const [vcpu] = hosted.inspect().vcpus as [VcpuInspection]
    const isOn = () => (vcpu.read("eflags") & 0x200n) !== 0n
    stepTo(hosted, (rip) => rip === at + 1n)
    expect(isOn()).toBe(true)
    stepTo(hosted, (rip) => rip === at + 2n)
    expect(isOn()).toBe(false)
    vcpu.write("eflags", 0x202n)
    expect(isOn()).toBe(true)
    kernel.cpus[0]!.clock.kick()
    expect(device.read(kernel.now + SOON).kind).toBe("slice")
    expect(isOn()).toBe(true)
  })
})
