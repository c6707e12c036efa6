import { cpu } from "./cpu";
import * as H from "./handlers";
import {
  immediate,
  isImmediate,
  isMemory,
  isRegister,
  log2,
  numberOf,
  registerOf,
  setAddressing,
  setHandler,
  setImmediate,
  setSub,
  sizeOf,
} from "./lowerOperands";
import * as O from "./ops";
import * as R from "./record";

/*
 * Records of the stack, of near transfers and of system instructions.
 */

/** PUSH, POP: the usual sizes have their own handlers if the stack is as wide. */
export function lowerPush(ip: usize, usual: bool): void {
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

export function lowerPop(ip: usize, usual: bool): void {
  const size = load<u32>(cpu, R.D_OPERAND_SIZE);
  if (isRegister(0)) {
    store<u32>(ip, registerOf(0), R.R_DST);
    if (usual) setHandler(ip, size == 8 ? H.H_POP_R64 : H.H_POP_R32);
    else setHandler(ip, H.H_POP_R + log2(size) - 1);
  } else setHandler(ip, H.H_POP_M + log2(size) - 1);
}

/** A relative branch: where it goes, and what follows it, in bytes from the block's first instruction. */
export function setTarget(ip: usize): void {
  const next = <u32>load<u16>(ip, R.R_OFFSET) + load<u32>(cpu, R.D_LENGTH);
  store<u32>(ip, next, R.R_DST);
  store<i64>(ip, <i64>next + immediate(), R.R_IMM64);
}

/** Near transfers of control. `usual`: 64-bit mode and size, or 32-bit operand size and a 32-bit stack outside of it. */
export function lowerBranch(ip: usize, operation: i32, usual: bool): void {
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
export function lowerSystem(ip: usize, operation: i32): void {
  setSub(ip, operation);
  setHandler(ip, H.H_SYSTEM);
  store<u32>(ip, isImmediate(0) || isImmediate(1) ? <u32>immediate() : 0, R.R_IMM);
  switch (operation) {
    case O.JMPF:
    case O.CALLF:
      if (isMemory(0)) {
        // R_IMM: how wide CALL pushes. REX.W counts for that, though not for the pointer in memory.
        const wide = (load<u32>(cpu, R.D_REX) & 8) != 0;
        store<u32>(ip, wide ? 8 : load<u32>(cpu, R.D_OPERAND_SIZE), R.R_IMM);
        return;
      }
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
