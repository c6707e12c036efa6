import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { type Choices, LGUEST64 } from "../../src/design/dimensions.ts"
import { platform64 } from "../../src/launcher/attack/platform64.ts"
import { World } from "../../src/launcher/attack/world.ts"
import { CR3 } from "../../src/machine/core/state.ts"
import { tlbEntries } from "../../src/machine/tlbEntries.ts"
import { DirectMmu } from "../../src/mmu4/direct/index.ts"
import { DATA } from "../../src/mmu4/direct/state.ts"
import type { Lguest64Device } from "../../src/modules/lguest64/index.ts"
import { VcpuWords } from "../../src/modules/lguest64/vcpuWords.ts"
import { HYPERCALL_VECTOR, LGUEST_SHARED, LHCALL } from "../../src/paravirt_ops/lguest64.ts"
import { recount } from "../mmu4/direct.ts"

/*
 * Two virtual CPUs that do nothing but change their page tables under each other's feet, by stores, exchanges, string instructions and
 * hypercalls, and use what is mapped. Whenever one of them runs, its TLB must say nothing that the tables do not say which its
 * processor walks: what was taken away is forgotten before the guest goes on. It matters where CR3 stays loaded.
 */

const core = new WebAssembly.Module(readFileSync(new URL("../../dist/machine/core.wasm", import.meta.url)))
const EVERYTHING = { host: "everything", pageOffset: "guest-moves" } as const

/* guests/attacks/attack.h */
const KERNEL_OFFSET = 0xffff_ffff_8000_0000n
const SHARED_PAS = [0xb000n, 0xc000n]
const PML4 = 0x4000n
const SECOND_STACK = KERNEL_OFFSET + 0x1_e000n
const PAGES = 0x3_0000n

/** Page tables by level and space: those of the attacks' kernel, and free frames. */
const TABLES: Readonly<Record<string, readonly [level: number, user: boolean]>> = {
  [PML4.toString()]: [4, false],
  0x8000: [3, true],
  0x27000: [3, true],
  0x5000: [3, false],
  0x28000: [3, false],
  0x9000: [2, true],
  0x24000: [2, true],
  0x6000: [2, false],
  0x26000: [2, false],
  0xa000: [1, true],
  0x20000: [1, true],
  0x21000: [1, true],
  0x7000: [1, false],
  0x22000: [1, false],
}
/** Entries that may change without taking the program's own memory away, of tables that it has from the start. */
const FREE: Readonly<Record<string, readonly [first: number, count: number]>> = {
  [PML4.toString()]: [1, 3],
  0x8000: [1, 3],
  0x5000: [0, 4],
  0x9000: [3, 5],
  0x6000: [1, 5],
  0xa000: [0x100, 8],
  0x7000: [0x1e0, 8],
}

const bytesOf = (value: bigint, count: number): number[] =>
  Array.from({ length: count }, (_, i) => Number((BigInt.asUintN(64, value) >> BigInt(8 * i)) & 255n))
const RAX = [0x48, 0xb8]
const RBX = [0x48, 0xbb]
const RCX = [0x48, 0xb9]
const RDI = [0x48, 0xbf]
const RSI = [0x48, 0xbe]
const RDX = [0x48, 0xba]
const R10 = [0x49, 0xba]
const load = (register: ReadonlyArray<number>, value: bigint): number[] => [...register, ...bytesOf(value, 8)]

class Program {
  private state: number
  private readonly choices: Choices
  /** Machine address of guest-physical 0 where entries hold machine frames. */
  private readonly first: bigint

  constructor(seed: number, choices: Choices, first: bigint) {
    this.state = Math.imul(seed + 1, 0x9e3779b1) | 1
    this.choices = choices
    this.first = first
    for (let i = 0; i < 8; i++) this.random(2)
  }

  private random(below: number): number {
    this.state ^= this.state << 13
    this.state ^= this.state >>> 17
    this.state ^= this.state << 5
    return (this.state >>> 0) % below
  }

  private pick<T>(from: ReadonlyArray<T>): T {
    return from[this.random(from.length)]!
  }

  private door(): number[] {
    const { hypercall } = this.choices
    if (hypercall === "interrupt") return [0xcd, HYPERCALL_VECTOR]
    if (hypercall === "call-page") return [...load(RBX, 0xffff_ff00_0008_0000n), 0xff, 0xd3]
    // Whichever virtual CPU it is: movl $1, flag; syscall
    const flags = SHARED_PAS.map((pa) => KERNEL_OFFSET + pa + BigInt(LGUEST_SHARED.fields.hypercallFlag.offset))
    return [...flags.flatMap((flag) => [0xc7, 0x04, 0x25, ...bytesOf(flag, 4), 1, 0, 0, 0]), 0x0f, 0x05]
  }

  call(number: number, ...args: ReadonlyArray<bigint>): number[] {
    const registers = [RDI, RSI, RDX, R10]
    return [...args.flatMap((arg, i) => load(registers[i]!, arg)), 0xb8, ...bytesOf(BigInt(number), 4), ...this.door()]
  }

  /** Guest-physical address of an entry, and a value that may stand there. */
  private change(): readonly [gpa: bigint, value: bigint] {
    const table = this.pick(Object.keys(TABLES))
    const [level, user] = TABLES[table]!
    const [from, count] = FREE[table] ?? [0, 8]
    const index = from + this.random(count)
    const gpa = BigInt(table) + BigInt(8 * index)
    if (this.random(4) === 0) return [gpa, 0n]
    const below = Object.entries(TABLES).filter(([, [l, u]]) => l === level - 1 && (level === 4 || u === user))
    const tables = level === 1 ? Object.keys(TABLES) : below.filter(([, [, u]]) => level < 4 || u).map(([pa]) => pa)
    const frame =
      level === 1 && this.random(2) === 0 ? PAGES + BigInt(this.random(8) * 4096) : BigInt(this.pick(tables))
    return [gpa, this.first + frame + this.pick(level === 4 ? [0x67n] : [0x67n, 0x67n, 0x63n, 0x65n, 0x7n])]
  }

  private linear(): bigint {
    const index = (level: number, of: ReadonlyArray<number>): bigint => BigInt(this.pick(of)) << BigInt(3 + 9 * level)
    const address =
      index(4, [0, 0, 0, 1, 2, 3, 511, 511]) |
      index(3, [0, 0, 1, 2, 3, 510, 510]) |
      index(2, [0, 0, 2, 2, 3, 4, 5, 6, 7]) |
      index(1, [0x100 + this.random(8), 0x1e0 + this.random(8), this.random(8), this.random(512)])
    return BigInt.asUintN(64, BigInt.asIntN(48, address | BigInt(8 * this.random(512))))
  }

  private instruction(): number[] {
    const [gpa, value] = this.change()
    const at = this.pick([KERNEL_OFFSET + gpa, KERNEL_OFFSET + gpa, gpa])
    switch (this.random(12)) {
      case 0:
      case 1:
        return this.choices.mmu === "direct"
          ? this.call(LHCALL.MMU_UPDATE, gpa, value)
          : [...load(RAX, value), ...load(RCX, at), 0x48, 0x89, 0x01] // mov %rax, (%rcx)
      case 2:
      case 3:
        return [...load(RAX, value), ...load(RCX, at), 0x48, 0x89, 0x01]
      case 4:
        return [...load(RAX, value), ...load(RCX, this.linear()), 0x48, 0x87, 0x01] // xchg %rax, (%rcx)
      case 5:
      case 6:
        return [...load(RCX, this.linear()), 0x48, 0x8b, 0x01] // mov (%rcx), %rax
      case 7:
        return [...load(RCX, this.linear()), 0xc6, 0x01, this.random(256)] // movb
      case 8: // xor %eax, %eax; rep stosq
        return [...load(RCX, BigInt(1 + this.random(600))), ...load(RDI, this.linear()), 0x31, 0xc0, 0xf3, 0x48, 0xab]
      case 9:
        return this.call(LHCALL.FLUSH_TLB, BigInt(this.random(2)))
      case 10:
        return this.call(LHCALL.FLUSH_TLB_ADDR, this.linear())
      default:
        return this.random(2) === 0
          ? this.call(LHCALL.SET_PTE, PML4, this.linear(), 0n)
          : this.call(LHCALL.NEW_PGTABLE, PML4)
    }
  }

  /** For virtual CPU 0 at `at`, which starts the other one behind what starts it; then both do the rest for ever. */
  code(at: bigint, bytes: number): Uint8Array {
    const start = (entry: bigint) => this.call(LHCALL.VCPU_UP, 1n, SHARED_PAS[1]!, entry, SECOND_STACK)
    const prefix = start(0n).length
    const code = start(at + BigInt(prefix))
    while (code.length < bytes) {
      const next = this.instruction()
      // What faults is over: mov %rsp, %r14; lea next, %r15 (kernel.S, exception).
      code.push(0x49, 0x89, 0xe6, 0x4c, 0x8d, 0x3d, ...bytesOf(BigInt(next.length), 4), ...next)
    }
    code.push(0xe9, ...bytesOf(BigInt(prefix - code.length - 5), 4))
    return Uint8Array.from(code)
  }
}

/** Bytes of `leaq, %rbp` and of the short or near jump with which an attack begins. */
const LEAQ = 7
const headOf = (image: Uint8Array, at: number): number => LEAQ + (image[at + LEAQ] === 0xeb ? 2 : 5)

const SEEDS = [1, 2, 3, 4, 5, 6]
const IMAGE_PA = 0x10_0000
const CODE_BYTES = 2400
/** Simulated ns: of a guest's life; and between two looks at a TLB, which are of use only while the guest runs. */
const LIFE = 120_000
const APART = 613

/** Runs such a guest; `look` is called now and then. Returns how often. */
const storm = (choices: Choices, seed: number, look: (world: World, device: Lguest64Device) => void): number => {
  const parts = { core, platform: platform64, design: choices, vcpus: 2, lateChecks: false, shadowLimit: undefined }
  const world = new World({ ...parts, seed, user: false })
  world.begin("attack_spin_deaf", 0)
  const at = platform64.symbols["attack_spin_deaf"]!
  const pa = IMAGE_PA + at + headOf(platform64.image, at)
  const program = new Program(seed, choices, choices.mmu === "direct" ? BigInt(world.base) : 0n)
  world.hosted.machine.ram.copyIn(world.base + pa, program.code(KERNEL_OFFSET + BigInt(pa), CODE_BYTES))
  const device = world.attacker as Lguest64Device
  const { kernel } = world.hosted
  let looks = 0
  for (const end = kernel.time + LIFE; kernel.time < end; looks++) {
    if (world.run(kernel.time + APART).kind !== "slice") break
    look(world, device)
  }
  return looks
}

/** The same for all seeds. Most guests live long enough to be looked at often: else nothing would be learnt. */
const storms = (choices: Choices, look: (world: World, device: Lguest64Device, seed: number) => void): void => {
  let looks = 0
  for (const seed of SEEDS) looks += storm(choices, seed, (world, device) => look(world, device, seed))
  expect(looks).toBeGreaterThan((SEEDS.length / 2) * (LIFE / APART))
}

interface Found {
  readonly physical: number
  readonly write: boolean
}

/** What the tables below `root` say of a page, to code at ring 3. */
const walk = ({ hosted }: World, root: number, linear: bigint): Found | undefined => {
  const { ram } = hosted.machine
  let table = root
  let write = true
  for (let level = 4; ; level--) {
    const at = table + 8 * Number((linear >> BigInt(3 + 9 * level)) & 511n)
    const lo = ram.read32(at)
    if ((lo & 5) !== 5) return undefined
    write &&= (lo & 2) !== 0
    const frame = (ram.read32(at + 4) & 0xfffff) * 2 ** 32 + ((lo & ~0xfff) >>> 0)
    if (level === 1) return { physical: frame, write }
    if (level === 2 && (lo & 0x80) !== 0)
      return { physical: frame - (frame % 0x20_0000) + Number(linear & 0x1f_f000n), write }
    table = frame
  }
}

/** Calls `each` for what processors remember that ring 3 may use, as far as one of the guest's virtual CPUs runs there. */
const remembered = (world: World, each: (root: number, entry: ReturnType<typeof tlbEntries>[number]) => void): void => {
  const { kernel, machine } = world.hosted
  for (const { processor, index } of kernel.cpus) {
    if (processor.cpl !== 3 || kernel.tasks.kind(kernel.cpuTable.current[index]!) !== "vcpu") continue
    for (const entry of tlbEntries(machine, index)) if (entry.half === "user") each(Number(processor.long(CR3)), entry)
  }
}

const stale = (world: World): string[] => {
  const wrong: string[] = []
  remembered(world, (root, { linear, physical, write }) => {
    const now = walk(world, root, linear)
    if (now === undefined || now.physical !== physical || (write && !now.write))
      wrong.push(`0x${linear.toString(16)} leads to 0x${physical.toString(16)}${write ? ", writable" : ""}`)
  })
  return wrong
}

describe.each<readonly [string, Partial<Choices>]>([
  ["KVM's shadows", {}],
  ["throw-away shadows, a call page", { mmu: "throw-away", hypercall: "call-page", interruptFlag: "rom" }],
  ["shadows on demand, INT", { mmu: "on-demand", hypercall: "interrupt" }],
])("with the host mapped, and %s", (_name, choices) => {
  it("no TLB knows more than the shadow", () => {
    storms({ ...LGUEST64, ...EVERYTHING, ...choices }, (world, _device, seed) =>
      expect(stale(world), `seed ${seed}`).toEqual([]),
    )
  })
})

it("and that is because who loses rights is told to forget", () => {
  const { askFlush } = VcpuWords.prototype
  const found: string[] = []
  VcpuWords.prototype.askFlush = () => undefined
  try {
    for (const seed of SEEDS) storm({ ...LGUEST64, ...EVERYTHING }, seed, (world) => found.push(...stale(world)))
  } finally {
    VcpuWords.prototype.askFlush = askFlush
  }
  expect(found).not.toEqual([])
})

describe.each<readonly [string, Partial<Choices>]>([
  ["Xen's design", { hypercall: "call-page" }],
  ["ring 1", { ring: 1, vcpu: "known-address", spaces: "one", hypercall: "interrupt" }],
  ["the host mapped", EVERYTHING],
])("direct paging, %s", (_name, choices) => {
  it("is counted right whatever two virtual CPUs do, and no TLB allows to write to a page table", () => {
    storms({ ...LGUEST64, mmu: "direct", ...choices }, (world, { guest }, seed) => {
      const { state } = guest.shadow as DirectMmu
      // What a window shows is no frame of the guest's, and no table.
      if (state.openWindows > 0) return
      expect(recount(state), `seed ${seed}`).toEqual([])
      remembered(world, (_root, { physical, write, linear }) => {
        const gfn = (physical - world.base) / 4096
        if (write && gfn >= 0 && gfn < state.count)
          expect(state.type[gfn], `0x${linear.toString(16)}, seed ${seed}`).toBe(DATA)
      })
    })
  })
})
