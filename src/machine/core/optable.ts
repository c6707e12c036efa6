/*
 * The opcode maps, set as the manuals set them (SDM vol. 2, appendix A; AMD APM vol. 3, appendix A): sixteen entries a
 * row group, an operation with its operands in the manual's letters. Decode only: what an operation does is told
 * elsewhere, by its name.
 *
 * An entry is `operation | first operand | second operand | third operand | attributes`. The letters:
 *   E  ModRM.rm, register or memory     G  ModRM.reg            M  ModRM.rm, memory only
 *   I  immediate                        J  relative target      O  absolute address in the instruction
 *   A  far pointer in the instruction   Z  register in the opcode's low three bits
 *   S, C, D  segment, control, debug register in ModRM.reg      R  ModRM.rm as a register, whatever mod says
 *   X, Y  string operands at DS:rSI and ES:rDI
 * and the sizes: b w d q bytes 1 2 4 8; v operand size; z operand size, at most 4; y 4 or 8; p far pointer.
 * The second operand's names begin with `_`, the third's with `__`.
 */
import * as O from "./ops";

// Operand kinds.
export const K_Eb: u64 = 1;
export const K_Ew: u64 = 2;
export const K_Ed: u64 = 3;
export const K_Ev: u64 = 4;
export const K_Ey: u64 = 5;
/** A 16-bit memory operand or a register of the operand size (SLDT, SMSW, MOV from a segment register). */
export const K_Ewv: u64 = 6;
export const K_Gb: u64 = 7;
export const K_Gw: u64 = 8;
export const K_Gv: u64 = 9;
export const K_Gy: u64 = 10;
export const K_M: u64 = 11;
export const K_Mb: u64 = 12;
export const K_Mp: u64 = 13;
/** Two operands side by side (BOUND). */
export const K_Ma: u64 = 14;
/** Two halves of 4 or 8 bytes (CMPXCHG8B, CMPXCHG16B). */
export const K_Mq: u64 = 15;
/** A descriptor-table register's image: limit, then base. */
export const K_Ms: u64 = 16;
export const K_My: u64 = 17;
export const K_Ib: u64 = 18;
/** A byte, sign-extended to the operand size. */
export const K_Ibs: u64 = 19;
export const K_Iw: u64 = 20;
export const K_Iz: u64 = 21;
export const K_Iv: u64 = 22;
/** The second byte of ENTER. */
export const K_I2b: u64 = 23;
export const K_Jb: u64 = 24;
export const K_Jz: u64 = 25;
export const K_Ob: u64 = 26;
export const K_Ov: u64 = 27;
export const K_Ap: u64 = 28;
export const K_Zb: u64 = 29;
export const K_Zv: u64 = 30;
export const K_AL: u64 = 31;
export const K_rAX: u64 = 32;
/** The accumulator of IN and OUT, which is never 64 bits. */
export const K_eAX: u64 = 33;
export const K_CL: u64 = 34;
export const K_DX: u64 = 35;
export const K_ONE: u64 = 36;
export const K_S: u64 = 37;
export const K_C: u64 = 38;
export const K_D: u64 = 39;
export const K_R: u64 = 40;
export const K_ES: u64 = 41;
export const K_CS: u64 = 42;
export const K_SS: u64 = 43;
export const K_DS: u64 = 44;
export const K_FS: u64 = 45;
export const K_GS: u64 = 46;
export const K_Xb: u64 = 47;
export const K_Xv: u64 = 48;
export const K_Xz: u64 = 49;
export const K_Yb: u64 = 50;
export const K_Yv: u64 = 51;
export const K_Yz: u64 = 52;
/** XLAT's byte at DS:rBX + AL. */
export const K_BX: u64 = 53;

// Where the parts of an entry lie.
export const OPERATION_MASK: u64 = 0xfff;
export const FIRST: u64 = 12;
export const SECOND: u64 = 20;
export const THIRD: u64 = 28;
export const KIND_MASK: u64 = 0xff;

// Attributes.
/** LOCK is allowed when the first operand is memory. */
export const LOCK: u64 = 1 << 40;
/** Not in 64-bit mode; only there. */
export const NO64: u64 = 1 << 41;
export const ONLY64: u64 = 1 << 42;
/** In 64-bit mode the operand size is 64 bits unless an operand-size prefix makes it 16. */
export const DEF64: u64 = 1 << 43;
/** REX.W does not count: far pointers never have 64-bit offsets on AMD's processors (APM vol. 3, LSS, JMP far). */
export const NOT64: u64 = 1 << 44;
/** A ModRM byte follows although no operand asks for it. */
export const MODRM: u64 = 1 << 45;
/** Neither 66 nor F2 nor F3 may stand before it. */
export const PLAIN: u64 = 1 << 46;
/** An immediate byte follows that nobody looks at. */
export const SKIP1: u64 = 1 << 47;

// First operands.
const Eb: u64 = K_Eb << FIRST;
const Ew: u64 = K_Ew << FIRST;
const Ev: u64 = K_Ev << FIRST;
const Ewv: u64 = K_Ewv << FIRST;
const Gb: u64 = K_Gb << FIRST;
const Gv: u64 = K_Gv << FIRST;
const Gy: u64 = K_Gy << FIRST;
const Mb: u64 = K_Mb << FIRST;
const Mp: u64 = K_Mp << FIRST;
const Mq: u64 = K_Mq << FIRST;
const Ms: u64 = K_Ms << FIRST;
const My: u64 = K_My << FIRST;
const Ib: u64 = K_Ib << FIRST;
const Ibs: u64 = K_Ibs << FIRST;
const Iw: u64 = K_Iw << FIRST;
const Iz: u64 = K_Iz << FIRST;
const Jb: u64 = K_Jb << FIRST;
const Jz: u64 = K_Jz << FIRST;
const Ob: u64 = K_Ob << FIRST;
const Ov: u64 = K_Ov << FIRST;
const Ap: u64 = K_Ap << FIRST;
const Zb: u64 = K_Zb << FIRST;
const Zv: u64 = K_Zv << FIRST;
const AL: u64 = K_AL << FIRST;
const rAX: u64 = K_rAX << FIRST;
const eAX: u64 = K_eAX << FIRST;
const DX: u64 = K_DX << FIRST;
const Sw: u64 = K_S << FIRST;
const Cr: u64 = K_C << FIRST;
const Dr: u64 = K_D << FIRST;
const Rr: u64 = K_R << FIRST;
const sES: u64 = K_ES << FIRST;
const sCS: u64 = K_CS << FIRST;
const sSS: u64 = K_SS << FIRST;
const sDS: u64 = K_DS << FIRST;
const sFS: u64 = K_FS << FIRST;
const sGS: u64 = K_GS << FIRST;
const Xb: u64 = K_Xb << FIRST;
const Xv: u64 = K_Xv << FIRST;
const Yb: u64 = K_Yb << FIRST;
const Yv: u64 = K_Yv << FIRST;
const Yz: u64 = K_Yz << FIRST;
const BX: u64 = K_BX << FIRST;

// Second operands.
const _Eb: u64 = K_Eb << SECOND;
const _Ew: u64 = K_Ew << SECOND;
const _Ed: u64 = K_Ed << SECOND;
const _Ev: u64 = K_Ev << SECOND;
const _Gb: u64 = K_Gb << SECOND;
const _Gw: u64 = K_Gw << SECOND;
const _Gv: u64 = K_Gv << SECOND;
const _Gy: u64 = K_Gy << SECOND;
const _M: u64 = K_M << SECOND;
const _Ma: u64 = K_Ma << SECOND;
const _Mp: u64 = K_Mp << SECOND;
const _Ib: u64 = K_Ib << SECOND;
const _Ibs: u64 = K_Ibs << SECOND;
const _Iz: u64 = K_Iz << SECOND;
const _Iv: u64 = K_Iv << SECOND;
const _I2b: u64 = K_I2b << SECOND;
const _Ob: u64 = K_Ob << SECOND;
const _Ov: u64 = K_Ov << SECOND;
const _AL: u64 = K_AL << SECOND;
const _rAX: u64 = K_rAX << SECOND;
const _eAX: u64 = K_eAX << SECOND;
const _CL: u64 = K_CL << SECOND;
const _DX: u64 = K_DX << SECOND;
const _1: u64 = K_ONE << SECOND;
const _Sw: u64 = K_S << SECOND;
const _C: u64 = K_C << SECOND;
const _D: u64 = K_D << SECOND;
const _R: u64 = K_R << SECOND;
const _Xb: u64 = K_Xb << SECOND;
const _Xv: u64 = K_Xv << SECOND;
const _Xz: u64 = K_Xz << SECOND;
const _Yb: u64 = K_Yb << SECOND;
const _Yv: u64 = K_Yv << SECOND;

// Third operands; where the manual writes a segment register into the name, it stands here.
const __Ib: u64 = K_Ib << THIRD;
const __Ibs: u64 = K_Ibs << THIRD;
const __Iz: u64 = K_Iz << THIRD;
const __CL: u64 = K_CL << THIRD;
const __ES: u64 = K_ES << THIRD;
const __SS: u64 = K_SS << THIRD;
const __DS: u64 = K_DS << THIRD;
const __FS: u64 = K_FS << THIRD;
const __GS: u64 = K_GS << THIRD;

// Groups, in the manual's numbering; the row of GROUP_MAP is the number minus GROUPS.
const G1: u64 = O.GROUPS + 0;
const G1A: u64 = O.GROUPS + 1;
const G2: u64 = O.GROUPS + 2;
const G3B: u64 = O.GROUPS + 3;
const G3V: u64 = O.GROUPS + 4;
const G4: u64 = O.GROUPS + 5;
const G5: u64 = O.GROUPS + 6;
const G6: u64 = O.GROUPS + 7;
export const G7: u64 = O.GROUPS + 8;
const G8: u64 = O.GROUPS + 9;
const G9: u64 = O.GROUPS + 10;
const G11: u64 = O.GROUPS + 11;
export const G15: u64 = O.GROUPS + 12;
const G16: u64 = O.GROUPS + 13;

/** Prefixes, escapes and holes of the maps. */
const __: u64 = O.UNDEFINED;
/** A vector instruction: its length is all that matters. */
const VEC: u64 = O.VECTOR | MODRM;
const VECI: u64 = O.VECTOR | MODRM | SKIP1;
const X87: u64 = O.X87 | MODRM;

// prettier-ignore
export const ONE_BYTE_MAP: StaticArray<u64> = [
  /* 00 */ O.ADD | Eb | _Gb | LOCK, O.ADD | Ev | _Gv | LOCK, O.ADD | Gb | _Eb, O.ADD | Gv | _Ev,
  /* 04 */ O.ADD | AL | _Ib, O.ADD | rAX | _Iz, O.PUSHSEG | sES | NO64, O.POPSEG | sES | NO64,
  /* 08 */ O.OR | Eb | _Gb | LOCK, O.OR | Ev | _Gv | LOCK, O.OR | Gb | _Eb, O.OR | Gv | _Ev,
  /* 0C */ O.OR | AL | _Ib, O.OR | rAX | _Iz, O.PUSHSEG | sCS | NO64, __ /* the 0F map */,
  /* 10 */ O.ADC | Eb | _Gb | LOCK, O.ADC | Ev | _Gv | LOCK, O.ADC | Gb | _Eb, O.ADC | Gv | _Ev,
  /* 14 */ O.ADC | AL | _Ib, O.ADC | rAX | _Iz, O.PUSHSEG | sSS | NO64, O.POPSEG | sSS | NO64,
  /* 18 */ O.SBB | Eb | _Gb | LOCK, O.SBB | Ev | _Gv | LOCK, O.SBB | Gb | _Eb, O.SBB | Gv | _Ev,
  /* 1C */ O.SBB | AL | _Ib, O.SBB | rAX | _Iz, O.PUSHSEG | sDS | NO64, O.POPSEG | sDS | NO64,
  /* 20 */ O.AND | Eb | _Gb | LOCK, O.AND | Ev | _Gv | LOCK, O.AND | Gb | _Eb, O.AND | Gv | _Ev,
  /* 24 */ O.AND | AL | _Ib, O.AND | rAX | _Iz, __ /* ES: */, O.DAA | NO64,
  /* 28 */ O.SUB | Eb | _Gb | LOCK, O.SUB | Ev | _Gv | LOCK, O.SUB | Gb | _Eb, O.SUB | Gv | _Ev,
  /* 2C */ O.SUB | AL | _Ib, O.SUB | rAX | _Iz, __ /* CS: */, O.DAS | NO64,
  /* 30 */ O.XOR | Eb | _Gb | LOCK, O.XOR | Ev | _Gv | LOCK, O.XOR | Gb | _Eb, O.XOR | Gv | _Ev,
  /* 34 */ O.XOR | AL | _Ib, O.XOR | rAX | _Iz, __ /* SS: */, O.AAA | NO64,
  /* 38 */ O.CMP | Eb | _Gb, O.CMP | Ev | _Gv, O.CMP | Gb | _Eb, O.CMP | Gv | _Ev,
  /* 3C */ O.CMP | AL | _Ib, O.CMP | rAX | _Iz, __ /* DS: */, O.AAS | NO64,
  /* 40: REX in 64-bit mode */
  O.INC | Zv | NO64, O.INC | Zv | NO64, O.INC | Zv | NO64, O.INC | Zv | NO64,
  O.INC | Zv | NO64, O.INC | Zv | NO64, O.INC | Zv | NO64, O.INC | Zv | NO64,
  O.DEC | Zv | NO64, O.DEC | Zv | NO64, O.DEC | Zv | NO64, O.DEC | Zv | NO64,
  O.DEC | Zv | NO64, O.DEC | Zv | NO64, O.DEC | Zv | NO64, O.DEC | Zv | NO64,
  /* 50 */
  O.PUSH | Zv | DEF64, O.PUSH | Zv | DEF64, O.PUSH | Zv | DEF64, O.PUSH | Zv | DEF64,
  O.PUSH | Zv | DEF64, O.PUSH | Zv | DEF64, O.PUSH | Zv | DEF64, O.PUSH | Zv | DEF64,
  O.POP | Zv | DEF64, O.POP | Zv | DEF64, O.POP | Zv | DEF64, O.POP | Zv | DEF64,
  O.POP | Zv | DEF64, O.POP | Zv | DEF64, O.POP | Zv | DEF64, O.POP | Zv | DEF64,
  /* 60 */ O.PUSHA | NO64, O.POPA | NO64, O.BOUND | Gv | _Ma | NO64, O.ARPL | Ew | _Gw /* 64-bit: MOVSXD, see below */,
  /* 64 */ __ /* FS: */, __ /* GS: */, __ /* operand size */, __ /* address size */,
  /* 68 */ O.PUSH | Iz | DEF64, O.IMUL3 | Gv | _Ev | __Iz, O.PUSH | Ibs | DEF64, O.IMUL3 | Gv | _Ev | __Ibs,
  /* 6C */ O.INS | Yb | _DX, O.INS | Yz | _DX, O.OUTS | DX | _Xb, O.OUTS | DX | _Xz,
  /* 70 */
  (O.JCC + 0) | Jb | DEF64, (O.JCC + 1) | Jb | DEF64, (O.JCC + 2) | Jb | DEF64, (O.JCC + 3) | Jb | DEF64,
  (O.JCC + 4) | Jb | DEF64, (O.JCC + 5) | Jb | DEF64, (O.JCC + 6) | Jb | DEF64, (O.JCC + 7) | Jb | DEF64,
  (O.JCC + 8) | Jb | DEF64, (O.JCC + 9) | Jb | DEF64, (O.JCC + 10) | Jb | DEF64, (O.JCC + 11) | Jb | DEF64,
  (O.JCC + 12) | Jb | DEF64, (O.JCC + 13) | Jb | DEF64, (O.JCC + 14) | Jb | DEF64, (O.JCC + 15) | Jb | DEF64,
  /* 80 */ G1 | Eb | _Ib | LOCK, G1 | Ev | _Iz | LOCK, G1 | Eb | _Ib | LOCK | NO64, G1 | Ev | _Ibs | LOCK,
  /* 84 */ O.TEST | Eb | _Gb, O.TEST | Ev | _Gv, O.XCHG | Eb | _Gb | LOCK, O.XCHG | Ev | _Gv | LOCK,
  /* 88 */ O.MOV | Eb | _Gb, O.MOV | Ev | _Gv, O.MOV | Gb | _Eb, O.MOV | Gv | _Ev,
  /* 8C */ O.MOVSEG | Ewv | _Sw, O.LEA | Gv | _M, O.LOADSEG | Sw | _Ew, G1A | Ev | DEF64,
  /* 90 */
  O.XCHG | Zv | _rAX /* NOP and PAUSE, see below */, O.XCHG | Zv | _rAX, O.XCHG | Zv | _rAX, O.XCHG | Zv | _rAX,
  O.XCHG | Zv | _rAX, O.XCHG | Zv | _rAX, O.XCHG | Zv | _rAX, O.XCHG | Zv | _rAX,
  /* 98 */ O.CBW, O.CWD, O.CALLF | Ap | NO64, O.FWAIT,
  /* 9C */ O.PUSHF | DEF64, O.POPF | DEF64, O.SAHF, O.LAHF,
  /* A0 */ O.MOV | AL | _Ob, O.MOV | rAX | _Ov, O.MOV | Ob | _AL, O.MOV | Ov | _rAX,
  /* A4 */ O.MOVS | Yb | _Xb, O.MOVS | Yv | _Xv, O.CMPS | Xb | _Yb, O.CMPS | Xv | _Yv,
  /* A8 */ O.TEST | AL | _Ib, O.TEST | rAX | _Iz, O.STOS | Yb | _AL, O.STOS | Yv | _rAX,
  /* AC */ O.LODS | AL | _Xb, O.LODS | rAX | _Xv, O.SCAS | AL | _Yb, O.SCAS | rAX | _Yv,
  /* B0 */
  O.MOV | Zb | _Ib, O.MOV | Zb | _Ib, O.MOV | Zb | _Ib, O.MOV | Zb | _Ib,
  O.MOV | Zb | _Ib, O.MOV | Zb | _Ib, O.MOV | Zb | _Ib, O.MOV | Zb | _Ib,
  O.MOV | Zv | _Iv, O.MOV | Zv | _Iv, O.MOV | Zv | _Iv, O.MOV | Zv | _Iv,
  O.MOV | Zv | _Iv, O.MOV | Zv | _Iv, O.MOV | Zv | _Iv, O.MOV | Zv | _Iv,
  /* C0 */ G2 | Eb | _Ib, G2 | Ev | _Ib, O.RET | Iw | DEF64, O.RET | DEF64,
  /* C4 */ O.LOADFAR | Gv | _Mp | __ES | NO64, O.LOADFAR | Gv | _Mp | __DS | NO64, G11 | Eb | _Ib, G11 | Ev | _Iz,
  /* C8 */ O.ENTER | Iw | _I2b | DEF64, O.LEAVE | DEF64, O.RETF | Iw, O.RETF,
  /* CC */ O.INT3, O.INT | Ib, O.INTO | NO64, O.IRET,
  /* D0 */ G2 | Eb | _1, G2 | Ev | _1, G2 | Eb | _CL, G2 | Ev | _CL,
  /* D4 */ O.AAM | Ib | NO64, O.AAD | Ib | NO64, O.SALC | NO64, O.XLAT | BX,
  /* D8 */ X87, X87, X87, X87, X87, X87, X87, X87,
  /* E0 */ O.LOOPNE | Jb | DEF64, O.LOOPE | Jb | DEF64, O.LOOP | Jb | DEF64, O.JCXZ | Jb | DEF64,
  /* E4 */ O.IN | AL | _Ib, O.IN | eAX | _Ib, O.OUT | Ib | _AL, O.OUT | Ib | _eAX,
  /* E8 */ O.CALL | Jz | DEF64, O.JMP | Jz | DEF64, O.JMPF | Ap | NO64, O.JMP | Jb | DEF64,
  /* EC */ O.IN | AL | _DX, O.IN | eAX | _DX, O.OUT | DX | _AL, O.OUT | DX | _eAX,
  /* F0 */ __ /* LOCK */, O.INT1, __ /* REPNE */, __ /* REP */,
  /* F4 */ O.HLT, O.CMC, G3B | Eb, G3V | Ev,
  /* F8 */ O.CLC, O.STC, O.CLI, O.STI,
  /* FC */ O.CLD, O.STD, G4 | Eb, G5 | Ev,
];

/** 63 in 64-bit mode. */
export const MOVSXD: u64 = O.MOVSX | Gv | _Ed;

// prettier-ignore
export const TWO_BYTE_MAP: StaticArray<u64> = [
  /* 0F 00 */ G6 | Ew, G7 | Mb, O.LAR | Gv | _Ew, O.LSL | Gv | _Ew,
  /* 04 */ __, O.SYSCALL, O.CLTS, O.SYSRET,
  /* 08 */ O.INVD, O.WBINVD, __, __ /* UD2 */,
  /* 0C */ __, O.PREFETCH | Mb, __ /* FEMMS */, __ /* 3DNow! */,
  /* 10 */ VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC,
  /* 18 */ G16 | Ev, O.NOP | Ev, O.NOP | Ev, O.NOP | Ev, O.NOP | Ev, O.NOP | Ev, O.NOP | Ev, O.NOP | Ev,
  /* 20 */ O.MOVCR | Rr | _C, O.MOVDR | Rr | _D, O.MOVCR | Cr | _R, O.MOVDR | Dr | _R,
  /* 24 */ __, __, __, __,
  /* 28 */ VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC,
  /* 30 */ O.WRMSR, O.RDTSC, O.RDMSR, O.RDPMC, O.SYSENTER, O.SYSEXIT, __, __,
  /* 38 */ __ /* the 0F38 map */, __, __ /* the 0F3A map */, __, __, __, __, __,
  /* 40 */
  (O.CMOVCC + 0) | Gv | _Ev, (O.CMOVCC + 1) | Gv | _Ev, (O.CMOVCC + 2) | Gv | _Ev, (O.CMOVCC + 3) | Gv | _Ev,
  (O.CMOVCC + 4) | Gv | _Ev, (O.CMOVCC + 5) | Gv | _Ev, (O.CMOVCC + 6) | Gv | _Ev, (O.CMOVCC + 7) | Gv | _Ev,
  (O.CMOVCC + 8) | Gv | _Ev, (O.CMOVCC + 9) | Gv | _Ev, (O.CMOVCC + 10) | Gv | _Ev, (O.CMOVCC + 11) | Gv | _Ev,
  (O.CMOVCC + 12) | Gv | _Ev, (O.CMOVCC + 13) | Gv | _Ev, (O.CMOVCC + 14) | Gv | _Ev, (O.CMOVCC + 15) | Gv | _Ev,
  /* 50 */ VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC,
  /* 60 */ VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC,
  /* 70 */ VECI, VECI, VECI, VECI, VEC, VEC, VEC, O.VECTOR,
  /* 78 */ __, __, __, __, VEC, VEC, VEC, VEC,
  /* 80 */
  (O.JCC + 0) | Jz | DEF64, (O.JCC + 1) | Jz | DEF64, (O.JCC + 2) | Jz | DEF64, (O.JCC + 3) | Jz | DEF64,
  (O.JCC + 4) | Jz | DEF64, (O.JCC + 5) | Jz | DEF64, (O.JCC + 6) | Jz | DEF64, (O.JCC + 7) | Jz | DEF64,
  (O.JCC + 8) | Jz | DEF64, (O.JCC + 9) | Jz | DEF64, (O.JCC + 10) | Jz | DEF64, (O.JCC + 11) | Jz | DEF64,
  (O.JCC + 12) | Jz | DEF64, (O.JCC + 13) | Jz | DEF64, (O.JCC + 14) | Jz | DEF64, (O.JCC + 15) | Jz | DEF64,
  /* 90 */
  (O.SETCC + 0) | Eb, (O.SETCC + 1) | Eb, (O.SETCC + 2) | Eb, (O.SETCC + 3) | Eb,
  (O.SETCC + 4) | Eb, (O.SETCC + 5) | Eb, (O.SETCC + 6) | Eb, (O.SETCC + 7) | Eb,
  (O.SETCC + 8) | Eb, (O.SETCC + 9) | Eb, (O.SETCC + 10) | Eb, (O.SETCC + 11) | Eb,
  (O.SETCC + 12) | Eb, (O.SETCC + 13) | Eb, (O.SETCC + 14) | Eb, (O.SETCC + 15) | Eb,
  /* A0 */ O.PUSHSEG | sFS | DEF64, O.POPSEG | sFS | DEF64, O.CPUID, O.BT | Ev | _Gv,
  /* A4 */ O.SHLD | Ev | _Gv | __Ib, O.SHLD | Ev | _Gv | __CL, __, __,
  /* A8 */ O.PUSHSEG | sGS | DEF64, O.POPSEG | sGS | DEF64, __ /* RSM */, O.BTS | Ev | _Gv | LOCK,
  /* AC */ O.SHRD | Ev | _Gv | __Ib, O.SHRD | Ev | _Gv | __CL, G15 | Mb, O.IMUL2 | Gv | _Ev,
  /* B0 */ O.CMPXCHG | Eb | _Gb | LOCK, O.CMPXCHG | Ev | _Gv | LOCK, O.LOADFAR | Gv | _Mp | __SS | NOT64, O.BTR | Ev | _Gv | LOCK,
  /* B4 */ O.LOADFAR | Gv | _Mp | __FS | NOT64, O.LOADFAR | Gv | _Mp | __GS | NOT64, O.MOVZX | Gv | _Eb, O.MOVZX | Gv | _Ew,
  /* B8 */ __, __ /* UD1 */, G8 | Ev | _Ib | LOCK, O.BTC | Ev | _Gv | LOCK,
  /* BC */ O.BSF | Gv | _Ev, O.BSR | Gv | _Ev, O.MOVSX | Gv | _Eb, O.MOVSX | Gv | _Ew,
  /* C0 */ O.XADD | Eb | _Gb | LOCK, O.XADD | Ev | _Gv | LOCK, VECI, O.MOVNTI | My | _Gy | PLAIN,
  /* C4 */ VECI, VECI, VECI, G9 | Mq | LOCK,
  /* C8 */ O.BSWAP | Zv, O.BSWAP | Zv, O.BSWAP | Zv, O.BSWAP | Zv, O.BSWAP | Zv, O.BSWAP | Zv, O.BSWAP | Zv, O.BSWAP | Zv,
  /* D0 */ VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC,
  /* E0 */ VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC,
  /* F0 */ VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, VEC, __ /* UD0 */,
];

/** The members of the groups by ModRM.reg; operands given here replace those of the map. */
// prettier-ignore
export const GROUP_MAP: StaticArray<u64> = [
  /* 1 */ O.ADD | LOCK, O.OR | LOCK, O.ADC | LOCK, O.SBB | LOCK, O.AND | LOCK, O.SUB | LOCK, O.XOR | LOCK, O.CMP,
  /* 1A */ O.POP | DEF64, __, __, __, __, __, __, __,
  /* 2 */ O.ROL, O.ROR, O.RCL, O.RCR, O.SHL, O.SHR, O.SAL, O.SAR,
  /* 3, bytes */ O.TEST | Eb | _Ib, O.TEST | Eb | _Ib, O.NOT | LOCK, O.NEG | LOCK, O.MUL, O.IMUL, O.DIV, O.IDIV,
  /* 3 */ O.TEST | Ev | _Iz, O.TEST | Ev | _Iz, O.NOT | LOCK, O.NEG | LOCK, O.MUL, O.IMUL, O.DIV, O.IDIV,
  /* 4 */ O.INC | LOCK, O.DEC | LOCK, __, __, __, __, __, __,
  /* 5 */ O.INC | LOCK, O.DEC | LOCK, O.CALLIND | DEF64, O.CALLF | Mp | NOT64, O.JMPIND | DEF64, O.JMPF | Mp | NOT64, O.PUSH | DEF64, __,
  /* 6 */ O.SLDT | Ewv, O.STR | Ewv, O.LLDT, O.LTR, O.VERR, O.VERW, __, __,
  /* 7 */ O.SGDT | Ms, O.SIDT | Ms, O.LGDT | Ms, O.LIDT | Ms, O.SMSW | Ewv, __, O.LMSW | Ew, O.INVLPG | Mb,
  /* 8 */ __, __, __, __, O.BT, O.BTS | LOCK, O.BTR | LOCK, O.BTC | LOCK,
  /* 9 */ __, O.CMPXCHG8B | LOCK, __, __, __, __, __, __,
  /* 11 */ O.MOV, __, __, __, __, __, __, __,
  /* 15 */ VEC, VEC, VEC, VEC, VEC, VEC, VEC, O.CLFLUSH | Mb,
  /* 16 */ O.NOP, O.NOP, O.NOP, O.NOP, O.NOP, O.NOP, O.NOP, O.NOP,
];
