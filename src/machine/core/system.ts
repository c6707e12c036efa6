import { V_OF, V_UD } from "./arch";
import { fence } from "./atomic";
import {
  clts,
  hlt,
  invd,
  invlpg,
  lmsw,
  movFromCr,
  movToCr,
  popf,
  privileged,
  smsw,
  sti,
  swapgs,
  wbinvd,
} from "./control";
import { pause, ripOf, wrapped } from "./counters";
import { cpu } from "./cpu";
import { cpuid } from "./cpuid";
import { movFromDr, movToDr } from "./debug";
import { refreshTag } from "./enter";
import { raise } from "./fault";
import { overflow, zero } from "./flags";
import { softwareInterrupt } from "./interrupts";
import { portIn, portOut } from "./io";
import { endTransient } from "./late";
import { rdmsr, rdpmc, rdtsc, rdtscp, wrmsr } from "./msr";
import { address, addressAt, isMemory, read, readRm, segmented, setDst, setRegister, sum, writeRm } from "./operand";
import * as O from "./ops";
import * as R from "./record";
import { farReturn, iret } from "./returns";
import { inProtectedMode, loadFarSegment, loadSegment, segBase as segmentBase } from "./segments";
import { peek, release } from "./stack";
import {
  BUDGET,
  BUDGET_MARK,
  COUNT_RING,
  CPL,
  GPR,
  HEADER,
  HEADER_CPUS,
  INSTRUCTIONS,
  MODE,
  MODE_64,
  NEXT_RIP,
  RIP,
} from "./state";
import { syscall, sysenter, sysexit, sysret } from "./syscall";
import { arpl, lar, lgdt, lidt, lldt, lsl, ltr, sgdt, sidt, sldt, str, verr, verw } from "./tables";
import { farCall, farJump } from "./transfer";

/*
 * System instructions: their operands are fetched here, what they mean is told elsewhere. Each ends its block, because
 * it may change mode, privilege, translation, or what waits at the instruction boundary. RIP and NEXT_RIP are in the
 * state while one executes.
 */

const RSP: usize = GPR + 32;

/** Executes the system instruction at `ip`; returns the RIP to go on at. */
export function system(ip: usize): u64 {
  endTransient();
  pause(ip);
  const rip = ripOf(ip);
  store<u64>(cpu, rip, RIP);
  store<u64>(cpu, wrapped(rip + load<u8>(ip, R.R_LENGTH)), NEXT_RIP);
  const ring = cpu + ((<usize>load<u32>(cpu, CPL)) << 3);
  const operation = load<u8>(ip, R.R_SUB);
  execute(ip, operation, load<u8>(ip, R.R_SIZE));
  if (load<u32>(HEADER, HEADER_CPUS) > 1 && serializes(operation)) fence();
  // The instruction counts for the ring that it began in.
  store<u64>(cpu, load<u64>(cpu, INSTRUCTIONS) + 1, INSTRUCTIONS);
  store<u64>(ring, load<u64>(ring, COUNT_RING) + 1, COUNT_RING);
  store<i64>(cpu, load<i64>(cpu, BUDGET), BUDGET_MARK);
  refreshTag();
  return load<u64>(cpu, NEXT_RIP);
}

/**
 * Whether other processors see what was stored before the instruction before anything behind it is loaded: the
 * serializing instructions (SDM vol. 3, 8.3) and port accesses, which drain the store buffer too (8.2.5).
 */
function serializes(operation: u32): bool {
  switch (operation) {
    case O.IRET:
    case O.CPUID:
    case O.MOVCR:
    case O.MOVDR:
    case O.WRMSR:
    case O.INVLPG:
    case O.INVD:
    case O.WBINVD:
    case O.LGDT:
    case O.LIDT:
    case O.LLDT:
    case O.LTR:
    case O.LMSW:
    case O.IN:
    case O.OUT:
      return true;
    default:
      return false;
  }
}

/** r/m16 as a selector, or a machine status word. */
function word(ip: usize): u32 {
  return readRm<u16>(ip);
}

/** Stores to r/m: 16 bits to memory, zero-extended to the operand size in a register. */
function storeWord(ip: usize, value: u64): void {
  if (isMemory(ip) || load<u8>(ip, R.R_SIZE) == 2) writeRm<u16>(ip, <u16>value);
  else if (load<u8>(ip, R.R_SIZE) == 4) setDst<u32>(ip, <u32>value);
  else setDst<u64>(ip, value);
}

function setSized(at: usize, value: u64, size: u32): void {
  if (size == 2) store<u16>(at, <u16>value);
  else if (size == 4) store<u64>(at, value & 0xffffffff);
  else store<u64>(at, value);
}

function readSized(ip: usize, linear: u64, size: u32): u64 {
  if (size == 2) return <u64>read<u16>(ip, linear);
  if (size == 4) return <u64>read<u32>(ip, linear);
  return read<u64>(ip, linear);
}

/** The far pointer in memory: offset, then selector; the offset is stored here. */
let farOffset: u64 = 0;

function farPointer(ip: usize, size: u32): u32 {
  const offset = readSized(ip, addressAt(ip, 0, size, false), size);
  const selector = read<u16>(ip, addressAt(ip, size, 2, false));
  farOffset = offset;
  return selector;
}

/** JMP and CALL through a far pointer, in the instruction or in memory. */
function farTransfer(ip: usize, size: u32, calls: bool): void {
  let selector = load<u32>(ip, R.R_INDEX);
  farOffset = <u64>load<u32>(ip, R.R_IMM);
  let pushed = size;
  if (isMemory(ip)) {
    pushed = load<u32>(ip, R.R_IMM);
    selector = farPointer(ip, size);
  }
  if (calls) farCall(selector, farOffset, pushed);
  else farJump(selector, farOffset, size);
}

/** LDS, LES, LSS, LFS, LGS. */
function loadFar(ip: usize, size: u32): void {
  const selector = farPointer(ip, size);
  const offset = farOffset;
  loadFarSegment(load<u32>(ip, R.R_SRC), selector);
  setSized(load<u32>(ip, R.R_DST), offset, size);
}

/** Runs with rSP as after a pop of `size` bytes would only be right once nothing can fault: the pop comes last. */
function peekSized(ip: usize, size: u32): u64 {
  if (size == 2) return <u64>peek<u16>(ip, 0);
  if (size == 4) return <u64>peek<u32>(ip, 0);
  return peek<u64>(ip, 0);
}

/** POP of a segment register; how wide rSP is is decided by the stack segment that was popped from. */
function popSegment(ip: usize): void {
  const size = <u32>load<u8>(ip, R.R_SCALE);
  const selector = (<u32>peekSized(ip, size)) & 0xffff;
  const before = load<u64>(cpu, RSP);
  release(size);
  const after = load<u64>(cpu, RSP);
  store<u64>(cpu, before, RSP);
  loadSegment(load<u8>(ip, R.R_SIZE), selector);
  store<u64>(cpu, after, RSP);
}

function moveControl(ip: usize): void {
  const which = load<u32>(ip, R.R_INDEX);
  const at: usize = load<u32>(ip, R.R_DST);
  const wide = load<u32>(cpu, MODE) == MODE_64;
  if (which < 16) movToCr(which, wide ? load<u64>(at) : <u64>load<u32>(at));
  else {
    const value = movFromCr(which - 16);
    store<u64>(at, wide ? value : value & 0xffffffff);
  }
}

function moveDebug(ip: usize): void {
  const which = load<u32>(ip, R.R_INDEX);
  const at: usize = load<u32>(ip, R.R_DST);
  const wide = load<u32>(cpu, MODE) == MODE_64;
  if (which < 16) movToDr(which, wide ? load<u64>(at) : <u64>load<u32>(at));
  else {
    const value = movFromDr(which - 16);
    store<u64>(at, wide ? value : value & 0xffffffff);
  }
}

/** IN and OUT: the port is an immediate or DX. */
function portOf(ip: usize): u32 {
  return load<u32>(ip, R.R_INDEX) != 0 ? <u32>load<u16>(cpu, GPR + 16) : load<u32>(ip, R.R_IMM);
}

function input(ip: usize, size: u32): void {
  const value = portIn(portOf(ip), size);
  if (size == 1) store<u8>(cpu, <u8>value, GPR);
  else if (size == 2) store<u16>(cpu, <u16>value, GPR);
  else setRegister<u32>(cpu + GPR, value);
}

function output(ip: usize, size: u32): void {
  const value = load<u32>(cpu, GPR);
  portOut(portOf(ip), size, size == 1 ? value & 0xff : size == 2 ? value & 0xffff : value);
}

/** Bytes of a descriptor-table register's image. */
function tableSize(): u32 {
  return load<u32>(cpu, MODE) == MODE_64 ? 10 : 6;
}

/** Group 6 and its kin exist in protected mode only, whatever their operands. */
function needProtectedMode(): void {
  if (!inProtectedMode()) raise(V_UD, 0);
}

function execute(ip: usize, operation: u32, size: u32): void {
  switch (operation) {
    // Transfers.
    case O.JMPF:
      return farTransfer(ip, size, false);
    case O.CALLF:
      return farTransfer(ip, size, true);
    case O.RETF:
      return farReturn(size, load<u32>(ip, R.R_IMM));
    case O.IRET:
      return iret(size);
    case O.INT:
      return softwareInterrupt(load<u32>(ip, R.R_IMM), 0);
    case O.INT3:
      return softwareInterrupt(3, 1);
    case O.INTO:
      if (overflow() != 0) softwareInterrupt(V_OF, 2);
      return;
    case O.INT1:
      return softwareInterrupt(1, 3);
    case O.SYSCALL:
      return syscall();
    case O.SYSRET:
      return sysret(size);
    case O.SYSENTER:
      return sysenter();
    case O.SYSEXIT:
      return sysexit(size);

    // Segments.
    case O.LOADSEG:
      return loadSegment(load<u8>(ip, R.R_SIZE), word(ip));
    case O.POPSEG:
      return popSegment(ip);
    case O.LOADFAR:
      return loadFar(ip, size);
    case O.SWAPGS:
      return swapgs();

    // Flags, input and output.
    case O.POPF: {
      popf(peekSized(ip, size), size);
      return release(size);
    }
    case O.STI:
      return sti();
    case O.IN:
      return input(ip, size);
    case O.OUT:
      return output(ip, size);

    // Control, debug and model-specific registers.
    case O.MOVCR:
      return moveControl(ip);
    case O.MOVDR:
      return moveDebug(ip);
    case O.CLTS:
      return clts();
    case O.SMSW:
      return storeWord(ip, smsw());
    case O.LMSW:
      privileged();
      return lmsw(word(ip));
    case O.RDMSR:
      return rdmsr();
    case O.WRMSR:
      return wrmsr();
    case O.RDTSC:
      return rdtsc();
    case O.RDTSCP:
      return rdtscp();
    case O.RDPMC:
      return rdpmc();
    case O.CPUID:
      return cpuid();
    case O.HLT:
      return hlt();
    case O.INVD:
      return invd();
    case O.WBINVD:
      return wbinvd();
    case O.INVLPG: {
      privileged();
      // The address is computed, not accessed: no limit is checked.
      const total = sum(ip);
      return invlpg(load<u8>(ip, R.R_ADDRESSING) == R.ADDRESS_FLAT ? total : unchecked(ip, total));
    }

    // Descriptor tables.
    case O.SGDT:
      return sgdt(address(ip, tableSize(), true), size);
    case O.SIDT:
      return sidt(address(ip, tableSize(), true), size);
    case O.LGDT:
      privileged();
      return lgdt(address(ip, tableSize(), false), size);
    case O.LIDT:
      privileged();
      return lidt(address(ip, tableSize(), false), size);
    default:
      needProtectedMode();
      return protectedOperation(ip, operation, size);
  }
}

/** A linear address whose offset need not be within its segment. */
function unchecked(ip: usize, total: u64): u64 {
  const how = <i32>load<u8>(ip, R.R_ADDRESSING);
  if (how == R.ADDRESS_64 || how == R.ADDRESS_32_LONG) return segmented(ip, total, 1, false);
  const offset = how == R.ADDRESS_16 ? total & 0xffff : total & 0xffffffff;
  return (offset + segmentBase(load<u8>(ip, R.R_SEGMENT))) & 0xffffffff;
}

function protectedOperation(ip: usize, operation: u32, size: u32): void {
  switch (operation) {
    case O.SLDT:
      return storeWord(ip, sldt());
    case O.STR:
      return storeWord(ip, str());
    case O.LLDT:
      privileged();
      return lldt(word(ip));
    case O.LTR:
      privileged();
      return ltr(word(ip));
    case O.VERR:
      return verr(word(ip));
    case O.VERW:
      return verw(word(ip));
    case O.LAR:
    case O.LSL: {
      const selector = isMemory(ip)
        ? <u32>read<u16>(ip, address(ip, 2, false))
        : <u32>load<u16>(load<u32>(ip, R.R_SRC));
      const value = operation == O.LAR ? lar(selector) : lsl(selector);
      if (zero()) setSized(load<u32>(ip, R.R_DST), value, size);
      return;
    }
    case O.ARPL: {
      const old = readRm<u16>(ip);
      const source = <u32>load<u16>(load<u32>(ip, R.R_SRC));
      // Written only if it changes, and before ZF is: the store may fault.
      if ((old & 3) < <u16>(source & 3)) writeRm<u16>(ip, <u16>((old & 0xfffc) | (source & 3)));
      arpl(old, source);
      return;
    }
    default:
      return raise(V_UD, 0);
  }
}
