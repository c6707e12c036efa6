import { cpu } from "./cpu";
import * as O from "./ops";
import * as H from "./handlers";
import * as R from "./record";
import { REPEAT_EQUAL, REPEAT_NONE, REPEAT_NOT_EQUAL } from "./string";
import { UPDATE_DEC, UPDATE_INC, UPDATE_NEG, UPDATE_NOT } from "./atomic";
import { BLOCK_RIP, GPR, MODE_64, SEG_DS, SEG_FS, ZERO } from "./state";

/*
 * From the instruction as the manual describes it (decode.ts) to the record that the run loop executes: which handler,
 * and where its operands are. The only place that knows both forms.
 */

/** 0, 1, 2, 3 for 1, 2, 4, 8 bytes. */
// @ts-ignore: decorator
@inline
function log2(size: u32): u32 {
  return ctz<u32>(size);
}

function kindOf(which: usize): u32 {
  return load<u8>(cpu + which * R.OPERAND_STRIDE, R.D_OPERANDS);
}

function numberOf(which: usize): u32 {
  return load<u8>(cpu + which * R.OPERAND_STRIDE, R.D_OPERANDS + 1);
}

function sizeOf(which: usize): u32 {
  return load<u16>(cpu + which * R.OPERAND_STRIDE, R.D_OPERANDS + 2);
}

function isRegister(which: usize): bool {
  return kindOf(which) == R.OPERAND_REGISTER;
}

function isImmediate(which: usize): bool {
  const kind = kindOf(which);
  return kind == R.OPERAND_IMMEDIATE || kind == R.OPERAND_ONE;
}

function isMemory(which: usize): bool {
  return kindOf(which) == R.OPERAND_MEMORY;
}

/** Address of a general register. */
function gpr(number: u32): u32 {
  return <u32>cpu + GPR + (number << 3);
}

/** Address of a register operand; 16..19 are AH, CH, DH, BH. */
function registerOf(which: usize): u32 {
  const number = numberOf(which);
  return number < 16 ? gpr(number) : gpr(number - 16) + 1;
}

function immediate(): i64 {
  return load<i64>(cpu, R.D_IMMEDIATE);
}

/** Lengths as 64-bit numbers, for R_INDEX to point at. */
const LENGTHS: StaticArray<u64> = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/** The memory operand's base, index and displacement. False if it only fits at the beginning of a block. */
function setAddress(ip: usize): bool {
  const base = <u32>load<u8>(cpu, R.D_BASE);
  const index = <u32>load<u8>(cpu, R.D_INDEX);
  store<u8>(ip, load<u8>(cpu, R.D_SCALE), R.R_SCALE);
  store<u32>(ip, index == R.NO_REGISTER ? <u32>cpu + ZERO : gpr(index), R.R_INDEX);
  let displacement = load<i64>(cpu, R.D_DISPLACEMENT);
  if (base == R.RIP_BASE) {
    // The block's RIP plus what is constant: from there to the end of this instruction, and the displacement.
    store<u32>(ip, <u32>cpu + BLOCK_RIP, R.R_BASE);
    const ahead = <i64>load<u16>(ip, R.R_OFFSET) + load<u32>(cpu, R.D_LENGTH);
    if (displacement + ahead == <i64>(<i32>(displacement + ahead))) displacement += ahead;
    else {
      if (load<u16>(ip, R.R_OFFSET) != 0) return false;
      store<u32>(ip, <u32>(changetype<usize>(LENGTHS) + ((<usize>ahead) << 3)), R.R_INDEX);
    }
  } else store<u32>(ip, base == R.NO_REGISTER ? <u32>cpu + ZERO : gpr(base), R.R_BASE);
  store<i32>(ip, <i32>displacement, R.R_DISP);
  return true;
}

function setAddressing(ip: usize, memory: bool): void {
  let seg = <u32>load<u8>(cpu, R.D_SEGMENT);
  if (seg == R.NO_REGISTER) seg = SEG_DS;
  store<u8>(ip, seg, R.R_SEGMENT);
  const size = load<u32>(cpu, R.D_ADDRESS_SIZE);
  let how: u32;
  if (!memory) how = R.ADDRESS_NONE;
  else if (size == 8) how = seg >= <u32>SEG_FS ? R.ADDRESS_64 : R.ADDRESS_FLAT;
  else if (load<u32>(cpu, R.D_MODE) == MODE_64) how = R.ADDRESS_32_LONG;
  else how = size == 4 ? R.ADDRESS_32 : R.ADDRESS_16;
  store<u8>(ip, how, R.R_ADDRESSING);
}

// @ts-ignore: decorator
@inline
function setHandler(ip: usize, handler: u32): void {
  store<u16>(ip, handler, R.R_HANDLER);
}

// @ts-ignore: decorator
@inline
function setSub(ip: usize, sub: u32): void {
  store<u8>(ip, sub, R.R_SUB);
}

/** The immediate as 32 bits; instructions with more have handlers of their own. */
function setImmediate(ip: usize): void {
  store<i32>(ip, <i32>immediate(), R.R_IMM);
}

/** First operand r/m (R_DST when a register), second a register in R_SRC or an immediate. Returns 1 if an immediate. */
function setRmSecond(ip: usize): u32 {
  if (isRegister(0)) store<u32>(ip, registerOf(0), R.R_DST);
  if (isImmediate(1)) {
    setImmediate(ip);
    return 1;
  }
  store<u32>(ip, registerOf(1), R.R_SRC);
  return 0;
}

function isLocked(): bool {
  return (load<u32>(cpu, R.D_PREFIXES) & R.PREFIX_LOCK) != 0;
}

/** ADD..CMP. */
function lowerAlu(ip: usize, number: u32): void {
  const size = sizeOf(0);
  const wide = size == 8 ? 8 : 0;
  setSub(ip, number);
  if (isMemory(1)) {
    store<u32>(ip, registerOf(0), R.R_DST);
    setHandler(ip, size >= 4 ? H.H_RM32 + wide + number : H.H_ALU_R_M + log2(size));
    return;
  }
  const constant = setRmSecond(ip) != 0;
  const memory = isMemory(0);
  if (memory && isLocked()) {
    setHandler(ip, (constant ? H.H_LOCKED_I : H.H_LOCKED_R) + log2(size));
    return;
  }
  if (size < 4) {
    // CMP of a byte with a constant is what loops over text are made of.
    if (size == 1 && constant && number == 7) setHandler(ip, memory ? H.H_CMP8_MI : H.H_CMP8_RI);
    else setHandler(ip, (constant ? H.H_ALU_RM_I : H.H_ALU_RM_R) + log2(size));
    return;
  }
  // XOR of a register with itself is the idiom for 0.
  if (!memory && !constant && number == 6 && numberOf(0) == numberOf(1)) setHandler(ip, H.H_ZERO32);
  else if (memory) setHandler(ip, (constant ? H.H_MI32 : H.H_MR32) + wide + number);
  else setHandler(ip, (constant ? H.H_RI32 : H.H_RR32) + wide + number);
}

function lowerTest(ip: usize): void {
  const size = sizeOf(0);
  const constant = setRmSecond(ip) != 0;
  if (!isMemory(0)) {
    if (!constant && size == 4) return setHandler(ip, H.H_TEST_RR32);
    if (!constant && size == 8) return setHandler(ip, H.H_TEST_RR64);
    if (!constant && size == 1) return setHandler(ip, H.H_TEST_RR8);
    if (constant && size == 4) return setHandler(ip, H.H_TEST_RI32);
    if (constant && size == 1) return setHandler(ip, H.H_TEST8_RI);
  } else if (constant && size == 1) return setHandler(ip, H.H_TEST8_MI);
  setHandler(ip, (constant ? H.H_TEST_RM_I : H.H_TEST_RM_R) + log2(size));
}

/** An operation on one r/m operand with a handler for each size, and a LOCKed form if there is one. */
function lowerOne(ip: usize, family: u32, update: u32): void {
  if (isRegister(0)) store<u32>(ip, registerOf(0), R.R_DST);
  if (isLocked()) {
    setSub(ip, update);
    setHandler(ip, H.H_LOCKED_I + log2(sizeOf(0)));
  } else setHandler(ip, family + log2(sizeOf(0)));
}

function lowerIncDec(ip: usize, operation: i32): void {
  const dec = operation == O.DEC;
  lowerOne(ip, dec ? H.H_DEC_RM : H.H_INC_RM, dec ? UPDATE_DEC : UPDATE_INC);
  if (!isRegister(0)) return;
  if (sizeOf(0) == 4) setHandler(ip, dec ? H.H_DEC_R32 : H.H_INC_R32);
  else if (sizeOf(0) == 8) setHandler(ip, dec ? H.H_DEC_R64 : H.H_INC_R64);
}

function lowerShift(ip: usize, number: u32): void {
  const size = sizeOf(0);
  setSub(ip, number);
  if (isRegister(0)) store<u32>(ip, registerOf(0), R.R_DST);
  if (!isImmediate(1)) return setHandler(ip, H.H_SHIFT_RM_CL + log2(size));
  setImmediate(ip);
  const count = (<u32>immediate()) & (size == 8 ? 63 : 31);
  if (isRegister(0) && size >= 4 && count != 0 && (number == 4 || number == 5 || number == 7)) {
    store<u32>(ip, count, R.R_IMM);
    const family = number == 4 ? H.H_SHL_RI32 : number == 5 ? H.H_SHR_RI32 : H.H_SAR_RI32;
    setHandler(ip, family + (size == 8 ? 1 : 0));
  } else setHandler(ip, H.H_SHIFT_RM_I + log2(size));
}

function lowerDoubleShift(ip: usize, operation: i32): void {
  setSub(ip, operation - O.SHLD);
  if (isRegister(0)) {
    store<u32>(ip, registerOf(0), R.R_DST);
    store<u32>(ip, registerOf(1), R.R_BASE);
  } else store<u32>(ip, registerOf(1), R.R_DST);
  if (isImmediate(2)) setImmediate(ip);
  setHandler(ip, (isImmediate(2) ? H.H_DSHIFT_I : H.H_DSHIFT_CL) + log2(sizeOf(0)) - 1);
}

function lowerMov(ip: usize): void {
  const size = sizeOf(0);
  if (isMemory(1)) {
    store<u32>(ip, registerOf(0), R.R_DST);
    setHandler(ip, H.H_LOAD + log2(size));
  } else if (isMemory(0)) {
    const constant = setRmSecond(ip) != 0;
    setHandler(ip, (constant ? H.H_STORE_I : H.H_STORE) + log2(size));
  } else if (isImmediate(1)) {
    store<u32>(ip, registerOf(0), R.R_DST);
    if (size == 8 && immediate() != <i64>(<i32>immediate())) {
      store<i64>(ip, immediate(), R.R_IMM64);
      setHandler(ip, H.H_MOV_RQ);
    } else {
      setImmediate(ip);
      setHandler(ip, H.H_MOV_RI + log2(size));
    }
  } else {
    setRmSecond(ip);
    setHandler(ip, H.H_MOV_RR + log2(size));
  }
  // An absolute address of 64 bits that no displacement can hold.
  const displacement = load<i64>(cpu, R.D_DISPLACEMENT);
  if ((isMemory(0) || isMemory(1)) && displacement != <i64>(<i32>displacement)) {
    store<i64>(ip, displacement, R.R_IMM64);
    store<u32>(ip, gpr(0), R.R_DST);
    setSub(ip, (isMemory(0) ? 4 : 0) + log2(size));
    setHandler(ip, H.H_MOV_ABSOLUTE);
  }
}

/** MOVZX and MOVSX, MOVSXD among them. */
function lowerExtend(ip: usize, signed: bool): void {
  store<u32>(ip, registerOf(0), R.R_DST);
  const memory = isMemory(1);
  if (!memory) store<u32>(ip, registerOf(1), R.R_SRC);
  const to = sizeOf(0);
  const from = sizeOf(1);
  if (to == 2 && load<u32>(cpu, R.D_OPCODE) == 0x63) {
    // MOVSXD to a word reads 32 bits all the same.
    setSub(ip, 2);
    setHandler(ip, H.H_MOVX8_16);
    return;
  }
  if (to == from) {
    // MOVSXD without REX.W, MOVZX of a word to a word: a plain move.
    setHandler(ip, (memory ? H.H_LOAD : H.H_MOV_RR) + log2(to));
    return;
  }
  if (to == 2) {
    setSub(ip, signed ? 1 : 0);
    setHandler(ip, H.H_MOVX8_16);
    return;
  }
  let handler: u32;
  if (!signed) handler = (memory ? H.H_MOVZX8_M : H.H_MOVZX8_R) + (from == 2 ? 1 : 0);
  else {
    handler = memory ? H.H_MOVSX8_M32 : H.H_MOVSX8_R32;
    handler += from == 4 ? 4 : (from == 2 ? 2 : 0) + (to == 8 ? 1 : 0);
  }
  setHandler(ip, handler);
}

function lowerLea(ip: usize): void {
  store<u32>(ip, registerOf(0), R.R_DST);
  const size = sizeOf(0);
  const addressSize = load<u32>(cpu, R.D_ADDRESS_SIZE);
  store<u8>(ip, size, R.R_SIZE);
  if (size == 8 && addressSize == 8) setHandler(ip, H.H_LEA64);
  else if ((size == 4 && addressSize >= 4) || (size == 8 && addressSize == 4)) setHandler(ip, H.H_LEA32);
  else setHandler(ip, H.H_LEA_ANY);
}

/** XCHG, XADD, CMPXCHG: r/m, register. */
function lowerExchange(ip: usize, registers: u32, memory: u32): void {
  setRmSecond(ip);
  setHandler(ip, (isMemory(0) ? memory : registers) + log2(sizeOf(0)));
}

function lowerBit(ip: usize, number: u32): void {
  const constant = setRmSecond(ip) != 0;
  setSub(ip, number);
  const size = log2(sizeOf(0)) - 1;
  if (!constant) setHandler(ip, (isMemory(0) ? H.H_BIT_MR : H.H_BIT_RR) + size);
  else setHandler(ip, (isLocked() ? H.H_LOCKED_BIT_I : H.H_BIT_RM_I) + size);
}

function lowerImul(ip: usize, operation: i32): void {
  store<u32>(ip, registerOf(0), R.R_DST);
  const memory = isMemory(1);
  const size = log2(sizeOf(0)) - 1;
  if (operation == O.IMUL3) {
    setImmediate(ip);
    if (!memory) store<u32>(ip, registerOf(1), R.R_BASE);
    setHandler(ip, (memory ? H.H_IMUL_RMI : H.H_IMUL_RRI) + size);
  } else {
    if (!memory) store<u32>(ip, registerOf(1), R.R_SRC);
    setHandler(ip, (memory ? H.H_IMUL_RM : H.H_IMUL_RR) + size);
  }
}

/** dst register, source r/m in R_SRC when it is a register. */
function lowerRegisterRm(ip: usize, registers: u32, memory: u32): void {
  store<u32>(ip, registerOf(0), R.R_DST);
  if (!isMemory(1)) store<u32>(ip, registerOf(1), R.R_SRC);
  setHandler(ip, (isMemory(1) ? memory : registers) + log2(sizeOf(0)) - 1);
}

function lowerString(ip: usize, family: u32): void {
  const prefixes = load<u32>(cpu, R.D_PREFIXES);
  const repeat =
    (prefixes & R.PREFIX_REP) != 0 ? REPEAT_EQUAL : (prefixes & R.PREFIX_REPNE) != 0 ? REPEAT_NOT_EQUAL : REPEAT_NONE;
  setSub(ip, repeat);
  setAddressing(ip, true);
  const first = sizeOf(0);
  // OUTS has DX first.
  const size = family == H.H_OUTS ? sizeOf(1) : first;
  setHandler(ip, family + log2(size));
}

/** PUSH, POP: the usual sizes have their own handlers if the stack is as wide. */
function lowerPush(ip: usize, usual: bool): void {
  const size = load<u32>(cpu, R.D_OPERAND_SIZE);
  if (isImmediate(0)) {
    setImmediate(ip);
    if (usual) setHandler(ip, size == 8 ? H.H_PUSH_I64 : H.H_PUSH_I32);
    else setHandler(ip, H.H_PUSH_I + log2(size) - 1);
    return;
  }
  if (isRegister(0)) {
    store<u32>(ip, registerOf(0), R.R_DST);
    if (usual) return setHandler(ip, size == 8 ? H.H_PUSH_R64 : H.H_PUSH_R32);
  }
  setHandler(ip, H.H_PUSH_RM + log2(size) - 1);
}

function lowerPop(ip: usize, usual: bool): void {
  const size = load<u32>(cpu, R.D_OPERAND_SIZE);
  if (isRegister(0)) {
    store<u32>(ip, registerOf(0), R.R_DST);
    if (usual) setHandler(ip, size == 8 ? H.H_POP_R64 : H.H_POP_R32);
    else setHandler(ip, H.H_POP_R + log2(size) - 1);
  } else setHandler(ip, H.H_POP_M + log2(size) - 1);
}

/** A relative branch: where it goes, and what follows it, in bytes from the block's first instruction. */
function setTarget(ip: usize): void {
  const next = <u32>load<u16>(ip, R.R_OFFSET) + load<u32>(cpu, R.D_LENGTH);
  store<u32>(ip, next, R.R_DST);
  store<i64>(ip, <i64>next + immediate(), R.R_IMM64);
}

/** Near transfers of control. `usual`: 64-bit mode and size, or 32-bit operand size and a 32-bit stack outside of it. */
function lowerBranch(ip: usize, operation: i32, usual: bool): void {
  const size = load<u32>(cpu, R.D_OPERAND_SIZE);
  const long = size == 8;
  const small = log2(size) - 1;
  if (operation >= O.JCC && operation < O.JCC + 16) {
    setTarget(ip);
    setSub(ip, operation - O.JCC);
    if (size == 2) setHandler(ip, H.H_JCC_ANY + small);
    else setHandler(ip, (long ? H.H_JCC64 : H.H_JCC32) + (operation - O.JCC));
  } else if (operation == O.JMP) {
    setTarget(ip);
    setHandler(ip, H.H_JMP + small);
  } else if (operation == O.CALL) {
    setTarget(ip);
    setHandler(ip, usual ? (long ? H.H_CALL64 : H.H_CALL32) : H.H_CALL_ANY + small);
  } else if (operation == O.RET) {
    const bytes = isImmediate(0) ? <u32>immediate() : 0;
    store<u32>(ip, bytes, R.R_IMM);
    setHandler(ip, usual ? (long ? H.H_RET64 : H.H_RET32) : H.H_RET_ANY + small);
  } else if (operation == O.JMPIND || operation == O.CALLIND) {
    if (isRegister(0)) store<u32>(ip, registerOf(0), R.R_DST);
    setHandler(ip, (operation == O.JMPIND ? H.H_JMP_RM : H.H_CALL_RM) + small);
  } else {
    setTarget(ip);
    // F3 and F2 say which of LOOPE and LOOPNE it is, whatever the opcode says (AMD's processors; undocumented).
    const prefixes = load<u32>(cpu, R.D_PREFIXES);
    const conditional = operation == O.LOOPE || operation == O.LOOPNE;
    if (conditional && (prefixes & R.PREFIX_REP) != 0) operation = O.LOOPE;
    if (conditional && (prefixes & R.PREFIX_REPNE) != 0) operation = O.LOOPNE;
    setSub(ip, operation - O.LOOPNE);
    setAddressing(ip, true);
    setHandler(ip, H.H_LOOP + small);
  }
}

/** System instructions: operation in R_SUB; ModRM.rm in R_DST or memory; see system.ts for what else each one needs. */
function lowerSystem(ip: usize, operation: i32): void {
  setSub(ip, operation);
  setHandler(ip, H.H_SYSTEM);
  store<u32>(ip, isImmediate(0) || isImmediate(1) ? <u32>immediate() : 0, R.R_IMM);
  switch (operation) {
    case O.JMPF:
    case O.CALLF:
      if (isMemory(0)) return;
      store<u32>(ip, <u32>immediate(), R.R_IMM);
      store<u32>(ip, load<u32>(cpu, R.D_IMMEDIATE2), R.R_INDEX);
      return;
    case O.IN:
      // R_INDEX: whether the port is in DX; R_SIZE: bytes.
      store<u32>(ip, isImmediate(1) ? 0 : 1, R.R_INDEX);
      store<u8>(ip, sizeOf(0), R.R_SIZE);
      return;
    case O.OUT:
      store<u32>(ip, isImmediate(0) ? 0 : 1, R.R_INDEX);
      store<u8>(ip, sizeOf(1), R.R_SIZE);
      return;
    case O.MOVCR:
    case O.MOVDR: {
      // R_INDEX: the register's number, plus 16 when it is read.
      const reads = isRegister(0);
      store<u32>(ip, registerOf(reads ? 0 : 1), R.R_DST);
      store<u32>(ip, numberOf(reads ? 1 : 0) + (reads ? 16 : 0), R.R_INDEX);
      return;
    }
    case O.LOADSEG:
      // R_SIZE: the segment register. POPSEG likewise, with the operand size in R_SCALE.
      store<u8>(ip, numberOf(0), R.R_SIZE);
      if (isRegister(1)) store<u32>(ip, registerOf(1), R.R_DST);
      return;
    case O.POPSEG:
      store<u8>(ip, load<u32>(cpu, R.D_OPERAND_SIZE), R.R_SCALE);
      store<u8>(ip, numberOf(0), R.R_SIZE);
      return;
    case O.LOADFAR:
      // R_SRC: the segment register.
      store<u32>(ip, registerOf(0), R.R_DST);
      store<u32>(ip, numberOf(2), R.R_SRC);
      return;
    case O.LAR:
    case O.LSL:
      store<u32>(ip, registerOf(0), R.R_DST);
      if (isRegister(1)) store<u32>(ip, registerOf(1), R.R_SRC);
      return;
    case O.ARPL:
      if (isRegister(0)) store<u32>(ip, registerOf(0), R.R_DST);
      store<u32>(ip, registerOf(1), R.R_SRC);
      return;
    default:
      if (isRegister(0)) store<u32>(ip, registerOf(0), R.R_DST);
  }
}

/** Handlers that do not depend on operands. */
function simple(operation: i32): u32 {
  switch (operation) {
    case O.NOP:
    case O.PAUSE:
    case O.FENCE:
    case O.PREFETCH:
      return H.H_NOP;
    case O.CLC:
      return H.H_CLC;
    case O.STC:
      return H.H_STC;
    case O.CMC:
      return H.H_CMC;
    case O.CLD:
      return H.H_CLD;
    case O.STD:
      return H.H_STD;
    case O.LAHF:
      return H.H_LAHF;
    case O.SAHF:
      return H.H_SAHF;
    case O.DAA:
      return H.H_DAA;
    case O.DAS:
      return H.H_DAS;
    case O.AAA:
      return H.H_AAA;
    case O.AAS:
      return H.H_AAS;
    case O.SALC:
      return H.H_SALC;
    case O.XLAT:
      return H.H_XLAT;
    case O.CLFLUSH:
      return H.H_CLFLUSH;
    case O.X87:
    case O.FWAIT:
    case O.VECTOR:
      return H.H_NO_UNIT;
    default:
      return 0;
  }
}

function endsBlock(handler: u32, operation: i32): bool {
  if (handler == H.H_SYSTEM || handler == H.H_RAISE || handler == H.H_NO_UNIT) return true;
  if (operation >= O.JCC && operation < O.JCC + 16) return true;
  return operation >= O.JMP && operation <= O.JCXZ;
}

/** Fills in the record of an instruction that is none. */
export function lowerFault(ip: usize, vector: u32): void {
  setHandler(ip, H.H_RAISE);
  setSub(ip, vector);
}

export const LOWERED: u32 = 0;
/** The instruction ends its block. */
export const LOWERED_LAST: u32 = 1;
/** It can only be the first of a block. */
export const LOWERED_NOT: u32 = 2;

/**
 * Fills in the record at `ip`, whose length, offset and position are set, from the decoded instruction. `wideStack`:
 * the stack is as wide as the code mode's usual operand size. Returns LOWERED_*.
 */
export function lower(ip: usize, wideStack: bool): u32 {
  const operation = load<i32>(cpu, R.D_OPERATION);
  const size = load<u32>(cpu, R.D_OPERAND_SIZE);
  const mode = load<u32>(cpu, R.D_MODE);
  const memory = isMemory(0) || isMemory(1);
  store<u8>(ip, size, R.R_SIZE);
  if (memory && !setAddress(ip)) return LOWERED_NOT;
  setAddressing(ip, memory);
  const usual = wideStack && size == (mode == MODE_64 ? 8 : 4);

  const handler = simple(operation);
  if (handler != 0) {
    setSub(ip, operation);
    setHandler(ip, handler);
  } else if (operation >= O.ADD && operation <= O.CMP) lowerAlu(ip, operation - O.ADD);
  else if (operation >= O.ROL && operation <= O.SAR) lowerShift(ip, operation == O.SAL ? 4 : operation - O.ROL);
  else if ((operation >= O.JCC && operation < O.JCC + 16) || (operation >= O.JMP && operation <= O.JCXZ))
    lowerBranch(ip, operation, usual);
  else if (operation >= O.SETCC && operation < O.SETCC + 16) {
    setSub(ip, operation - O.SETCC);
    if (isRegister(0)) store<u32>(ip, registerOf(0), R.R_DST);
    setHandler(ip, isRegister(0) ? H.H_SETCC_R + (operation - O.SETCC) : H.H_SETCC_M);
  } else if (operation >= O.CMOVCC && operation < O.CMOVCC + 16) {
    setSub(ip, operation - O.CMOVCC);
    lowerRegisterRm(ip, H.H_CMOV_RR, H.H_CMOV_RM);
  } else if (!lowerRest(ip, operation, size, usual)) lowerSystem(ip, operation);
  return endsBlock(load<u16>(ip, R.R_HANDLER), operation) ? LOWERED_LAST : LOWERED;
}

/** Everything else that is no system instruction; false if it is one. */
function lowerRest(ip: usize, operation: i32, size: u32, usual: bool): bool {
  const small = log2(size) - 1;
  switch (operation) {
    case O.MOV:
    case O.MOVNTI:
      lowerMov(ip);
      return true;
    case O.MOVZX:
    case O.MOVSX:
      lowerExtend(ip, operation == O.MOVSX);
      return true;
    case O.LEA:
      lowerLea(ip);
      return true;
    case O.TEST:
      lowerTest(ip);
      return true;
    case O.INC:
    case O.DEC:
      lowerIncDec(ip, operation);
      return true;
    case O.NOT:
      lowerOne(ip, H.H_NOT_RM, UPDATE_NOT);
      return true;
    case O.NEG:
      lowerOne(ip, H.H_NEG_RM, UPDATE_NEG);
      return true;
    case O.MUL:
      lowerOne(ip, H.H_MUL, 0);
      return true;
    case O.IMUL:
      lowerOne(ip, H.H_IMUL, 0);
      return true;
    case O.DIV:
      lowerOne(ip, H.H_DIV, 0);
      return true;
    case O.IDIV:
      lowerOne(ip, H.H_IDIV, 0);
      return true;
    case O.IMUL2:
    case O.IMUL3:
      lowerImul(ip, operation);
      return true;
    case O.SHLD:
    case O.SHRD:
      lowerDoubleShift(ip, operation);
      return true;
    case O.XCHG:
      lowerExchange(ip, H.H_XCHG_RR, H.H_XCHG_MR);
      return true;
    case O.XADD:
      lowerExchange(ip, H.H_XADD_RR, H.H_XADD_MR);
      return true;
    case O.CMPXCHG:
      lowerExchange(ip, H.H_CMPXCHG_RR, H.H_CMPXCHG_MR);
      return true;
    case O.CMPXCHG8B:
      setHandler(ip, sizeOf(0) == 16 ? H.H_CMPXCHG16B : H.H_CMPXCHG8B);
      return true;
    case O.BT:
    case O.BTS:
    case O.BTR:
    case O.BTC:
      lowerBit(ip, operation - O.BT);
      return true;
    case O.BSF:
      lowerRegisterRm(ip, H.H_BSF, H.H_BSF);
      return true;
    case O.BSR:
      lowerRegisterRm(ip, H.H_BSR, H.H_BSR);
      return true;
    case O.BSWAP:
      store<u32>(ip, registerOf(0), R.R_DST);
      setHandler(ip, H.H_BSWAP + small);
      return true;
    case O.CBW:
      setHandler(ip, H.H_CBW + small);
      return true;
    case O.CWD:
      setHandler(ip, H.H_CWD + small);
      return true;
    case O.MOVSEG:
      setSub(ip, numberOf(1));
      if (isRegister(0)) store<u32>(ip, registerOf(0), R.R_DST);
      setHandler(ip, isRegister(0) ? H.H_MOVSEG_R + small : H.H_MOVSEG_M);
      return true;
    case O.PUSH:
      lowerPush(ip, usual);
      return true;
    case O.POP:
      lowerPop(ip, usual);
      return true;
    case O.PUSHSEG:
      setSub(ip, numberOf(0));
      setHandler(ip, H.H_PUSHSEG + small);
      return true;
    case O.PUSHF:
      setHandler(ip, H.H_PUSHF + small);
      return true;
    case O.LEAVE:
      setHandler(ip, H.H_LEAVE + small);
      return true;
    case O.ENTER:
      setImmediate(ip);
      setSub(ip, load<u32>(cpu, R.D_IMMEDIATE2));
      setHandler(ip, H.H_ENTER + small);
      return true;
    case O.PUSHA:
      setHandler(ip, size == 2 ? H.H_PUSHA16 : H.H_PUSHA32);
      return true;
    case O.POPA:
      setHandler(ip, size == 2 ? H.H_POPA16 : H.H_POPA32);
      return true;
    case O.BOUND:
      store<u32>(ip, registerOf(0), R.R_DST);
      setHandler(ip, size == 2 ? H.H_BOUND16 : H.H_BOUND32);
      return true;
    case O.AAM:
      setImmediate(ip);
      setHandler(ip, H.H_AAM);
      return true;
    case O.AAD:
      setImmediate(ip);
      setHandler(ip, H.H_AAD);
      return true;
    case O.MOVS:
      lowerString(ip, H.H_MOVS);
      return true;
    case O.STOS:
      lowerString(ip, H.H_STOS);
      return true;
    case O.LODS:
      lowerString(ip, H.H_LODS);
      return true;
    case O.CMPS:
      lowerString(ip, H.H_CMPS);
      return true;
    case O.SCAS:
      lowerString(ip, H.H_SCAS);
      return true;
    case O.INS:
      lowerString(ip, H.H_INS);
      return true;
    case O.OUTS:
      lowerString(ip, H.H_OUTS);
      return true;
    default:
      return false;
  }
}
