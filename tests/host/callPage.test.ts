import { describe, expect, it } from "vitest"
import { type Choices, LGUEST64 } from "../../src/design/dimensions.ts"
import { EventLog } from "../../src/host/eventLog.ts"
import { fixed } from "../../src/host/x86_64/fixedArea.ts"
import { Lguest64Device } from "../../src/modules/lguest64/index.ts"
import { bootLguest64 } from "../../src/modules/lguest64/boot.ts"
import * as ABI from "../../src/paravirt_ops/lguest64.ts"
import { symbols } from "../../src/vcpu/callPage_64.gen.ts"
import { core, GUEST_BYTES } from "../lguest64/guests.ts"

/* The call page as guests' kernels see it: called from their code, in the linear view that they begin in. */

const LOAD = 0x10_0000
const STACK = 0x20_0000
const RESULTS = 0x3000
const MESSAGE = 0x4000
const IF = 0x200

const bytes32 = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255]
const address = fixed(ABI.CALL_PAGE_OFFSET)
const bytes64 = (value: bigint) => Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n))

/** mov $STACK,%esp; movabs $the call page,%rbx */
const BEGIN = [0xbc, ...bytes32(STACK), 0x48, 0xbb, ...bytes64(address)]
/** lea the function(%rbx),%rbp; call *%rbp */
const call = (number: number) => [0x48, 0x8d, 0xab, ...bytes32(number * ABI.CALL_STRIDE), 0xff, 0xd5]
/** mov $value,%eax */
const eax = (value: number) => [0xb8, ...bytes32(value)]
/** mov %eax,RESULTS + 4 * index */
const keep = (index: number) => [0x89, 0x04, 0x25, ...bytes32(RESULTS + 4 * index)]
/** mov $value,%edi; and so on for %esi and %edx */
const END = [
  ...[0xbf, ...bytes32(MESSAGE), 0xbe, ...bytes32(ABI.SHUTDOWN_POWEROFF), 0xba, ...bytes32(7)],
  ...eax(ABI.LHCALL.SHUTDOWN),
  ...call(ABI.CALL_HYPERCALL),
]

const run = (choices: Partial<Choices>, body: ReadonlyArray<number>, waits = false) => {
  const design: Choices = { ...LGUEST64, hypercall: "call-page", interruptFlag: "rom", ...choices }
  const config = { core, guestBytes: GUEST_BYTES, startMs: 0, processors: 1, log: EventLog.off, design }
  const hosted = bootLguest64(config)
  const { ram } = hosted.machine
  ram.copyIn(hosted.guestBase + LOAD, Uint8Array.from([...BEGIN, ...body, ...END]))
  hosted.device.initialize({ entry: LOAD, bootParams: 0x1000 })
  if (!(hosted.device instanceof Lguest64Device)) throw new Error("the module is another one")
  if (waits) hosted.device.guest.vcpus[0]!.setRomPending(1)
  const pending = hosted.device.read(hosted.kernel.now + 1_000_000)
  const result = (index: number) => ram.read32(hosted.guestBase + RESULTS + 4 * index)
  return { pending, result, gate: hosted.kernel.processor.counters().vectors[ABI.HYPERCALL_VECTOR] }
}

const DONE = { kind: "shutdown", restart: false, status: 7, message: "" }

describe("the call page", () => {
  it("has its functions where the treaty says", () => {
    expect(symbols).toEqual({
      call_hypercall: ABI.CALL_HYPERCALL * ABI.CALL_STRIDE,
      call_save_flags: ABI.CALL_SAVE_FLAGS * ABI.CALL_STRIDE,
      call_restore_flags: ABI.CALL_RESTORE_FLAGS * ABI.CALL_STRIDE,
      call_irq_disable: ABI.CALL_IRQ_DISABLE * ABI.CALL_STRIDE,
      call_irq_enable: ABI.CALL_IRQ_ENABLE * ABI.CALL_STRIDE,
    })
  })

  const designs: ReadonlyArray<Partial<Choices>> = [
    {},
    { ring: 1 },
    { host: "everything", pageOffset: "host-moves" },
    { vcpu: "known-address", ring: 1 },
    { selectors: "switched" },
  ]
  for (const choices of designs)
    it(`keeps the flag, and calls the host (${Object.values(choices).join(", ")})`, () => {
      const save = (index: number) => [...eax(-1), ...call(ABI.CALL_SAVE_FLAGS), ...keep(index)]
      const { pending, result } = run(choices, [
        ...save(0),
        ...eax(5),
        ...call(ABI.CALL_IRQ_ENABLE),
        ...keep(8),
        ...save(1),
        ...call(ABI.CALL_IRQ_DISABLE),
        ...save(2),
        ...eax(0x246),
        ...call(ABI.CALL_RESTORE_FLAGS),
        ...keep(9),
        ...save(3),
        ...eax(0x46),
        ...call(ABI.CALL_RESTORE_FLAGS),
        ...save(4),
      ])
      expect(pending).toEqual(DONE)
      expect([0, 1, 2, 3, 4].map(result)).toEqual([0, IF, 0, IF, 0])
      // What is no result is not lost.
      expect([result(8), result(9)]).toEqual([5, 0x246])
    })

  const enabling = [
    ["irq_enable", [...eax(5), ...call(ABI.CALL_IRQ_ENABLE), ...keep(0)], 5],
    ["restore_flags", [...eax(IF), ...call(ABI.CALL_RESTORE_FLAGS), ...keep(0)], IF],
  ] as const
  for (const [name, body, left] of enabling)
    it(`asks in ${name} for the interrupts that wait, and only then`, () => {
      for (const waits of [false, true]) {
        const { pending, result, gate } = run({}, body, waits)
        expect(pending).toEqual(DONE)
        expect(gate).toBe(waits ? 2 : 1)
        expect(result(0)).toBe(left)
      }
      const off = [...eax(0), ...call(ABI.CALL_RESTORE_FLAGS), ...call(ABI.CALL_IRQ_DISABLE)]
      expect(run({}, off, true).gate).toBe(1)
    })
})
