import { cpu } from "./cpu";
import { emptyCache } from "./cache";
import {
  ATTENTION,
  ATT_HALTED,
  ATT_SHADOW,
  COUNT_CR3_LOAD,
  CR0,
  CR2,
  CR3,
  CR4,
  CR8,
  EFLAGS,
  HALTED,
  MODE,
  MODE_64,
  MSR_APIC_BASE,
  MSR_EFER,
  MSR_KERNEL_GS_BASE,
  SEG_BASE,
  SEG_CS,
  SEG_GS,
  SEG_TR,
  SHADOW_STI,
  WATCH,
  WATCH_LATE,
} from "./state";
import {
  APIC_ENABLE,
  APIC_FRAME,
  APIC_TPR,
  AR_L,
  AR_TYPE_SHIFT,
  CR0_AM,
  CR0_CD,
  CR0_EM,
  CR0_ET,
  CR0_MP,
  CR0_NE,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR0_WP,
  CR4_DE,
  CR4_PAE,
  CR4_PCE,
  CR4_PGE,
  CR4_PSE,
  CR4_PVI,
  CR4_TSD,
  CR4_VME,
  EFER_LMA,
  EFER_LME,
  FL_IF,
  FL_IOPL,
  FL_RF,
  FL_TF,
  FL_VIF,
  FL_VIP,
  FL_VM,
  TYPE_TSS,
  V_GP,
  V_UD,
} from "./arch";
import { FL_USER, iopl, noticeFlags, readFlags, writeFlags } from "./eflags";
import { raise, raiseGp } from "./fault";
import { mmioLoad, mmioStore } from "./memory";
import { loadPdptes } from "./paging";
import { cpl, inLongMode, inRealMode, inVirtual8086, segAt, segAttr, updateMode } from "./segments";
import { flushAll, flushPage } from "./tlb";

/*
 * Control registers, the interrupt flag, HLT and what else belongs to ring 0 (SDM vol. 3, 2.5; vol. 2 by instruction).
 */

export { movFromDr, movToDr } from "./debug";

const CR0_KNOWN: u64 = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
const CR4_KNOWN: u64 = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE;
/** CR3 in IA-32e mode: bits 63..MAXPHYADDR must be 0. */
const CR3_RESERVED: u64 = 0xffffff0000000000;

/** #GP(0) unless CPL is 0. */
export function privileged(): void {
  if (cpl() != 0) raiseGp();
}

/** PDPTEs are in use: PAE without IA-32e mode. */
function usesPdptes(cr0: u64, cr4: u64, efer: u64): bool {
  return (cr0 & CR0_PG) != 0 && (cr4 & CR4_PAE) != 0 && (efer & EFER_LMA) == 0;
}

function writeCr0(value: u64): void {
  if (value >> 32 != 0) raiseGp();
  value = (value & CR0_KNOWN) | CR0_ET;
  if ((value & CR0_PG) != 0 && (value & CR0_PE) == 0) raiseGp();
  if ((value & CR0_NW) != 0 && (value & CR0_CD) == 0) raiseGp();
  const old = load<u64>(cpu, CR0);
  const changed = old ^ value;
  const cr4 = load<u64>(cpu, CR4);
  let efer = load<u64>(cpu, MSR_EFER);
  if ((changed & CR0_PG) != 0) {
    if ((value & CR0_PG) == 0) {
      // Out of IA-32e mode only from compatibility mode (SDM vol. 3, 9.8.5.4).
      if (load<u32>(cpu, MODE) == MODE_64) raiseGp();
      efer &= ~EFER_LMA;
    } else if ((efer & EFER_LME) != 0) {
      const tss = (segAttr(SEG_TR) >>> AR_TYPE_SHIFT) & 15;
      if ((cr4 & CR4_PAE) == 0 || (segAttr(SEG_CS) & AR_L) != 0 || tss < TYPE_TSS) raiseGp();
      efer |= EFER_LMA;
    }
  }
  if ((changed & (CR0_PG | CR0_CD | CR0_NW)) != 0 && usesPdptes(value, cr4, efer))
    if (!loadPdptes(load<u64>(cpu, CR3))) raiseGp();
  store<u64>(cpu, efer, MSR_EFER);
  store<u64>(cpu, value, CR0);
  if ((changed & (CR0_PG | CR0_PE | CR0_WP)) != 0) flushAll(true);
  updateMode();
}

function writeCr3(value: u64): void {
  if (inLongMode()) {
    if ((value & CR3_RESERVED) != 0) raiseGp();
  } else {
    value &= 0xffffffff;
    if (usesPdptes(load<u64>(cpu, CR0), load<u64>(cpu, CR4), 0) && !loadPdptes(value)) raiseGp();
  }
  store<u64>(cpu, value, CR3);
  store<u64>(cpu, load<u64>(cpu, COUNT_CR3_LOAD) + 1, COUNT_CR3_LOAD);
  flushAll(false);
}

function writeCr4(value: u64): void {
  if ((value & ~CR4_KNOWN) != 0) raiseGp();
  const changed = load<u64>(cpu, CR4) ^ value;
  const efer = load<u64>(cpu, MSR_EFER);
  if ((efer & EFER_LMA) != 0 && (value & CR4_PAE) == 0) raiseGp();
  const paging: u64 = CR4_PAE | CR4_PGE | CR4_PSE;
  if ((changed & paging) != 0 && usesPdptes(load<u64>(cpu, CR0), value, efer))
    if (!loadPdptes(load<u64>(cpu, CR3))) raiseGp();
  store<u64>(cpu, value, CR4);
  if ((changed & paging) != 0) flushAll(true);
}

/*
 * CR8 is the upper half of the local APIC's task priority register, bits 7..4 (SDM vol. 3, 11.8.6), and the APIC is a
 * device on the bus. Only while IA32_APIC_BASE disables it does the processor itself remember a value.
 */
function hasApic(): bool {
  return (load<u64>(cpu, MSR_APIC_BASE) & APIC_ENABLE) != 0;
}

/** Physical address of the TPR. */
function taskPriority(): u64 {
  return (load<u64>(cpu, MSR_APIC_BASE) & APIC_FRAME) + APIC_TPR;
}

/** MOV CRn, r. Outside of 64-bit mode `value` is a 32-bit register's. */
export function movToCr(cr: u32, value: u64): void {
  if (cr != 0 && cr != 2 && cr != 3 && cr != 4 && cr != 8) raise(V_UD, 0);
  privileged();
  if (load<u32>(cpu, MODE) != MODE_64) value &= 0xffffffff;
  if (cr == 0) writeCr0(value);
  else if (cr == 2) store<u64>(cpu, value, CR2);
  else if (cr == 3) writeCr3(value);
  else if (cr == 4) writeCr4(value);
  else {
    if (value > 15) raiseGp();
    if (hasApic()) mmioStore(taskPriority(), value << 4, 4);
    else store<u64>(cpu, value, CR8);
  }
}

/** MOV r, CRn. */
export function movFromCr(cr: u32): u64 {
  if (cr != 0 && cr != 2 && cr != 3 && cr != 4 && cr != 8) raise(V_UD, 0);
  privileged();
  if (cr == 0) return load<u64>(cpu, CR0);
  if (cr == 2) return load<u64>(cpu, CR2);
  if (cr == 3) return load<u64>(cpu, CR3);
  if (cr == 4) return load<u64>(cpu, CR4);
  return hasApic() ? (mmioLoad(taskPriority(), 4) >> 4) & 15 : load<u64>(cpu, CR8);
}

export function clts(): void {
  privileged();
  store<u64>(cpu, load<u64>(cpu, CR0) & ~CR0_TS, CR0);
}

/** LMSW: the low four bits of CR0; PE can be set and not cleared. */
export function lmsw(value: u32): void {
  privileged();
  const old = load<u64>(cpu, CR0);
  writeCr0((old & ~(CR0_MP | CR0_EM | CR0_TS)) | ((<u64>value) & 15));
}

/** SMSW: allowed at every privilege. */
export function smsw(): u64 {
  return load<u64>(cpu, CR0);
}

export function invlpg(linear: u64): void {
  privileged();
  flushPage(linear);
}

/** Only a processor that checks late has a cache that anybody can tell from memory. */
function dropCache(): void {
  if ((load<u32>(cpu, WATCH) & WATCH_LATE) != 0) emptyCache();
}

export function wbinvd(): void {
  privileged();
  dropCache();
}

export function invd(): void {
  privileged();
  dropCache();
}

export function hlt(): void {
  privileged();
  store<u32>(cpu, 1, HALTED);
  atomic.or<u32>(cpu + ATTENTION, ATT_HALTED);
}

/** XGETBV, XSETBV: CPUID has no XSAVE. */
export function xgetbv(): void {
  raise(V_UD, 0);
}

export function swapgs(): void {
  if (load<u32>(cpu, MODE) != MODE_64) raise(V_UD, 0);
  privileged();
  const gs = segAt(SEG_GS);
  const base = load<u64>(gs, SEG_BASE);
  store<u64>(gs, load<u64>(cpu, MSR_KERNEL_GS_BASE), SEG_BASE);
  store<u64>(cpu, base, MSR_KERNEL_GS_BASE);
}

// ---------------------------------------------------------------------------------------------- the interrupt flag

/** Whose flag CLI and STI are about (SDM vol. 2, CLI, table of actions). */
const FLAG_REAL: u32 = 0;
const FLAG_VIRTUAL: u32 = 1;

/** Decides between IF and VIF, or raises #GP(0). */
function whichFlag(): u32 {
  if (inRealMode() || iopl() >= cpl()) return FLAG_REAL;
  const enabling = inVirtual8086() ? CR4_VME : CR4_PVI;
  if (cpl() != 3 || (load<u64>(cpu, CR4) & enabling) == 0) raiseGp();
  return FLAG_VIRTUAL;
}

export function cli(): void {
  const flag = whichFlag() == FLAG_REAL ? FL_IF : FL_VIF;
  store<u32>(cpu, load<u32>(cpu, EFLAGS) & ~flag, EFLAGS);
}

export function sti(): void {
  const flags = load<u32>(cpu, EFLAGS);
  if (whichFlag() == FLAG_VIRTUAL) {
    if ((flags & FL_VIP) != 0) raiseGp();
    store<u32>(cpu, flags | FL_VIF, EFLAGS);
    return;
  }
  if ((flags & FL_IF) != 0) return;
  store<u32>(cpu, flags | FL_IF, EFLAGS);
  store<u32>(cpu, 1, SHADOW_STI);
  atomic.or<u32>(cpu + ATTENTION, ATT_SHADOW);
  noticeFlags();
}

/** The image that PUSHF pushes. */
export function pushf(osize: u32): u64 {
  const flags = readFlags() & ~(FL_VM | FL_RF);
  if (!inVirtual8086() || iopl() == 3) return flags;
  if ((load<u64>(cpu, CR4) & CR4_VME) == 0 || osize != 2) raiseGp();
  return (flags & ~FL_IF) | FL_IOPL | ((flags & FL_VIF) != 0 ? FL_IF : 0);
}

/** Loads flags from what POPF popped; what may not be changed stays, silently (SDM vol. 2, POPF, table 4-16). */
export function popf(value: u64, osize: u32): void {
  let image = (<u32>value) & ~FL_RF;
  let mask: u32 = FL_USER | FL_RF;
  if (inVirtual8086()) {
    if (iopl() == 3) mask |= FL_IF;
    else {
      if ((load<u64>(cpu, CR4) & CR4_VME) == 0 || osize != 2) raiseGp();
      const interrupts = (image & FL_IF) != 0;
      if ((interrupts && (load<u32>(cpu, EFLAGS) & FL_VIP) != 0) || (image & FL_TF) != 0) raiseGp();
      image = (image & 0xffff & ~FL_VIF) | (interrupts ? FL_VIF : 0);
      writeFlags(image, (FL_USER & 0xffff) | FL_VIF | FL_RF);
      return;
    }
  } else {
    if (cpl() <= iopl()) mask |= FL_IF;
    if (cpl() == 0) mask |= FL_IOPL;
    // A 32-bit POPF clears them where it may change them.
    if (cpl() == 0 && osize != 2) {
      mask |= FL_VIF | FL_VIP;
      image &= ~(FL_VIF | FL_VIP);
    }
  }
  if (osize == 2) mask &= 0xffff | FL_RF;
  writeFlags(image, mask);
}
