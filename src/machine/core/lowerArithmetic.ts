import { UPDATE_DEC, UPDATE_INC } from "./atomic";
import { cpu } from "./cpu";
import * as H from "./handlers";
import {
  gpr,
  immediate,
  isImmediate,
  isLocked,
  isMemory,
  isRegister,
  log2,
  numberOf,
  registerOf,
  setAddressing,
  setHandler,
  setImmediate,
  setRmSecond,
  setSub,
  sizeOf,
} from "./lowerOperands";
import * as O from "./ops";
import * as R from "./record";
import { REPEAT_EQUAL, REPEAT_NONE, REPEAT_NOT_EQUAL } from "./string";

/*
 * Records of arithmetic, moves and strings: for each the handler that knows its operands' sizes and kinds.
 */

/** ADD..CMP. */
export function lowerAlu(ip: usize, number: u32): void {
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

export function lowerTest(ip: usize): void {
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
export function lowerOne(ip: usize, family: u32, update: u32): void {
  if (isRegister(0)) store<u32>(ip, registerOf(0), R.R_DST);
  if (isLocked()) {
    setSub(ip, update);
    setHandler(ip, H.H_LOCKED_I + log2(sizeOf(0)));
  } else setHandler(ip, family + log2(sizeOf(0)));
}

export function lowerIncDec(ip: usize, operation: i32): void {
  const dec = operation == O.DEC;
  lowerOne(ip, dec ? H.H_DEC_RM : H.H_INC_RM, dec ? UPDATE_DEC : UPDATE_INC);
  if (!isRegister(0)) return;
  if (sizeOf(0) == 4) setHandler(ip, dec ? H.H_DEC_R32 : H.H_INC_R32);
  else if (sizeOf(0) == 8) setHandler(ip, dec ? H.H_DEC_R64 : H.H_INC_R64);
}

export function lowerShift(ip: usize, number: u32): void {
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

export function lowerDoubleShift(ip: usize, operation: i32): void {
  setSub(ip, operation - O.SHLD);
  if (isRegister(0)) {
    store<u32>(ip, registerOf(0), R.R_DST);
    store<u32>(ip, registerOf(1), R.R_BASE);
  } else store<u32>(ip, registerOf(1), R.R_DST);
  if (isImmediate(2)) setImmediate(ip);
  setHandler(ip, (isImmediate(2) ? H.H_DSHIFT_I : H.H_DSHIFT_CL) + log2(sizeOf(0)) - 1);
}

export function lowerMov(ip: usize): void {
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
export function lowerExtend(ip: usize, signed: bool): void {
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

export function lowerLea(ip: usize): void {
  store<u32>(ip, registerOf(0), R.R_DST);
  const size = sizeOf(0);
  const addressSize = load<u32>(cpu, R.D_ADDRESS_SIZE);
  store<u8>(ip, size, R.R_SIZE);
  if (size == 8 && addressSize == 8) setHandler(ip, H.H_LEA64);
  else if ((size == 4 && addressSize >= 4) || (size == 8 && addressSize == 4)) setHandler(ip, H.H_LEA32);
  else setHandler(ip, H.H_LEA_ANY);
}

/** XCHG, XADD, CMPXCHG: r/m, register. */
export function lowerExchange(ip: usize, registers: u32, memory: u32): void {
  setRmSecond(ip);
  setHandler(ip, (isMemory(0) ? memory : registers) + log2(sizeOf(0)));
}

export function lowerBit(ip: usize, number: u32): void {
  const constant = setRmSecond(ip) != 0;
  setSub(ip, number);
  const size = log2(sizeOf(0)) - 1;
  if (!constant) setHandler(ip, (isMemory(0) ? H.H_BIT_MR : H.H_BIT_RR) + size);
  else setHandler(ip, (isLocked() ? H.H_LOCKED_BIT_I : H.H_BIT_RM_I) + size);
}

export function lowerImul(ip: usize, operation: i32): void {
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
export function lowerRegisterRm(ip: usize, registers: u32, memory: u32): void {
  store<u32>(ip, registerOf(0), R.R_DST);
  if (!isMemory(1)) store<u32>(ip, registerOf(1), R.R_SRC);
  setHandler(ip, (isMemory(1) ? memory : registers) + log2(sizeOf(0)) - 1);
}

export function lowerString(ip: usize, family: u32): void {
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
