import { readFileSync } from "node:fs"
import { coreFile } from "../../scripts/build-core.ts"
import { openBus } from "../../src/machine/bus.ts"
import { Machine } from "../../src/machine/machine.ts"
import { dword } from "./flat.ts"
import { Threads } from "./threads.ts"

/*
 * Litmus tests on real threads: a few processors, each in a worker, run a few instructions each on variables that nobody
 * has touched, a million times, and say what they have loaded.
 *
 * Each round has variables of its own, so that nothing has to be reset. A round begins when the processor's neighbour has
 * come to it, or after a few looks, since the machine below may have fewer processors than the test; then each waits for
 * a moment that differs from round to round, so that all ways to meet come up.
 */

export const ROUNDS = 1_000_000
const LOOKS = 40

const CODE = 0x10000
const CODE_STRIDE = 0x1000
const PROGRESS = 0x20000
/** Apart from the code: a store there makes decoded instructions stale. */
const STACKS = 0x30000
const RESULTS = 0x10_0000
/** Two words for each round. */
const RESULT_BYTES = 8
const RESULT_STRIDE = ROUNDS * RESULT_BYTES
const MOST = 4
/** X[round] and Y[round], each in a cache line of its own. */
const LINE = 64
const X = RESULTS + MOST * RESULT_STRIDE
const Y = X + ROUNDS * LINE
const RAM_BYTES = Math.ceil((Y + ROUNDS * LINE) / 4096) * 4096

/** The instructions that a thread is made of: EDI points at X, EBP at Y, ECX is 1, ESP points at memory of its own. */
export const OPS = {
  storeX: [0xc7, 0x07, 1, 0, 0, 0], // mov dword [edi], 1
  storeY: [0xc7, 0x45, 0, 1, 0, 0, 0], // mov dword [ebp], 1
  xchgX: [0x87, 0x0f], // xchg [edi], ecx
  xchgY: [0x87, 0x4d, 0], // xchg [ebp], ecx
  /** To the first result, EAX, or the second, EDX. */
  loadX1: [0x8b, 0x07],
  loadY1: [0x8b, 0x45, 0],
  loadX2: [0x8b, 0x17],
  loadY2: [0x8b, 0x55, 0],
  /** Loads that are LOCKed additions of 0 (both registers are 0 at first). */
  xaddX1: [0xf0, 0x0f, 0xc1, 0x07],
  xaddY1: [0xf0, 0x0f, 0xc1, 0x45, 0],
  xaddX2: [0xf0, 0x0f, 0xc1, 0x17],
  xaddY2: [0xf0, 0x0f, 0xc1, 0x55, 0],
  mfence: [0x0f, 0xae, 0xf0],
  /** lock add dword [esp], 0: how Linux fences. */
  lockedAdd: [0xf0, 0x83, 0x04, 0x24, 0],
  // push ebx; xor eax, eax; cpuid; pop ebx; xor eax, eax; xor edx, edx
  cpuid: [0x53, 0x31, 0xc0, 0x0f, 0xa2, 0x5b, 0x31, 0xc0, 0x31, 0xd2],
} as const
export type Op = keyof typeof OPS

/** One thread's program: the rounds around its instructions. */
const program = (thread: number, threads: number, ops: ReadonlyArray<Op>): ReadonlyArray<number> => {
  const body = ops.flatMap((op) => OPS[op])
  const neighbour = PROGRESS + ((thread + 1) % threads) * LINE
  const loop = [
    ...[0x89, 0x35, ...dword(PROGRESS + thread * LINE)], // mov [progress], esi
    ...[0xb9, ...dword(LOOKS)], // mov ecx, LOOKS
    ...[0x39, 0x35, ...dword(neighbour), 0x73, 0x03], // look: cmp [neighbour], esi; jae go
    ...[0x49, 0x75, 0xf5], // dec ecx; jnz look
    ...[0x89, 0xf1, 0xc1, 0xe9, 4 * (thread & 1), 0x83, 0xe1, 0x0f], // go: mov ecx, esi; shr ecx, n; and ecx, 15
    ...[0x41, 0x49, 0x75, 0xfd], // inc ecx; wait: dec ecx; jnz wait
    ...[0x31, 0xc0, 0x31, 0xd2, 0xb9, 1, 0, 0, 0], // xor eax, eax; xor edx, edx; mov ecx, 1
    ...body,
    ...[0x89, 0x03, 0x89, 0x53, 0x04], // mov [ebx], eax; mov [ebx + 4], edx
    ...[0x83, 0xc7, LINE, 0x83, 0xc5, LINE, 0x83, 0xc3, RESULT_BYTES], // add edi, ebp, ebx
    ...[0x46, 0x81, 0xfe, ...dword(ROUNDS + 1)], // inc esi; cmp esi, ROUNDS + 1
  ]
  return [
    ...[0xbf, ...dword(X), 0xbd, ...dword(Y)], // mov edi, X; mov ebp, Y
    ...[0xbb, ...dword(RESULTS + thread * RESULT_STRIDE), 0xbe, 1, 0, 0, 0], // mov ebx, results; mov esi, 1
    ...loop,
    ...[0x0f, 0x82, ...dword(-(loop.length + 6)), 0xf4], // jb loop; hlt
  ]
}

/** How often each outcome came up; its name is what the threads loaded, two digits each. */
export type Outcomes = ReadonlyMap<string, number>

export class Litmus {
  private readonly machine: Machine
  private readonly threads: Threads

  constructor() {
    const core = new WebAssembly.Module(readFileSync(coreFile))
    this.machine = Machine.create({ core, ramBytes: RAM_BYTES, processors: MOST, bus: openBus })
    this.threads = new Threads(this.machine, MOST)
  }

  async run(threads: ReadonlyArray<ReadonlyArray<Op>>): Promise<Outcomes> {
    const { ram } = this.machine
    ram.fill(0, RAM_BYTES, 0)
    threads.forEach((ops, i) => ram.copyIn(CODE + i * CODE_STRIDE, Uint8Array.from(program(i, threads.length, ops))))
    await this.threads.run(
      threads.map((_, index) => {
        const code = CODE + index * CODE_STRIDE
        return { index, code, stack: STACKS + index * LINE }
      }),
    )

    const counts = new Map<string, number>()
    for (let round = 0; round < ROUNDS; round++) {
      const loaded = threads.map((_, i) => {
        const at = RESULTS + i * RESULT_STRIDE + round * RESULT_BYTES
        return `${ram.read32(at)}${ram.read32(at + 4)}`
      })
      const outcome = loaded.join(" ")
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
    }
    return counts
  }

  end(): Promise<void> {
    return this.threads.end()
  }
}
