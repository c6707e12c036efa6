import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { coreFile } from "../../scripts/build-core.ts"
import { NativePc, type PcEvent } from "../../src/machine/pc.ts"

const core = new WebAssembly.Module(readFileSync(coreFile))
const LOAD = 0x100000

type Arch = "i386" | "x86_64"
const dword = (n: number) => [n & 255, (n >>> 8) & 255, (n >>> 16) & 255, (n >>> 24) & 255]
const word = (n: number) => dword(n).slice(0, 2)

/** Just enough of an assembler; every encoding is the same in 32-bit and 64-bit code. */
const outB = (port: number, value: number) => [0xb0, value, 0xe6, port] // mov $value, %al; out %al, $port
const movDx = (n: number) => [0x66, 0xba, ...word(n)]
const powerOff = (status: number) => [...movDx(0x604), 0x66, 0xb8, ...word(0x2000 | status), 0x66, 0xef]
const STI = 0xfb
const CLI = 0xfa
const HLT = 0xf4
const movEbx = (n: number) => [0xbb, ...dword(n)]
const store = (offset: number, width: number, value: number) =>
  width === 4
    ? [0xc7, 0x83, ...dword(offset), ...dword(value)]
    : width === 2
      ? [0x66, 0xc7, 0x83, ...dword(offset), ...word(value)]
      : [0xc6, 0x83, ...dword(offset), value]

const boot = (arch: Arch, code: ReadonlyArray<number>, options: { cmdline?: string; initrd?: Uint8Array } = {}) => {
  const written: number[] = []
  const serial: number[] = []
  const pc = NativePc.create({
    core,
    memoryBytes: 4 << 20,
    kernel: {
      arch,
      entry: LOAD,
      segments: [{ address: LOAD, bytes: Uint8Array.from(code), memoryBytes: 0x2000 }],
    },
    cmdline: options.cmdline ?? "",
    ...(options.initrd ? { initrd: options.initrd } : {}),
    consoleOut: (bytes) => written.push(...bytes),
    serialOut: (bytes) => serial.push(...bytes),
    clock: () => 1.2e12,
  })
  const text = (bytes: ReadonlyArray<number>) => new TextDecoder().decode(Uint8Array.from(bytes))
  return { pc, output: () => text(written), serial: () => text(serial) }
}

/** Runs to an ending, letting idle time pass. */
const finish = (pc: NativePc, slices = 1000): PcEvent => {
  for (let i = 0; i < slices; i++) {
    const event = pc.run(10_000)
    if (event.kind === "idle" && event.until < Infinity) pc.skip(event.until)
    else if (event.kind !== "budget") return event
  }
  return { kind: "budget" }
}

describe.each<Arch>(["i386", "x86_64"])("native PC, %s", (arch) => {
  it("powers off with the status of port 0x604", () => {
    expect(finish(boot(arch, powerOff(7)).pc)).toEqual({ kind: "powerOff", status: 7 })
  })
  it("enters with rsi at boot_params, which name command line and initrd", () => {
    const { pc } = boot(arch, [HLT], { cmdline: "quiet", initrd: Uint8Array.of(1, 2, 3) })
    const { ram } = pc.machine
    const params = pc.processor.gprLo(6)
    expect(ram.copyOut(ram.read32(params + 0x228), 6)).toEqual(new TextEncoder().encode("quiet\0"))
    expect(ram.read32(params + 0x21c)).toBe(3)
    expect(ram.copyOut(ram.read32(params + 0x218), 3)).toEqual(Uint8Array.of(1, 2, 3))
    expect(ram.read32(params + 0x23c)).toBe(0)
    expect([ram.read8(params + 0x1e8), ram.read32(params + 0x2d8), ram.read32(params + 0x2e0)]).toEqual([1, 4 << 20, 1])
    expect(pc.processor.cpl).toBe(0)
  })
  it("reports a triple fault and HLT with interrupts off, and stays dead", () => {
    for (const [code, reason] of [
      [[0x0f, 0x0b], "triple fault"],
      [[CLI, HLT], "interrupts off"],
    ] as const) {
      const { pc } = boot(arch, [...code])
      const event = finish(pc)
      expect(event.kind === "dead" && event.reason).toContain(reason)
      expect(pc.run(100)).toBe(event)
    }
  })
  it("an endless loop is cut at the slice", () => {
    const { pc } = boot(arch, [0xeb, 0xfe])
    expect(pc.run(12345)).toEqual({ kind: "budget" })
    expect(pc.processor.instructions).toBe(12345)
  })
  it("idles without end when nothing can wake it", () => {
    expect(boot(arch, [STI, HLT]).pc.run(1000)).toEqual({ kind: "idle", until: Infinity })
  })
  it("resets by the keyboard controller", () => {
    expect(finish(boot(arch, outB(0x64, 0xfe)).pc)).toEqual({ kind: "reset" })
  })
  it("writes to the serial port and to the console's emergency register, found through PCI", () => {
    const code = [
      ...movDx(0x3f8),
      ...[0xb0, 0x53, 0xee], // out 'S'
      ...[0xb8, ...dword(0x80000810), ...movDx(0xcf8), 0xef], // the console's base address register
      ...[...movDx(0xcfc), 0xed, 0x89, 0xc3], // in %dx, %eax; mov %eax, %ebx
      ...store(0x2008, 4, 0x43),
      ...powerOff(0),
    ]
    const t = boot(arch, code)
    expect(finish(t.pc)).toEqual({ kind: "powerOff", status: 0 })
    expect([t.serial(), t.output()]).toEqual(["S", "C"])
  })
  it("a ring that cannot be kills the guest through the processor's frames", () => {
    const code = [
      ...movEbx(0xf0000000),
      ...[1, 3].flatMap((status) => store(0x14, 1, status)),
      ...store(0x08, 4, 1),
      ...store(0x0c, 4, 1), // VERSION_1
      ...store(0x14, 1, 11),
      ...store(0x16, 2, 1),
      ...store(0x18, 2, 8),
      ...store(0x20, 4, 0x20000),
      ...store(0x28, 4, 0x21000),
      ...store(0x30, 4, 0x22000),
      ...store(0x1c, 2, 1),
      ...store(0x14, 1, 15),
      ...movEbx(0x20000),
      ...store(0, 4, 0x7fffffff), // descriptor 0: far outside of memory
      ...store(8, 4, 16),
      ...store(0x1002, 2, 1), // available index 1, head 0
      ...movEbx(0xf0003000),
      ...store(4, 2, 1), // notify queue 1
      ...powerOff(0),
    ]
    const event = finish(boot(arch, code).pc)
    expect(event.kind === "killed" && event.reason).toContain("0x7fffffff")
  })
  it("refuses a kernel that does not fit", () => {
    expect(() => boot(arch, [], { initrd: new Uint8Array(4 << 20) })).toThrow(/below 64 KiB|memory/)
    expect(() => boot(arch, [], { cmdline: "x".repeat(3000) })).toThrow(/command line/)
  })
})

describe("native PC, interrupts", () => {
  it("takes timer ticks in HLT at the programmed rate, skipping the time between", () => {
    const IDT = LOAD + 0x1000
    const HANDLER = LOAD + 0x800
    const COUNT = LOAD + 0x1f00
    const main = [
      ...movEbx(IDT + 0x20 * 8),
      ...store(0, 4, (0x10 << 16) | (HANDLER & 0xffff)), // gate of vector 0x20
      ...store(4, 4, (HANDLER & 0xffff0000) | 0x8e00),
      ...[0xbc, ...dword(LOAD + 0x1e00)], // mov $…, %esp
      ...[0x66, 0xc7, 0x05, ...dword(COUNT + 8), ...word(0x7ff)], // IDTR image: limit, base
      ...[0xc7, 0x05, ...dword(COUNT + 10), ...dword(IDT)],
      ...[0x0f, 0x01, 0x1d, ...dword(COUNT + 8)], // lidt
      ...[0x11, 0x20, 4, 1, 0xfe].flatMap((value, i) => outB(i === 0 ? 0x20 : 0x21, value)),
      ...outB(0x43, 0x34),
      ...outB(0x40, 0xa9), // 1193 clocks: 999.8 µs
      ...outB(0x40, 0x04),
      STI,
      HLT,
      ...[0x83, 0x3d, ...dword(COUNT), 10, 0x72, 0xf6], // cmpl $10, COUNT; jb to the HLT
      ...powerOff(10),
    ]
    const handler = [0xff, 0x05, ...dword(COUNT), ...outB(0x20, 0x20), 0xcf] // incl COUNT; EOI; iret
    const code = [...main, ...new Array<number>(0x800 - main.length).fill(0x90), ...handler]
    const { pc } = boot("i386", code)
    expect(finish(pc)).toEqual({ kind: "powerOff", status: 10 })
    expect(Math.abs(pc.now - 10 * 999_847)).toBeLessThan(2000)
    expect(pc.processor.instructions).toBeLessThan(200)
    expect(pc.processor.counters().vectors[0x20]).toBe(10)
  })
})
