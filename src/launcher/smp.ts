import { InvalidArgumentError } from "commander"

/* `--smp`, `--pcpus` and `--pin`: virtual CPUs, the processors that they run on, and who may run where. */

/** Most virtual CPUs of a guest, and most processors of a host. */
export const MOST_CPUS = 16

export interface SmpOptions {
  readonly vcpus: number
  readonly processors: number
  /** Virtual CPU -> the one processor that it may run on. */
  readonly pins: ReadonlyMap<number, number>
  /** --smp was given: each virtual CPU has a thread of its own, unless something else needs them all in one. */
  readonly given: boolean
}

export const ONE_CPU: SmpOptions = { vcpus: 1, processors: 1, pins: new Map(), given: false }

export const parseCpus = (text: string): number => {
  const count = Number(text)
  if (!/^\d{1,2}$/.test(text) || count < 1 || count > MOST_CPUS)
    throw new InvalidArgumentError(`It is a number from 1 to ${MOST_CPUS}.`)
  return count
}

/** "0:0,1:1": virtual CPU and processor. */
export const parsePins = (text: string): ReadonlyMap<number, number> => {
  const pins = new Map<number, number>()
  for (const part of text.split(",")) {
    const [, vcpu, processor] = /^(\d{1,2}):(\d{1,2})$/.exec(part) ?? []
    if (vcpu === undefined || processor === undefined)
      throw new InvalidArgumentError(`"${part}" is no pair of a virtual CPU and a processor, such as 1:0.`)
    if (pins.has(Number(vcpu))) throw new InvalidArgumentError(`Virtual CPU ${Number(vcpu)} is pinned twice.`)
    pins.set(Number(vcpu), Number(processor))
  }
  return pins
}

/** What the three say together, or why it makes no sense. */
export const smpOptions = (
  smp: number | undefined,
  pcpus: number | undefined,
  pins: ReadonlyMap<number, number> = new Map(),
): SmpOptions | string => {
  const vcpus = smp ?? 1
  const processors = pcpus ?? vcpus
  for (const [vcpu, processor] of pins) {
    if (vcpu >= vcpus) return `--pin names virtual CPU ${vcpu}, and the guest's are numbered from 0 to ${vcpus - 1}`
    if (processor >= processors)
      return `--pin names processor ${processor}, and the host's are numbered from 0 to ${processors - 1}`
  }
  return { vcpus, processors, pins, given: smp !== undefined || pcpus !== undefined }
}

/** Bit p for each processor that virtual CPU `vcpu` may run on. */
export const affinity = ({ pins }: SmpOptions, vcpu: number): number => {
  const processor = pins.get(vcpu)
  return processor === undefined ? -1 : 1 << processor
}
