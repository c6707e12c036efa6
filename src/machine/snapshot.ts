import { ATT_UNSEEN, ATTENTION, DEBUG_BREAKS, DEBUG_HIT, DEBUG_RING, DEBUG_WATCHES, WATCHED } from "./core/state.ts"
import type { Machine } from "./machine.ts"
import type { HeapShare } from "./shared.ts"

/*
 * A machine's state, taken out and put back. Three things make it up: the simulated memory (with the processors' areas in
 * it, so registers, TLBs and decoded code too), the arrays of the SharedHeap, and what devices keep in fields of their own.
 * State is put back into a machine that has been made by the same configuration and has not run: every object is there, only
 * the contents change, and no wire moves while they do.
 */

/** What is kept of fields: data that JSON can hold. */
export type State = boolean | number | string | ReadonlyArray<State> | { readonly [name: string]: State }

/** State that is not of the machine that it is put into. */
export class BadState extends Error {
  override readonly name = "BadState"
}

/** The machine is at a moment at which its state is not all there. */
export class NotNow extends Error {
  override readonly name = "NotNow"
}

export interface Saved {
  save(): State
  /** Throws BadState. */
  restore(state: State): void
}

type NumberArray = Uint8Array | Uint32Array | Int32Array | Float64Array

/** Which fields of a class are its state. All else is scratch, or given to the constructor. */
export interface FieldNames {
  readonly numbers?: ReadonlyArray<string>
  readonly flags?: ReadonlyArray<string>
  /** Typed arrays whose length does not change. */
  readonly arrays?: ReadonlyArray<string>
  /** Arrays of numbers, and of byte arrays, that grow and shrink. */
  readonly lists?: ReadonlyArray<string>
  readonly chunks?: ReadonlyArray<string>
  /** Objects that save themselves, and arrays of them. */
  readonly parts?: ReadonlyArray<string>
}

/** JSON has no Infinity, which as a time means never. */
const ofNumber = (value: number): State => (Number.isFinite(value) ? value : String(value))

const toNumber = (state: State | undefined, name: string): number => {
  if (typeof state === "number") return state
  if (state === "Infinity" || state === "-Infinity") return Number(state)
  throw new BadState(`${name} is no number`)
}

/** The members of a state that is a record; throws BadState for any other. */
export const recordOf = (state: State | undefined, name: string): Readonly<Record<string, State>> => {
  if (typeof state !== "object" || state === null || Array.isArray(state)) throw new BadState(`${name} is no record`)
  return state as Readonly<Record<string, State>>
}

export const listOf = (state: State | undefined, name: string): ReadonlyArray<State> => {
  if (!Array.isArray(state)) throw new BadState(`${name} is no list`)
  return state as ReadonlyArray<State>
}

export const ofNumbers = (values: ArrayLike<number>): State => Array.from(values, ofNumber)

export const toNumbers = (state: State | undefined, name: string): number[] =>
  listOf(state, name).map((value) => toNumber(value, name))

/** The owner's members by name; private ones too, for the owner itself hands them over. */
type Owner = Record<string, unknown>

export class Fields {
  private readonly names: Required<FieldNames>

  constructor({ numbers = [], flags = [], arrays = [], lists = [], chunks = [], parts = [] }: FieldNames) {
    this.names = { numbers, flags, arrays, lists, chunks, parts }
  }

  save(owner: object): Readonly<Record<string, State>> {
    const from = owner as Owner
    const { numbers, flags, arrays, lists, chunks, parts } = this.names
    const state: Record<string, State> = {}
    for (const name of numbers) state[name] = ofNumber(from[name] as number)
    for (const name of flags) state[name] = from[name] as boolean
    for (const name of [...arrays, ...lists]) state[name] = ofNumbers(from[name] as ArrayLike<number>)
    for (const name of chunks) state[name] = (from[name] as ReadonlyArray<Uint8Array>).map(ofNumbers)
    for (const name of parts) {
      const part = from[name] as Saved | ReadonlyArray<Saved>
      state[name] = Array.isArray(part) ? (part as ReadonlyArray<Saved>).map((p) => p.save()) : (part as Saved).save()
    }
    return state
  }

  restore(owner: object, state: State): void {
    const to = owner as Owner
    const { numbers, flags, arrays, lists, chunks, parts } = this.names
    const given = recordOf(state, owner.constructor.name)
    for (const name of numbers) to[name] = toNumber(given[name], name)
    for (const name of flags) {
      if (typeof given[name] !== "boolean") throw new BadState(`${name} is neither true nor false`)
      to[name] = given[name]
    }
    for (const name of arrays) {
      const array = to[name] as NumberArray
      const values = toNumbers(given[name], name)
      if (values.length !== array.length) throw new BadState(`${name} has ${values.length} elements`)
      array.set(values)
    }
    for (const name of lists) {
      const list = to[name] as number[]
      list.length = 0
      for (const value of toNumbers(given[name], name)) list.push(value)
    }
    for (const name of chunks) {
      const list = to[name] as Uint8Array[]
      list.length = 0
      for (const chunk of listOf(given[name], name)) list.push(Uint8Array.from(toNumbers(chunk, name)))
    }
    for (const name of parts) {
      const part = to[name] as Saved | ReadonlyArray<Saved>
      if (Array.isArray(part)) restoreAll(part as ReadonlyArray<Saved>, given[name], name)
      else (part as Saved).restore(stateOf(given[name], name))
    }
  }
}

export const stateOf = (state: State | undefined, name: string): State => {
  if (state === undefined) throw new BadState(`${name} is not there`)
  return state
}

const restoreAll = (parts: ReadonlyArray<Saved>, state: State | undefined, name: string): void => {
  const list = listOf(state, name)
  if (list.length !== parts.length) throw new BadState(`${name} has ${list.length} parts`)
  parts.forEach((part, i) => part.restore(list[i]!))
}

/** A machine's parts by name. */
export type Parts = Readonly<Record<string, Saved>>

export const saveParts = (parts: Parts): State =>
  Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, part.save()]))

export const restoreParts = (parts: Parts, state: State): void => {
  const given = recordOf(state, "the machine")
  for (const [name, part] of Object.entries(parts)) part.restore(stateOf(given[name], name))
}

// ------------------------------------------------------------------------------------------------------------- arrays

const PAGE = 4096
/** Pages in a chunk: 1 MiB. */
export const CHUNK_PAGES = 256

/** The pages of a memory that are not all zeros. */
export interface Pages {
  /** Page numbers in the memory, in ascending order. */
  readonly numbers: Uint32Array
  /** Their bytes, CHUNK_PAGES pages in each but the last. */
  readonly chunks: ReadonlyArray<Uint8Array>
}

export const savePages = (memory: WebAssembly.Memory): Pages => {
  const words = new Int32Array(memory.buffer)
  const bytes = new Uint8Array(memory.buffer)
  const used: number[] = []
  const wordsInPage = PAGE / 4
  for (let page = 0; page < bytes.length / PAGE; page++) {
    const end = (page + 1) * wordsInPage
    let at = page * wordsInPage
    while (at < end && words[at] === 0) at++
    if (at < end) used.push(page)
  }
  const chunks: Uint8Array[] = []
  for (let first = 0; first < used.length; first += CHUNK_PAGES) {
    const pages = used.slice(first, first + CHUNK_PAGES)
    const chunk = new Uint8Array(pages.length * PAGE)
    pages.forEach((page, i) => chunk.set(bytes.subarray(page * PAGE, (page + 1) * PAGE), i * PAGE))
    chunks.push(chunk)
  }
  return { numbers: Uint32Array.from(used), chunks }
}

export const restorePages = (memory: WebAssembly.Memory, { numbers, chunks }: Pages): void => {
  const bytes = new Uint8Array(memory.buffer)
  const words = new Int32Array(memory.buffer)
  const count = bytes.length / PAGE
  const given = new Uint8Array(count)
  numbers.forEach((page, i) => {
    const chunk = chunks[Math.floor(i / CHUNK_PAGES)]
    const at = (i % CHUNK_PAGES) * PAGE
    if (page >= count || chunk === undefined || chunk.length < at + PAGE) throw new BadState("its memory is another's")
    given[page] = 1
    bytes.set(chunk.subarray(at, at + PAGE), page * PAGE)
  })
  // Only what is not zero is written: a page of this computer's memory is not spent on each page that never was used.
  for (let page = 0; page < count; page++) {
    if (given[page] === 1) continue
    const end = ((page + 1) * PAGE) / 4
    for (let at = (page * PAGE) / 4; at < end; at++) if (words[at] !== 0) words[at] = 0
  }
}

/** A machine's state: what `save` takes out, and `restore` puts into another machine of the same configuration. */
export interface MachineState {
  readonly fields: State
  readonly heap: ReadonlyArray<Uint8Array>
  readonly memory: Pages
}

/** Who listens to a processor is no part of its state. */
const NOT_STATE = [WATCHED, DEBUG_BREAKS, DEBUG_WATCHES, DEBUG_RING, DEBUG_HIT]

export const saveMachine = (machine: Machine, heap: HeapShare, parts: Parts): MachineState => ({
  fields: saveParts(parts),
  heap: heap.map((buffer) => Uint8Array.from(new Uint8Array(buffer))),
  memory: savePages(machine.memory),
})

export const restoreMachine = (machine: Machine, heap: HeapShare, parts: Parts, state: MachineState): void => {
  const saved = state.heap
  if (heap.length !== saved.length || heap.some((buffer, i) => buffer.byteLength !== saved[i]!.length))
    throw new BadState("its shared arrays are another machine's")
  const listeners = machine.processors.map((processor) => NOT_STATE.map((offset) => processor.word(offset)))
  const unseen = machine.processors.map((processor) => processor.word(ATTENTION))
  heap.forEach((buffer, i) => new Uint8Array(buffer).set(saved[i]!))
  restorePages(machine.memory, state.memory)
  machine.processors.forEach((processor, cpu) => {
    NOT_STATE.forEach((offset, i) => processor.setWord(offset, listeners[cpu]![i]!))
    processor.setWord(ATTENTION, (processor.word(ATTENTION) & ~ATT_UNSEEN) | (unseen[cpu]! & ATT_UNSEEN))
  })
  restoreParts(parts, state.fields)
}
