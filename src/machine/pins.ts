import {
  ATTENTION,
  ATT_INIT,
  ATT_INTR,
  ATT_NMI,
  ATT_SIPI,
  CPU_AREA,
  CPU_STRIDE,
  INTR_LINE,
  SIPI_VECTOR,
} from "./core/state.ts"

/** What the APICs do to the processors. */
export interface ProcessorPins {
  setIntr(cpu: number, level: boolean): void
  nmi(cpu: number): void
  init(cpu: number): void
  /** Start-up IPI: begin in real mode at vector * 4096. */
  startUp(cpu: number, vector: number): void
}

/*
 * The pins of all processors, as words of the shared memory: whoever drives one needs no instance of the core, and may be
 * in another thread than the one that runs the processor. `attention(cpu)` is called when a processor has something new to
 * attend to, after it can be seen: here a thread that sleeps for it is woken.
 *
 * `machine` is asked when the first pin is driven, because a machine is made with its bus and the bus with these pins.
 */
export const processorPins = (
  machine: () => { readonly memory: WebAssembly.Memory },
  attention: (cpu: number) => void = () => undefined,
): ProcessorPins => {
  let words: Int32Array | undefined
  const state = (): Int32Array => (words ??= new Int32Array(machine().memory.buffer))
  const word = (cpu: number, offset: number): number => (CPU_AREA + cpu * CPU_STRIDE + offset) >>> 2
  const attend = (cpu: number, bits: number): void => {
    Atomics.or(state(), word(cpu, ATTENTION), bits)
    attention(cpu)
  }
  return {
    setIntr: (cpu, level) => {
      // The line first: while IF is clear the core drops the attention and keeps to the line.
      Atomics.store(state(), word(cpu, INTR_LINE), level ? 1 : 0)
      if (level) attend(cpu, ATT_INTR)
      else Atomics.and(state(), word(cpu, ATTENTION), ~ATT_INTR)
    },
    nmi: (cpu) => attend(cpu, ATT_NMI),
    init: (cpu) => attend(cpu, ATT_INIT),
    startUp: (cpu, vector) => {
      Atomics.store(state(), word(cpu, SIPI_VECTOR), vector)
      attend(cpu, ATT_SIPI)
    },
  }
}
