import { attackDefines } from "../src/launcher/attack/layout.ts"
import { NATIVE_USER_CS } from "../src/paravirt_ops/lguest64.ts"
import type { AssemblyUnit } from "./assemble.ts"
import { headers } from "./guests/headers.ts"
import { filesUnder } from "./guests/images.ts"

/* The programs of `designs attack`, one image for each architecture. */

const abi = (name: string) =>
  headers()
    .find(({ output }) => output.endsWith(name))!
    .text.replace("#pragma once", "")

const layouts = ["src/launcher/attack/layout.ts", "src/machine/layout.ts", "scripts/units-attacks.ts"]
const sources = filesUnder("guests/attacks").filter((file) => /\.[Sh]$/.test(file))

export const units: ReadonlyArray<AssemblyUnit> = [
  {
    name: "the attacks on x86_64",
    source: "guests/attacks/x86_64.S",
    sources: [...sources, "src/paravirt_ops/lguest64.ts", ...layouts],
    address: 0xffff_ffff_8010_0000n,
    bits: 64,
    offsets: `${abi("lguest64_abi.h")}\n${attackDefines()}#define NATIVE_USER_CS 0x${NATIVE_USER_CS.toString(16)}\n`,
    external: new Map(),
    output: "src/launcher/attack/image64.gen.ts",
  },
  {
    name: "the attacks on i386",
    source: "guests/attacks/i386.S",
    sources: [...sources, "src/paravirt_ops/lguest.ts", "src/paravirt_ops/lguest64.ts", ...layouts],
    address: 0xc010_0000n,
    bits: 32,
    offsets: `${abi("lguest_abi.h")}\n${attackDefines()}`,
    external: new Map(),
    output: "src/launcher/attack/image32.gen.ts",
  },
]
