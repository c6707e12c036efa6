import type { RegisterName } from "../../machine/inspection.ts"

/*
 * The registers as gdb numbers them, and the description that tells it so (gdb manual, G.5.8). The features' names and the
 * registers in the first one, with their order, are fixed by gdb; the last feature is our own. There is no coprocessor and no SSE
 * unit in the simulated processor: the stack of x87 registers, which gdb insists on, is "unavailable".
 */

export interface GdbRegister {
  readonly name: string
  readonly bits: number
  readonly type: string
  /** Undefined: it does not exist here. */
  readonly from: RegisterName | undefined
  readonly group?: string
}

const register = (name: string, bits: number, type: string, from: RegisterName | undefined): GdbRegister => ({
  name,
  bits,
  type,
  from,
})

const SELECTORS = ["cs", "ss", "ds", "es", "fs", "gs"] as const
const COPROCESSOR: ReadonlyArray<GdbRegister> = [
  ...Array.from({ length: 8 }, (_, i) => register(`st${i}`, 80, "i387_ext", undefined)),
  ...["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"].map((name) => ({
    ...register(name, 32, "int", undefined),
    group: "float",
  })),
]
const ending = [
  register("eflags", 32, "i386_eflags", "eflags"),
  ...SELECTORS.map((name) => register(name, 32, "int32", name)),
  ...COPROCESSOR,
]
const system = (bits: 32 | 64): ReadonlyArray<GdbRegister> => {
  const names =
    bits === 64 ? (["k_gs_base", "cr0", "cr2", "cr3", "cr4", "efer"] as const) : (["cr0", "cr2", "cr3", "cr4"] as const)
  return names.map((name) => ({ ...register(name, bits, `uint${bits}`, name), group: "system" }))
}

const NAMES32 = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip"] as const
const NAMES64 = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"] as const
const EXTENDED = ["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"] as const

const typeOf = (name: string, bits: 32 | 64): string =>
  /ip$/.test(name) ? "code_ptr" : /[sb]p$/.test(name) ? "data_ptr" : `int${bits}`

interface Feature {
  readonly name: string
  readonly registers: ReadonlyArray<GdbRegister>
}

const FEATURES: Readonly<Record<32 | 64, ReadonlyArray<Feature>>> = {
  32: [
    {
      name: "org.gnu.gdb.i386.core",
      registers: [
        ...NAMES32.map((name) => register(name, 32, typeOf(name, 32), `r${name.slice(1)}` as RegisterName)),
        ...ending,
      ],
    },
    { name: "lguest64.system", registers: system(32) },
  ],
  64: [
    {
      name: "org.gnu.gdb.i386.core",
      registers: [
        ...[...NAMES64, ...EXTENDED, "rip" as const].map((name) => register(name, 64, typeOf(name, 64), name)),
        ...ending,
      ],
    },
    {
      name: "org.gnu.gdb.i386.segments",
      registers: [register("fs_base", 64, "int", "fs_base"), register("gs_base", 64, "int", "gs_base")],
    },
    { name: "lguest64.system", registers: system(64) },
  ],
}

/** All registers in the order of their numbers. */
export const registersOf = (bits: 32 | 64): ReadonlyArray<GdbRegister> =>
  FEATURES[bits].flatMap(({ registers }) => registers)

/** Bits of EFLAGS that gdb shows by name. */
const FLAGS = [
  "CF",
  "",
  "PF",
  "",
  "AF",
  "",
  "ZF",
  "SF",
  "TF",
  "IF",
  "DF",
  "OF",
  "",
  "",
  "NT",
  "",
  "RF",
  "VM",
  "AC",
  "VIF",
  "VIP",
  "ID",
]

const flagsType = [
  '<flags id="i386_eflags" size="4">',
  ...FLAGS.map((name, i) => `<field name="${name || (i === 1 ? "" : `_${i}`)}" start="${i}" end="${i}"/>`).filter(
    (_, i) => FLAGS[i] !== "" || i === 1,
  ),
  "</flags>",
].join("")

/** target.xml. */
export const description = (bits: 32 | 64): string => {
  const features = FEATURES[bits].map(({ name, registers }, i) => {
    const lines = registers.map(
      (r) =>
        `<reg name="${r.name}" bitsize="${r.bits}" type="${r.type}"${r.group === undefined ? "" : ` group="${r.group}"`}/>`,
    )
    return `<feature name="${name}">\n${i === 0 ? `${flagsType}\n` : ""}${lines.join("\n")}\n</feature>`
  })
  return [
    '<?xml version="1.0"?>',
    '<!DOCTYPE target SYSTEM "gdb-target.dtd">',
    '<target version="1.0">',
    `<architecture>${bits === 64 ? "i386:x86-64" : "i386"}</architecture>`,
    ...features,
    "</target>",
    "",
  ].join("\n")
}
