import { cpu } from "./cpu";
import {
  CPL,
  CR0,
  CR4,
  GPR,
  IDLE_TICKS,
  INSTRUCTIONS,
  MSR_APIC_BASE,
  MSR_CSTAR,
  MSR_EFER,
  MSR_KERNEL_GS_BASE,
  MSR_LSTAR,
  MSR_PAT,
  MSR_SFMASK,
  MSR_STAR,
  MSR_SYSENTER_CS,
  MSR_SYSENTER_EIP,
  MSR_SYSENTER_ESP,
  MSR_TSC_AUX,
  SEG_BASE,
  SEG_FS,
  SEG_GS,
  TSC_OFFSET,
} from "./state";
import { APIC_ENABLE, APIC_FRAME, CR0_PG, CR4_TSD, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE } from "./arch";
import { privileged } from "./control";
import { raiseGp } from "./fault";
import { segAt } from "./segments";
import { flushAll, isCanonical } from "./tlb";

/*
 * Model-specific registers (SDM vol. 4) and the time-stamp counter. An unknown number, a reserved bit or a non-canonical
 * address is #GP(0).
 */

const RAX: usize = 0;
const RCX: usize = 1 * 8;
const RDX: usize = 2 * 8;

// Numbers.
const IA32_TSC: u32 = 0x10;
const IA32_APIC_BASE: u32 = 0x1b;
const IA32_BIOS_SIGN_ID: u32 = 0x8b;
const IA32_MTRRCAP: u32 = 0xfe;
const IA32_SYSENTER_CS: u32 = 0x174;
const IA32_SYSENTER_ESP: u32 = 0x175;
const IA32_SYSENTER_EIP: u32 = 0x176;
const IA32_MISC_ENABLE: u32 = 0x1a0;
const IA32_PAT: u32 = 0x277;
const IA32_EFER: u32 = 0xc0000080;
const IA32_STAR: u32 = 0xc0000081;
const IA32_LSTAR: u32 = 0xc0000082;
const IA32_CSTAR: u32 = 0xc0000083;
const IA32_FMASK: u32 = 0xc0000084;
const IA32_FS_BASE: u32 = 0xc0000100;
const IA32_GS_BASE: u32 = 0xc0000101;
const IA32_KERNEL_GS_BASE: u32 = 0xc0000102;
const IA32_TSC_AUX: u32 = 0xc0000103;

const EFER_WRITABLE: u64 = EFER_SCE | EFER_LME | EFER_NXE;
/** Fast strings, the one thing that MISC_ENABLE says here. */
const MISC_ENABLE: u64 = 1;
/** BSP flag, which software cannot change. */
const APIC_BSP: u64 = 0x100;

/** Where the state keeps a plain register; 0 for one that is not plain. */
function fieldOf(number: u32): usize {
  switch (number) {
    case IA32_SYSENTER_CS:
      return cpu + MSR_SYSENTER_CS;
    case IA32_SYSENTER_ESP:
      return cpu + MSR_SYSENTER_ESP;
    case IA32_SYSENTER_EIP:
      return cpu + MSR_SYSENTER_EIP;
    case IA32_APIC_BASE:
      return cpu + MSR_APIC_BASE;
    case IA32_PAT:
      return cpu + MSR_PAT;
    case IA32_EFER:
      return cpu + MSR_EFER;
    case IA32_STAR:
      return cpu + MSR_STAR;
    case IA32_LSTAR:
      return cpu + MSR_LSTAR;
    case IA32_CSTAR:
      return cpu + MSR_CSTAR;
    case IA32_FMASK:
      return cpu + MSR_SFMASK;
    case IA32_FS_BASE:
      return segAt(SEG_FS) + SEG_BASE;
    case IA32_GS_BASE:
      return segAt(SEG_GS) + SEG_BASE;
    case IA32_KERNEL_GS_BASE:
      return cpu + MSR_KERNEL_GS_BASE;
    case IA32_TSC_AUX:
      return cpu + MSR_TSC_AUX;
    default:
      return 0;
  }
}

/** Registers that hold a linear address. */
function isAddress(number: u32): bool {
  return (
    number == IA32_SYSENTER_ESP ||
    number == IA32_SYSENTER_EIP ||
    number == IA32_LSTAR ||
    number == IA32_CSTAR ||
    number == IA32_FS_BASE ||
    number == IA32_GS_BASE ||
    number == IA32_KERNEL_GS_BASE
  );
}

/** The time-stamp counter: one tick an instruction, and the time that the machine slept through. */
export function readTsc(): u64 {
  return load<u64>(cpu, INSTRUCTIONS) + load<u64>(cpu, IDLE_TICKS) + load<u64>(cpu, TSC_OFFSET);
}

function readMsr(number: u32): u64 {
  const field = fieldOf(number);
  if (field != 0) return load<u64>(field);
  if (number == IA32_TSC) return readTsc();
  if (number == IA32_MISC_ENABLE) return MISC_ENABLE;
  if (number != IA32_MTRRCAP && number != IA32_BIOS_SIGN_ID) raiseGp();
  return 0;
}

/** Memory types of PAT entries: 2 and 3 are reserved. */
function isPat(value: u64): bool {
  for (let i: u32 = 0; i < 8; ++i) {
    const type = (value >> (i << 3)) & 0xff;
    if (type > 7 || type == 2 || type == 3) return false;
  }
  return true;
}

function writeEfer(value: u64): void {
  const old = load<u64>(cpu, MSR_EFER);
  if ((value & ~(EFER_WRITABLE | EFER_LMA)) != 0) raiseGp();
  if (((value ^ old) & EFER_LME) != 0 && (load<u64>(cpu, CR0) & CR0_PG) != 0) raiseGp();
  store<u64>(cpu, (value & EFER_WRITABLE) | (old & EFER_LMA), MSR_EFER);
  if (((value ^ old) & EFER_NXE) != 0) flushAll(true);
}

function writeMsr(number: u32, value: u64): void {
  if (isAddress(number) && !isCanonical(value)) raiseGp();
  switch (number) {
    case IA32_TSC: {
      store<u64>(cpu, load<u64>(cpu, TSC_OFFSET) + value - readTsc(), TSC_OFFSET);
      return;
    }
    case IA32_EFER: {
      writeEfer(value);
      return;
    }
    case IA32_APIC_BASE: {
      const old = load<u64>(cpu, MSR_APIC_BASE);
      if ((value & ~(APIC_FRAME | APIC_ENABLE | APIC_BSP)) != 0) raiseGp();
      store<u64>(cpu, (value & ~APIC_BSP) | (old & APIC_BSP), MSR_APIC_BASE);
      flushAll(true);
      return;
    }
    case IA32_PAT: {
      if (!isPat(value)) raiseGp();
      break;
    }
    case IA32_SYSENTER_CS:
    case IA32_FMASK:
    case IA32_TSC_AUX: {
      if (value >> 32 != 0) raiseGp();
      break;
    }
    case IA32_MISC_ENABLE: {
      if (value != MISC_ENABLE) raiseGp();
      return;
    }
    case IA32_BIOS_SIGN_ID:
      return;
    case IA32_MTRRCAP: {
      raiseGp();
      return;
    }
    default:
  }
  const field = fieldOf(number);
  if (field == 0) raiseGp();
  store<u64>(field, value);
}

/** EDX:EAX from a 64-bit value; the upper halves of both registers become 0. */
function setPair(value: u64): void {
  store<u64>(cpu + RAX, value & 0xffffffff, GPR);
  store<u64>(cpu + RDX, value >> 32, GPR);
}

export function rdmsr(): void {
  privileged();
  setPair(readMsr(load<u32>(cpu + RCX, GPR)));
}

export function wrmsr(): void {
  privileged();
  const value = (<u64>load<u32>(cpu + RAX, GPR)) | ((<u64>load<u32>(cpu + RDX, GPR)) << 32);
  writeMsr(load<u32>(cpu + RCX, GPR), value);
}

/** CR4.TSD keeps the time from outer rings. */
function checkTime(): void {
  if ((load<u64>(cpu, CR4) & CR4_TSD) != 0 && load<u32>(cpu, CPL) != 0) raiseGp();
}

export function rdtsc(): void {
  checkTime();
  setPair(readTsc());
}

export function rdtscp(): void {
  checkTime();
  setPair(readTsc());
  store<u64>(cpu + RCX, load<u64>(cpu, MSR_TSC_AUX) & 0xffffffff, GPR);
}

/** There are no performance counters: every number is wrong. */
export function rdpmc(): void {
  raiseGp();
}
