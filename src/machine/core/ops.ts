/*
 * The operations of the instruction set, one number for each thing that an instruction does whatever its operands are.
 * What the decoder finds, what the lowering turns into a handler of the run loop. Constants only: read by asc and tsc.
 */

/** Not an instruction: #UD. */
export const UNDEFINED = 0;

/** Arithmetic, in the order of the opcode map: the low three bits are the manual's number. */
export const ADD = 8;
export const OR = 9;
export const ADC = 10;
export const SBB = 11;
export const AND = 12;
export const SUB = 13;
export const XOR = 14;
export const CMP = 15;

/** Rotates and shifts, likewise; SAL is SHL's second encoding. */
export const ROL = 16;
export const ROR = 17;
export const RCL = 18;
export const RCR = 19;
export const SHL = 20;
export const SHR = 21;
export const SAL = 22;
export const SAR = 23;

/** Conditional instructions come in sixteens; the low four bits are the condition. */
export const JCC = 32;
export const SETCC = 48;
export const CMOVCC = 64;

/** Moves. */
export const MOV = 80;
export const MOVZX = 81;
export const MOVSX = 82;
export const LEA = 83;
export const XCHG = 84;
export const MOVSEG = 85;
export const LOADSEG = 86;
export const MOVNTI = 87;
export const BSWAP = 88;
export const XLAT = 89;
export const CBW = 90;
export const CWD = 91;
export const NOP = 92;
export const PAUSE = 93;

/** Arithmetic of one or three operands. */
export const TEST = 94;
export const NOT = 95;
export const NEG = 96;
export const INC = 97;
export const DEC = 98;
export const MUL = 99;
export const IMUL = 100;
export const IMUL2 = 101;
export const IMUL3 = 102;
export const DIV = 103;
export const IDIV = 104;
export const SHLD = 105;
export const SHRD = 106;
export const CMPXCHG = 107;
export const CMPXCHG8B = 108;
export const XADD = 109;

/** Bits. */
export const BT = 110;
export const BTS = 111;
export const BTR = 112;
export const BTC = 113;
export const BSF = 114;
export const BSR = 115;

/** Decimal arithmetic. */
export const DAA = 116;
export const DAS = 117;
export const AAA = 118;
export const AAS = 119;
export const AAM = 120;
export const AAD = 121;
export const SALC = 122;

/** Flags. */
export const CLC = 123;
export const STC = 124;
export const CMC = 125;
export const CLD = 126;
export const STD = 127;
export const LAHF = 128;
export const SAHF = 129;
export const PUSHF = 130;
export const POPF = 131;
export const CLI = 132;
export const STI = 133;

/** The stack. */
export const PUSH = 134;
export const POP = 135;
export const PUSHSEG = 136;
export const POPSEG = 137;
export const PUSHA = 138;
export const POPA = 139;
export const ENTER = 140;
export const LEAVE = 141;

/** Strings. */
export const MOVS = 142;
export const CMPS = 143;
export const STOS = 144;
export const LODS = 145;
export const SCAS = 146;
export const INS = 147;
export const OUTS = 148;

/** Near transfers. */
export const JMP = 149;
export const JMPIND = 150;
export const CALL = 151;
export const CALLIND = 152;
export const RET = 153;
export const LOOPNE = 154;
export const LOOPE = 155;
export const LOOP = 156;
export const JCXZ = 157;

/** Far transfers and system calls. */
export const JMPF = 158;
export const CALLF = 159;
export const RETF = 160;
export const IRET = 161;
export const INT = 162;
export const INT3 = 163;
export const INTO = 164;
export const INT1 = 165;
export const SYSCALL = 166;
export const SYSRET = 167;
export const SYSENTER = 168;
export const SYSEXIT = 169;
export const BOUND = 170;

/** LDS, LES, LSS, LFS, LGS: the segment register is the second operand. */
export const LOADFAR = 171;

/** Input and output. */
export const IN = 172;
export const OUT = 173;

/** System. */
export const HLT = 174;
export const CLTS = 175;
export const INVD = 176;
export const WBINVD = 177;
export const INVLPG = 178;
export const RDMSR = 179;
export const WRMSR = 180;
export const RDTSC = 181;
export const RDTSCP = 182;
export const RDPMC = 183;
export const CPUID = 184;
export const SWAPGS = 185;
export const SGDT = 186;
export const SIDT = 187;
export const LGDT = 188;
export const LIDT = 189;
export const SLDT = 190;
export const STR = 191;
export const LLDT = 192;
export const LTR = 193;
export const VERR = 194;
export const VERW = 195;
export const LAR = 196;
export const LSL = 197;
export const ARPL = 198;
export const SMSW = 199;
export const LMSW = 200;
export const MOVCR = 201;
export const MOVDR = 202;

/** LFENCE, MFENCE, SFENCE; prefetches and cache-line operations: nothing to do but to touch what they name. */
export const FENCE = 203;
export const PREFETCH = 204;
export const CLFLUSH = 205;

/** x87, and the vector instructions: this processor has neither. FWAIT has its own rule for #NM. */
export const X87 = 206;
export const FWAIT = 207;
export const VECTOR = 208;

/** Operation numbers from here on name a group of the opcode map, whose member ModRM.reg selects. */
export const GROUPS = 224;
