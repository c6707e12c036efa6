import { cpu } from "./cpu";
import { APIC_ID, GPR, MODE, MODE_64 } from "./state";
import { MAXPHYADDR } from "./paging";

/*
 * CPUID (SDM vol. 2, CPUID): says what is there and nothing else. No FPU, no SSE, no MTRRs, no hypervisor.
 */

const RAX: usize = 0;
const RCX: usize = 1 * 8;
const RDX: usize = 2 * 8;
const RBX: usize = 3 * 8;

/** Family 6, model 6, stepping 1; in EDX after reset, too. */
export const CPUID_SIGNATURE: u64 = 0x661;

const MAX_BASIC: u32 = 1;
const MAX_EXTENDED: u32 = 0x80000008;

// Leaf 1, EDX.
const VME: u32 = 1 << 1;
const DE: u32 = 1 << 2;
const PSE: u32 = 1 << 3;
const TSC: u32 = 1 << 4;
const MSR: u32 = 1 << 5;
const PAE: u32 = 1 << 6;
const CX8: u32 = 1 << 8;
const APIC: u32 = 1 << 9;
const SEP: u32 = 1 << 11;
const PGE: u32 = 1 << 13;
const CMOV: u32 = 1 << 15;
const PAT: u32 = 1 << 16;
const PSE36: u32 = 1 << 17;
const CLFSH: u32 = 1 << 19;
// Leaf 1, ECX.
const CX16: u32 = 1 << 13;
// Leaf 0x80000001, EDX and ECX.
const SYSCALL: u32 = 1 << 11;
const NX: u32 = 1 << 20;
const PDPE1GB: u32 = 1 << 26;
const RDTSCP: u32 = 1 << 27;
const LM: u32 = 1 << 29;
const LAHF: u32 = 1 << 0;
// Leaf 0x80000007, EDX.
const INVARIANT_TSC: u32 = 1 << 8;

/** CLFLUSH line of 64 bytes, in units of 8; one logical processor. */
const CLFLUSH_LINE: u32 = 8 << 8;
const LOGICAL: u32 = 1 << 16;
const LINEAR_BITS: u32 = 48;

function answer(eax: u32, ebx: u32, ecx: u32, edx: u32): void {
  store<u64>(cpu + RAX, eax, GPR);
  store<u64>(cpu + RBX, ebx, GPR);
  store<u64>(cpu + RCX, ecx, GPR);
  store<u64>(cpu + RDX, edx, GPR);
}

/** Four characters as a register shows them. */
// @ts-ignore: decorator
@inline
function chars(a: u32, b: u32, c: u32, d: u32): u32 {
  return a | (b << 8) | (c << 16) | (d << 24);
}

export function cpuid(): void {
  let leaf = load<u32>(cpu + RAX, GPR);
  // Beyond the last leaf the last basic one answers.
  const extended = leaf >= 0x80000000;
  if (extended ? leaf > MAX_EXTENDED : leaf > MAX_BASIC) leaf = MAX_BASIC;
  switch (leaf) {
    case 0: {
      // "lguest64 lab"; the order is EBX, EDX, ECX.
      answer(MAX_BASIC, chars(0x6c, 0x67, 0x75, 0x65), chars(0x20, 0x6c, 0x61, 0x62), chars(0x73, 0x74, 0x36, 0x34));
      return;
    }
    case 1: {
      const features = VME | DE | PSE | TSC | MSR | PAE | CX8 | APIC | SEP | PGE | CMOV | PAT | PSE36 | CLFSH;
      answer(<u32>CPUID_SIGNATURE, CLFLUSH_LINE | LOGICAL | (load<u32>(cpu, APIC_ID) << 24), CX16, features);
      return;
    }
    case 0x80000000: {
      answer(MAX_EXTENDED, 0, 0, 0);
      return;
    }
    case 0x80000001: {
      // Intel's processors have SYSCALL in 64-bit mode only, and say so.
      const inLong: u32 = load<u32>(cpu, MODE) == MODE_64 ? SYSCALL : 0;
      answer(0, 0, LAHF, inLong | NX | PDPE1GB | RDTSCP | LM);
      return;
    }
    case 0x80000002: {
      // "lguest64 simulat"
      answer(
        chars(0x6c, 0x67, 0x75, 0x65),
        chars(0x73, 0x74, 0x36, 0x34),
        chars(0x20, 0x73, 0x69, 0x6d),
        chars(0x75, 0x6c, 0x61, 0x74),
      );
      return;
    }
    case 0x80000003: {
      // "ed processor"
      answer(chars(0x65, 0x64, 0x20, 0x70), chars(0x72, 0x6f, 0x63, 0x65), chars(0x73, 0x73, 0x6f, 0x72), 0);
      return;
    }
    case 0x80000007: {
      answer(0, 0, 0, INVARIANT_TSC);
      return;
    }
    case 0x80000008: {
      answer(MAXPHYADDR | (LINEAR_BITS << 8), 0, 0, 0);
      return;
    }
    default:
      answer(0, 0, 0, 0);
  }
}
