import { cpu } from "./cpu";
import * as O from "./ops";
import * as M from "./optable";
import * as R from "./record";
import { MODE_16, MODE_64, NONE, SEG_CS, SEG_DS, SEG_ES, SEG_FS, SEG_GS, SEG_SS } from "./state";

/*
 * From bytes to the instruction as the manual describes it (SDM vol. 2, chapter 2): prefixes, opcode, ModRM, SIB,
 * displacement, immediate; then the operands by the letters of the opcode maps. The result lies in the scratch area of
 * record.ts. Nothing here knows what an instruction does, or where its bytes came from.
 */

/** The longest instruction, bytes. */
const LONGEST: usize = 15;

/** What went wrong in the instruction under way; 0 while nothing has. Globals are per processor, as instances are. */
let trouble: i32 = 0;
let cursor: usize = 0;
let start: usize = 0;
let limit: usize = 0;
let mode: u32 = 0;
let prefixes: u32 = 0;
let rex: u32 = 0;
let modrm: u32 = 0;
let operandSize: u32 = 0;
let addressSize: u32 = 0;

/** Notes the first thing that is wrong; the rest of the decoding is harmless and its result is not used. */
function fail(code: i32): void {
  if (trouble == 0) trouble = code;
}

/** Whether `size` more bytes can be read. */
function more(size: usize): bool {
  if (cursor + size - start > LONGEST) fail(R.DECODE_TOO_LONG);
  else if (cursor + size > limit) fail(R.DECODE_MORE);
  else return true;
  return false;
}

/** The next bytes of the instruction, sign-extended; 0 when they cannot be had. */
// @ts-ignore: decorator
@inline
function next<T>(): i64 {
  if (!more(sizeof<T>())) return 0;
  const value = <i64>load<T>(cursor);
  cursor += sizeof<T>();
  return value;
}

/** Prefixes up to the opcode, which it returns. A REX counts only right before the opcode. */
function readPrefixes(): u32 {
  let segment: u32 = R.NO_REGISTER;
  prefixes = 0;
  rex = 0;
  let byte: u32;
  for (;;) {
    byte = <u32>next<u8>();
    if (trouble != 0) return 0;
    if (mode == MODE_64 && (byte & 0xf0) == 0x40) {
      rex = byte;
      continue;
    }
    if (byte == 0x66) prefixes |= R.PREFIX_OPERAND;
    else if (byte == 0x67) prefixes |= R.PREFIX_ADDRESS;
    else if (byte == 0xf0) prefixes |= R.PREFIX_LOCK;
    else if (byte == 0xf2) prefixes = (prefixes & ~R.PREFIX_REP) | R.PREFIX_REPNE;
    else if (byte == 0xf3) prefixes = (prefixes & ~R.PREFIX_REPNE) | R.PREFIX_REP;
    else if ((byte & 0xe7) == 0x26) {
      // In 64-bit mode ES, CS, SS and DS overrides are ignored; they do not even cancel FS and GS.
      if (mode != MODE_64) segment = (byte >> 3) & 3;
    } else if ((byte & 0xfe) == 0x64) segment = SEG_FS + (byte & 1);
    else break;
    rex = 0;
  }
  if (segment != R.NO_REGISTER) prefixes |= R.PREFIX_SEGMENT;
  store<u8>(cpu, segment, R.D_SEGMENT);
  return byte;
}

/** A register number with the REX bit that extends it. */
// @ts-ignore: decorator
@inline
function extended(number: u32, rexBit: u32): u32 {
  return number | ((rex & rexBit) != 0 ? 8 : 0);
}

function setOperand(which: usize, kind: u32, number: u32, size: u32): void {
  const at = cpu + which * R.OPERAND_STRIDE;
  store<u8>(at, kind, R.D_OPERANDS);
  store<u8>(at, number, R.D_OPERANDS + 1);
  store<u16>(at, size, R.D_OPERANDS + 2);
}

function setRegister(which: usize, number: u32, size: u32): void {
  // Without REX, byte registers 4..7 are the second bytes of the first four.
  if (size == 1 && rex == 0 && number >= 4) number += 12;
  setOperand(which, R.OPERAND_REGISTER, number, size);
}

function setBase(base: u32, index: u32, scale: u32): void {
  store<u8>(cpu, base, R.D_BASE);
  store<u8>(cpu, index, R.D_INDEX);
  store<u8>(cpu, scale, R.D_SCALE);
}

/** ModRM's memory forms of 16-bit addressing (SDM vol. 2, table 2-1). Returns the default segment. */
function readMemory16(): u32 {
  const mod = modrm >>> 6;
  const rm = modrm & 7;
  if (mod == 0 && rm == 6) {
    setBase(R.NO_REGISTER, R.NO_REGISTER, 0);
    store<i64>(cpu, next<i16>(), R.D_DISPLACEMENT);
    return SEG_DS;
  }
  // BX+SI BX+DI BP+SI BP+DI SI DI BP BX
  const base: u32 = rm < 4 ? ((rm & 2) != 0 ? 5 : 3) : rm == 4 ? 6 : rm == 5 ? 7 : rm == 6 ? 5 : 3;
  setBase(base, rm < 4 ? 6 + (rm & 1) : R.NO_REGISTER, 0);
  if (mod == 1) store<i64>(cpu, next<i8>(), R.D_DISPLACEMENT);
  else if (mod == 2) store<i64>(cpu, next<i16>(), R.D_DISPLACEMENT);
  return base == 5 ? SEG_SS : SEG_DS;
}

/** ModRM and SIB of 32-bit and 64-bit addressing (SDM vol. 2, tables 2-2 and 2-3). Returns the default segment. */
function readMemory(): u32 {
  const mod = modrm >>> 6;
  let base = modrm & 7;
  let index: u32 = R.NO_REGISTER;
  let scale: u32 = 0;
  const hasSib = base == 4;
  if (hasSib) {
    const sib = <u32>next<u8>();
    scale = sib >>> 6;
    base = sib & 7;
    const number = extended((sib >>> 3) & 7, 2);
    if (number != 4) index = number;
    else scale = 0;
  }
  if (mod == 0 && base == 5) {
    setBase(mode == MODE_64 && !hasSib ? R.RIP_BASE : R.NO_REGISTER, index, scale);
    store<i64>(cpu, next<i32>(), R.D_DISPLACEMENT);
    return SEG_DS;
  }
  base = extended(base, 1);
  setBase(base, index, scale);
  if (mod == 1) store<i64>(cpu, next<i8>(), R.D_DISPLACEMENT);
  else if (mod == 2) store<i64>(cpu, next<i32>(), R.D_DISPLACEMENT);
  return base == 4 || base == 5 ? SEG_SS : SEG_DS;
}

/** The segment of a memory operand: the override if there is one. */
function setSegment(normal: u32): void {
  if ((prefixes & R.PREFIX_SEGMENT) == 0) store<u8>(cpu, normal, R.D_SEGMENT);
}

/** The operand of ModRM.rm. */
function setRm(which: usize, size: u32, registerSize: u32): void {
  if (modrm >= 0xc0) setRegister(which, extended(modrm & 7, 1), registerSize);
  else setOperand(which, R.OPERAND_MEMORY, 0, size);
}

function setMemory(which: usize, size: u32): void {
  if (modrm >= 0xc0) fail(R.DECODE_UNDEFINED);
  setOperand(which, R.OPERAND_MEMORY, 0, size);
}

function setImmediate(which: usize, value: i64, size: u32): void {
  store<i64>(cpu, value, R.D_IMMEDIATE);
  setOperand(which, R.OPERAND_IMMEDIATE, 0, size);
}

/** The absolute address of MOV's short forms. */
function setOffset(which: usize, size: u32): void {
  setBase(R.NO_REGISTER, R.NO_REGISTER, 0);
  setSegment(SEG_DS);
  const offset = addressSize == 8 ? next<i64>() : addressSize == 4 ? next<i32>() : next<i16>();
  store<i64>(cpu, offset, R.D_DISPLACEMENT);
  setOperand(which, R.OPERAND_MEMORY, 0, size);
}

function setFar(which: usize): void {
  store<i64>(cpu, operandSize == 2 ? next<u16>() : next<u32>(), R.D_IMMEDIATE);
  store<u32>(cpu, <u32>next<u16>(), R.D_IMMEDIATE2);
  setOperand(which, R.OPERAND_FAR, 0, operandSize);
}

/** Control registers 0, 2, 3, 4 and 8 exist; AMD's LOCK prefix reaches CR8 from 32-bit code (APM vol. 3, MOV CRn). */
function setControl(which: usize): void {
  let number = extended((modrm >>> 3) & 7, 4);
  if ((prefixes & R.PREFIX_LOCK) != 0) {
    if (number != 0) fail(R.DECODE_UNDEFINED);
    number = 8;
    prefixes &= ~R.PREFIX_LOCK;
  }
  if (number == 1 || (number > 4 && number != 8)) fail(R.DECODE_UNDEFINED);
  setOperand(which, R.OPERAND_CONTROL, number, mode == MODE_64 ? 8 : 4);
}

/** The smaller of the operand size and 4: immediates and ports are never 64 bits. */
function narrow(): u32 {
  return operandSize == 8 ? 4 : operandSize;
}

/** One operand by its letter. */
function setKind(which: usize, kind: u32, opcode: u32): void {
  const v = operandSize;
  const y: u32 = operandSize == 8 ? 8 : 4;
  switch (kind) {
    case 0:
      return;
    case <u32>M.K_Eb:
      return setRm(which, 1, 1);
    case <u32>M.K_Ew:
      return setRm(which, 2, 2);
    case <u32>M.K_Ed:
      // MOVSXD with a 16-bit operand size reads 16 bits.
      return setRm(which, v == 2 ? 2 : 4, v == 2 ? 2 : 4);
    case <u32>M.K_Ev:
      return setRm(which, v, v);
    case <u32>M.K_Ey:
      return setRm(which, y, y);
    case <u32>M.K_Ewv:
      return setRm(which, 2, v);
    case <u32>M.K_Gb:
      return setRegister(which, extended((modrm >>> 3) & 7, 4), 1);
    case <u32>M.K_Gw:
      return setRegister(which, extended((modrm >>> 3) & 7, 4), 2);
    case <u32>M.K_Gv:
      return setRegister(which, extended((modrm >>> 3) & 7, 4), v);
    case <u32>M.K_Gy:
      return setRegister(which, extended((modrm >>> 3) & 7, 4), y);
    case <u32>M.K_M:
      return setMemory(which, 0);
    case <u32>M.K_Mb:
      return setMemory(which, 1);
    case <u32>M.K_Mp:
      return setMemory(which, v + 2);
    case <u32>M.K_Ma:
      return setMemory(which, 2 * v);
    case <u32>M.K_Mq:
      return setMemory(which, (rex & 8) != 0 ? 16 : 8);
    case <u32>M.K_Ms:
      return setMemory(which, mode == MODE_64 ? 10 : 6);
    case <u32>M.K_My:
      return setMemory(which, y);
    case <u32>M.K_Ib:
      return setImmediate(which, next<u8>(), 1);
    case <u32>M.K_Ibs:
      return setImmediate(which, next<i8>(), v);
    case <u32>M.K_Iw:
      return setImmediate(which, next<u16>(), 2);
    case <u32>M.K_Iz:
      return setImmediate(which, v == 2 ? next<i16>() : next<i32>(), v);
    case <u32>M.K_Iv:
      return setImmediate(which, v == 2 ? next<i16>() : v == 4 ? next<i32>() : next<i64>(), v);
    case <u32>M.K_I2b:
      store<u32>(cpu, <u32>next<u8>(), R.D_IMMEDIATE2);
      return setOperand(which, R.OPERAND_IMMEDIATE2, 0, 1);
    case <u32>M.K_Jb:
      store<i64>(cpu, next<i8>(), R.D_IMMEDIATE);
      return setOperand(which, R.OPERAND_RELATIVE, 0, v);
    case <u32>M.K_Jz:
      store<i64>(cpu, v == 2 ? next<i16>() : next<i32>(), R.D_IMMEDIATE);
      return setOperand(which, R.OPERAND_RELATIVE, 0, v);
    case <u32>M.K_Ob:
      return setOffset(which, 1);
    case <u32>M.K_Ov:
      return setOffset(which, v);
    case <u32>M.K_Ap:
      return setFar(which);
    case <u32>M.K_Zb:
      return setRegister(which, extended(opcode & 7, 1), 1);
    case <u32>M.K_Zv:
      return setRegister(which, extended(opcode & 7, 1), v);
    case <u32>M.K_AL:
      return setOperand(which, R.OPERAND_REGISTER, 0, 1);
    case <u32>M.K_rAX:
      return setOperand(which, R.OPERAND_REGISTER, 0, v);
    case <u32>M.K_eAX:
      return setOperand(which, R.OPERAND_REGISTER, 0, narrow());
    case <u32>M.K_CL:
      return setOperand(which, R.OPERAND_REGISTER, 1, 1);
    case <u32>M.K_DX:
      return setOperand(which, R.OPERAND_REGISTER, 2, 2);
    case <u32>M.K_ONE:
      store<i64>(cpu, 1, R.D_IMMEDIATE);
      return setOperand(which, R.OPERAND_ONE, 0, 1);
    case <u32>M.K_S:
      if (((modrm >>> 3) & 7) > <u32>SEG_GS) fail(R.DECODE_UNDEFINED);
      return setOperand(which, R.OPERAND_SEGMENT, (modrm >>> 3) & 7, 2);
    case <u32>M.K_C:
      return setControl(which);
    case <u32>M.K_D:
      if (extended((modrm >>> 3) & 7, 4) > 7) fail(R.DECODE_UNDEFINED);
      return setOperand(which, R.OPERAND_DEBUG, (modrm >>> 3) & 7, mode == MODE_64 ? 8 : 4);
    case <u32>M.K_R:
      return setOperand(which, R.OPERAND_REGISTER, extended(modrm & 7, 1), mode == MODE_64 ? 8 : 4);
    case <u32>M.K_ES:
      return setOperand(which, R.OPERAND_SEGMENT, SEG_ES, 2);
    case <u32>M.K_CS:
      return setOperand(which, R.OPERAND_SEGMENT, SEG_CS, 2);
    case <u32>M.K_SS:
      return setOperand(which, R.OPERAND_SEGMENT, SEG_SS, 2);
    case <u32>M.K_DS:
      return setOperand(which, R.OPERAND_SEGMENT, SEG_DS, 2);
    case <u32>M.K_FS:
      return setOperand(which, R.OPERAND_SEGMENT, SEG_FS, 2);
    case <u32>M.K_GS:
      return setOperand(which, R.OPERAND_SEGMENT, SEG_GS, 2);
    case <u32>M.K_Xb:
      setSegment(SEG_DS);
      return setOperand(which, R.OPERAND_SOURCE_STRING, 6, 1);
    case <u32>M.K_Xv:
      setSegment(SEG_DS);
      return setOperand(which, R.OPERAND_SOURCE_STRING, 6, v);
    case <u32>M.K_Xz:
      setSegment(SEG_DS);
      return setOperand(which, R.OPERAND_SOURCE_STRING, 6, narrow());
    case <u32>M.K_Yb:
      return setOperand(which, R.OPERAND_TARGET_STRING, 7, 1);
    case <u32>M.K_Yv:
      return setOperand(which, R.OPERAND_TARGET_STRING, 7, v);
    case <u32>M.K_Yz:
      return setOperand(which, R.OPERAND_TARGET_STRING, 7, narrow());
    default:
      // XLAT
      setBase(3, R.NO_REGISTER, 0);
      setSegment(SEG_DS);
      return setOperand(which, R.OPERAND_MEMORY, 0, 1);
  }
}

/** Whether an operand's letter asks for ModRM. */
function usesModrm(kind: u64): bool {
  return (kind >= M.K_Eb && kind <= M.K_My) || (kind >= M.K_S && kind <= M.K_R);
}

/** Group 7's register forms are instructions of their own: ModRM is their third opcode byte. */
function group7(): u64 {
  if (modrm == 0xf8) return O.SWAPGS | M.MODRM | M.ONLY64;
  if (modrm == 0xf9) return O.RDTSCP | M.MODRM;
  const member = (modrm >>> 3) & 7;
  return member == 4 || member == 6 ? M.GROUP_MAP[8 * 8 + member] : O.UNDEFINED;
}

/** Group 15: fences in its register forms, memory forms of units that this processor has not got. */
function group15(): u64 {
  if ((prefixes & (R.PREFIX_OPERAND | R.PREFIX_REP | R.PREFIX_REPNE)) != 0) return O.UNDEFINED;
  const member = (modrm >>> 3) & 7;
  if (modrm < 0xc0) return M.GROUP_MAP[12 * 8 + member];
  return member >= 5 ? O.FENCE | M.MODRM : O.UNDEFINED;
}

/** The member of a group that ModRM.reg selects, with what it leaves open taken from the map's entry. */
function member(entry: u64): u64 {
  const operation = entry & M.OPERATION_MASK;
  let chosen: u64;
  if (operation == M.G7 && modrm >= 0xc0) chosen = group7();
  else if (operation == M.G15) chosen = group15();
  else chosen = M.GROUP_MAP[<i32>((operation - O.GROUPS) * 8) + ((modrm >>> 3) & 7)];
  const operands: u64 = 0xffffff << M.FIRST;
  const own = (chosen & operands) != 0 || (chosen & M.MODRM) != 0;
  return chosen | (own ? entry & ~(operands | M.OPERATION_MASK | M.LOCK) : entry & ~(M.OPERATION_MASK | M.LOCK));
}

/** Exceptions of the one-byte map that depend on mode or prefixes. */
function oneByte(opcode: u32): u64 {
  if (mode == MODE_64) {
    if (opcode == 0x63) return M.MOVSXD;
  }
  if (opcode == 0x90 && (rex & 1) == 0) return (prefixes & R.PREFIX_REP) != 0 ? O.PAUSE : O.NOP;
  return M.ONE_BYTE_MAP[opcode];
}

/** LEA of no memory, far pointers, and so on have been refused by then; this is LOCK's rule (SDM vol. 2, LOCK). */
function checkLock(entry: u64): void {
  if ((prefixes & R.PREFIX_LOCK) == 0) return;
  if ((entry & M.LOCK) == 0 || load<u8>(cpu, R.D_OPERANDS) != R.OPERAND_MEMORY) fail(R.DECODE_UNDEFINED);
}

/** Sizes by mode, prefixes and the entry's attributes (SDM vol. 1, 3.6). */
function setSizes(entry: u64): void {
  const other = (prefixes & R.PREFIX_OPERAND) != 0;
  if (mode == MODE_64) {
    const wide: u32 = (entry & M.NOT64) != 0 ? 4 : 8;
    operandSize = (rex & 8) != 0 ? wide : other ? 2 : (entry & M.DEF64) != 0 ? 8 : 4;
    addressSize = (prefixes & R.PREFIX_ADDRESS) != 0 ? 4 : 8;
  } else {
    const small = mode == MODE_16;
    operandSize = small != other ? 2 : 4;
    addressSize = small != ((prefixes & R.PREFIX_ADDRESS) != 0) ? 2 : 4;
  }
}

function decodeOpcode(first: u32): void {
  let opcode = first;
  let entry: u64;
  if (opcode != 0x0f) entry = oneByte(opcode);
  else {
    opcode = <u32>next<u8>();
    if (trouble != 0) return;
    if (opcode == 0x38 || opcode == 0x3a) {
      // SSSE3 and later: only the length matters. All have ModRM; those of 0F3A a byte after it.
      const map: u32 = opcode == 0x38 ? 0x200 : 0x300;
      entry = O.VECTOR | M.MODRM | (map == 0x300 ? M.SKIP1 : 0);
      opcode = map | (<u32>next<u8>());
    } else {
      entry = M.TWO_BYTE_MAP[opcode];
      opcode |= 0x100;
    }
  }
  if ((entry & M.OPERATION_MASK) == O.UNDEFINED) return fail(R.DECODE_UNDEFINED);
  const isVex = mode == MODE_64 && (opcode == 0xc4 || opcode == 0xc5);
  if ((entry & M.NO64) != 0 && mode == MODE_64 && !isVex) return fail(R.DECODE_UNDEFINED);

  modrm = NONE;
  const grouped = (entry & M.OPERATION_MASK) >= <u64>O.GROUPS;
  if (
    grouped ||
    (entry & M.MODRM) != 0 ||
    usesModrm((entry >> M.FIRST) & M.KIND_MASK) ||
    usesModrm((entry >> M.SECOND) & M.KIND_MASK)
  ) {
    modrm = <u32>next<u8>();
    if (trouble != 0) return;
    store<u32>(cpu, modrm, R.D_MODRM);
    // VEX, EVEX: LES, LDS and BOUND of a register, or any of them in 64-bit mode. No AVX here.
    if (isVex) return fail(R.DECODE_UNDEFINED);
    if (grouped) {
      entry = member(entry);
      if ((entry & M.OPERATION_MASK) == O.UNDEFINED) return fail(R.DECODE_UNDEFINED);
    }
  }
  if ((entry & M.NO64) != 0 && mode == MODE_64) return fail(R.DECODE_UNDEFINED);
  if ((entry & M.ONLY64) != 0 && mode != MODE_64) return fail(R.DECODE_UNDEFINED);
  if ((entry & M.PLAIN) != 0 && (prefixes & (R.PREFIX_OPERAND | R.PREFIX_REP | R.PREFIX_REPNE)) != 0)
    return fail(R.DECODE_UNDEFINED);
  setSizes(entry);

  // The memory operand's bytes come before any immediate. MOV to and from CRn and DRn has none whatever mod says.
  const operation = <u32>(entry & M.OPERATION_MASK);
  if (modrm < 0xc0 && operation != O.MOVCR && operation != O.MOVDR)
    setSegment(addressSize == 2 ? readMemory16() : readMemory());
  setKind(0, <u32>((entry >> M.FIRST) & M.KIND_MASK), opcode);
  setKind(1, <u32>((entry >> M.SECOND) & M.KIND_MASK), opcode);
  setKind(2, <u32>((entry >> M.THIRD) & M.KIND_MASK), opcode);
  if ((entry & M.SKIP1) != 0) next<u8>();
  if (operation == O.LOADSEG && load<u8>(cpu, R.D_OPERANDS + 1) == SEG_CS) fail(R.DECODE_UNDEFINED);
  checkLock(entry);
  store<u32>(cpu, operation, R.D_OPERATION);
  store<u32>(cpu, opcode, R.D_OPCODE);
}

/**
 * P:050 What RIP points at are bytes, from one to fifteen of them to an instruction, in an encoding that has been
 * extended without ever being repaired since 1978. They are decoded once and remembered as long as nobody writes to
 * them.
 *
 * Decodes the instruction at the WebAssembly address `address`, of which `available` bytes may be read. Returns its
 * length, or DECODE_UNDEFINED, DECODE_MORE, DECODE_TOO_LONG.
 */
export function decode(codeMode: u32, address: usize, available: usize): i32 {
  mode = codeMode;
  trouble = 0;
  cursor = address;
  start = address;
  limit = address + available;
  store<u32>(cpu, NONE, R.D_MODRM);
  store<u64>(cpu, 0, R.D_OPERANDS);
  store<u32>(cpu, 0, R.D_OPERANDS + 8);
  store<u64>(cpu, 0, R.D_DISPLACEMENT);
  store<u64>(cpu, 0, R.D_IMMEDIATE);
  store<u32>(cpu, 0, R.D_IMMEDIATE2);
  setBase(R.NO_REGISTER, R.NO_REGISTER, 0);

  const opcode = readPrefixes();
  if (trouble == 0) decodeOpcode(opcode);
  if (trouble != 0) return trouble;
  store<u32>(cpu, <u32>(cursor - start), R.D_LENGTH);
  store<u32>(cpu, mode, R.D_MODE);
  store<u32>(cpu, operandSize, R.D_OPERAND_SIZE);
  store<u32>(cpu, addressSize, R.D_ADDRESS_SIZE);
  store<u32>(cpu, prefixes, R.D_PREFIXES);
  store<u32>(cpu, rex, R.D_REX);
  return <i32>(cursor - start);
}
