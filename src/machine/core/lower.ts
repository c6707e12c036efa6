import { UPDATE_NEG, UPDATE_NOT } from "./atomic";
import { cpu } from "./cpu";
import * as H from "./handlers";
import {
  lowerAlu,
  lowerBit,
  lowerDoubleShift,
  lowerExchange,
  lowerExtend,
  lowerImul,
  lowerIncDec,
  lowerLea,
  lowerMov,
  lowerOne,
  lowerRegisterRm,
  lowerShift,
  lowerString,
  lowerTest,
} from "./lowerArithmetic";
import { lowerBranch, lowerPop, lowerPush, lowerSystem } from "./lowerControl";
import {
  isMemory,
  isRegister,
  log2,
  numberOf,
  registerOf,
  setAddress,
  setAddressing,
  setHandler,
  setImmediate,
  setSub,
  sizeOf,
} from "./lowerOperands";
import * as O from "./ops";
import * as R from "./record";
import { MODE_64 } from "./state";

/*
 * From the instruction as the manual describes it (decode.ts) to the record that the run loop executes: which handler,
 * and where its operands are. Only the lowering knows both forms.
 */

/** Handlers that do not depend on operands. */
function simple(operation: i32): u32 {
  switch (operation) {
    case O.NOP:
    case O.PAUSE:
    case O.PREFETCH:
      return H.H_NOP;
    case O.FENCE:
      return H.H_FENCE;
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
    case O.CLI:
      return H.H_CLI;
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
