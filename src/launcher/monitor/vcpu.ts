import { INTR_LINE, WAIT_SIPI } from "../../machine/core/state.ts"
import type { Subject } from "./subject.ts"
import { bracketed, hex } from "./text.ts"

/* `info vcpu`: what each virtual CPU is doing. */

const FLAG_IF = 0x200n
const HEX = 4

const bitsOf = (words: number): ReadonlyArray<string> => {
  const found: string[] = []
  for (let irq = 0; irq < 32; irq++) if (((words >>> irq) & 1) !== 0) found.push(String(irq))
  return found
}

const native = (subject: Subject, index: number): ReadonlyArray<string> => {
  const cpu = subject.processors[index]!
  const state =
    cpu.word(WAIT_SIPI) !== 0
      ? "down: waits for a start-up IPI"
      : cpu.halted
        ? "halted: waits for an interrupt"
        : "runs"
  return [state, `ring ${cpu.cpl}`, cpu.word(INTR_LINE) !== 0 ? "an interrupt waits" : "no interrupt waits"]
}

const hosted = (subject: Subject, index: number): ReadonlyArray<string> => {
  const { kernel, vcpus } = subject.module!
  const { task, up, halted, waitsFor, view, linear, pendingInterrupts } = vcpus[index]!
  const running = subject.vcpus[index]!.running()
  const cpu = subject.processorOf(index)
  const isCurrent = kernel.processorOf(task) !== undefined
  const state = !up
    ? "down: not started"
    : waitsFor !== undefined
      ? `waits for the launcher (${waitsFor})`
      : halted
        ? "halted: waits for an interrupt"
        : running !== undefined
          ? "runs in its guest"
          : isCurrent
            ? "runs in its host"
            : task.runnable
              ? "waits for a processor"
              : "sleeps"
  const ring = Number(subject.vcpus[index]!.read("cs") & 3n)
  const waiting = pendingInterrupts === 0 ? "none" : bracketed(bitsOf(pendingInterrupts))
  return [
    state,
    `ring ${ring}, ${view} view${linear ? ", no page tables yet" : ""}`,
    `virtual interrupts waiting: ${waiting}`,
    `${isCurrent ? "on" : "last on"} processor ${cpu}, task ${task.pid} "${task.name}"`,
  ]
}

export const infoVcpu = (subject: Subject): string =>
  subject.vcpus
    .map((vcpu, index) => {
      const mark = index === subject.index ? "*" : " "
      const enabled = (vcpu.read("eflags") & FLAG_IF) !== 0n ? "on" : "off"
      const rest = subject.module === undefined ? native(subject, index) : hosted(subject, index)
      const [state, ...more] = [...rest, `interrupts ${enabled}`, `rip ${hex(vcpu.read("rip"), subject.bits)}`]
      return `${mark} virtual CPU ${index}: ${state}\n${more.map((text) => `${" ".repeat(HEX)}${text}`).join("\n")}`
    })
    .join("\n")
