/*
 * The cases of the run loop's switch. A name with a width after it is a family: the first of several numbers in a row,
 * to which a size (0..3: 1, 2, 4, 8 bytes; SIZED3 families begin with 2 bytes), a condition or the place of an
 * operation in the opcode map is added. Dense, because the switch becomes a jump table. Constants only.
 */

/** The end of a block: goes on with the next instruction. */
export const H_END = 0;
/** The rest of the block is stale: looks up the next instruction anew. */
export const H_RESYNC = 1;
/** A block that is one instruction across two pages: the second one's version. */
export const H_CHECK = 2;
/** Raises the vector in R_SUB. */
export const H_RAISE = 3;
/** A system instruction (system.ts), R_SUB its operation; ends the block. */
export const H_SYSTEM = 4;
/** x87 and vector instructions. */
export const H_NO_UNIT = 5;
export const H_NOP = 6;

// Arithmetic by operation (8 each): register or memory, with register, immediate or memory.
export const H_RR32 = 7;
export const H_RR64 = 15;
export const H_RI32 = 23;
export const H_RI64 = 31;
export const H_RM32 = 39;
export const H_RM64 = 47;
export const H_MR32 = 55;
export const H_MR64 = 63;
export const H_MI32 = 71;
export const H_MI64 = 79;

// The same for bytes and words, the operation in R_SUB (2 each).
export const H_ALU_RM_R = 87;
export const H_ALU_RM_I = 89;
export const H_ALU_R_M = 91;

// Sizes (4 each).
export const H_TEST_RM_R = 93;
export const H_TEST_RM_I = 97;
export const H_INC_RM = 101;
export const H_DEC_RM = 105;
export const H_NEG_RM = 109;
export const H_NOT_RM = 113;
export const H_SHIFT_RM_I = 117;
export const H_SHIFT_RM_CL = 121;
export const H_MUL = 125;
export const H_IMUL = 129;
export const H_DIV = 133;
export const H_IDIV = 137;
export const H_LOCKED_R = 141;
export const H_LOCKED_I = 145;
export const H_XCHG_RR = 149;
export const H_XCHG_MR = 153;
export const H_XADD_RR = 157;
export const H_XADD_MR = 161;
export const H_CMPXCHG_RR = 165;
export const H_CMPXCHG_MR = 169;
export const H_MOV_RR = 173;
export const H_MOV_RI = 177;
export const H_LOAD = 181;
export const H_STORE = 185;
export const H_STORE_I = 189;
export const H_MOVS = 193;
export const H_STOS = 197;
export const H_LODS = 201;
export const H_CMPS = 205;
export const H_SCAS = 209;
export const H_INS = 213;
export const H_OUTS = 217;

// Sizes from 2 bytes (3 each).
export const H_DSHIFT_I = 221;
export const H_DSHIFT_CL = 224;
export const H_IMUL_RR = 227;
export const H_IMUL_RM = 230;
export const H_IMUL_RRI = 233;
export const H_IMUL_RMI = 236;
export const H_BIT_RM_I = 239;
export const H_BIT_RR = 242;
export const H_BIT_MR = 245;
export const H_LOCKED_BIT_I = 248;
export const H_BSF = 251;
export const H_BSR = 254;
export const H_BSWAP = 257;
export const H_CMOV_RR = 260;
export const H_CMOV_RM = 263;
export const H_PUSH_RM = 266;
export const H_PUSH_I = 269;
export const H_POP_R = 272;
export const H_POP_M = 275;
export const H_PUSHSEG = 278;
export const H_PUSHF = 281;
export const H_LEAVE = 284;
export const H_ENTER = 287;
export const H_CBW = 290;
export const H_CWD = 293;
export const H_MOVSEG_R = 296;
export const H_JCC_ANY = 299;
export const H_JMP = 302;
export const H_JMP_RM = 305;
export const H_CALL_ANY = 308;
export const H_CALL_RM = 311;
export const H_RET_ANY = 314;
export const H_LOOP = 317;

// Shorter ways for what is common.
export const H_TEST_RR32 = 320;
export const H_TEST_RR64 = 321;
export const H_TEST_RI32 = 322;
export const H_TEST_RR8 = 323;
export const H_INC_R32 = 324;
export const H_INC_R64 = 325;
export const H_DEC_R32 = 326;
export const H_DEC_R64 = 327;
export const H_SHL_RI32 = 328;
export const H_SHL_RI64 = 329;
export const H_SHR_RI32 = 330;
export const H_SHR_RI64 = 331;
export const H_SAR_RI32 = 332;
export const H_SAR_RI64 = 333;
export const H_CMP8_MI = 334;
export const H_CMP8_RI = 335;
export const H_TEST8_MI = 336;
export const H_TEST8_RI = 337;
export const H_MOV_RQ = 338;
export const H_ZERO32 = 339;
export const H_MOVZX8_R = 340;
export const H_MOVZX16_R = 341;
export const H_MOVZX8_M = 342;
export const H_MOVZX16_M = 343;
export const H_MOVSX8_R32 = 344;
export const H_MOVSX8_R64 = 345;
export const H_MOVSX16_R32 = 346;
export const H_MOVSX16_R64 = 347;
export const H_MOVSX32_R64 = 348;
export const H_MOVSX8_M32 = 349;
export const H_MOVSX8_M64 = 350;
export const H_MOVSX16_M32 = 351;
export const H_MOVSX16_M64 = 352;
export const H_MOVSX32_M64 = 353;
export const H_MOVX8_16 = 354;
export const H_LEA64 = 355;
export const H_LEA32 = 356;
export const H_LEA_ANY = 357;
export const H_PUSH_R64 = 358;
export const H_PUSH_R32 = 359;
export const H_PUSH_I64 = 360;
export const H_PUSH_I32 = 361;
export const H_POP_R64 = 362;
export const H_POP_R32 = 363;
export const H_CALL64 = 364;
export const H_CALL32 = 365;
export const H_RET64 = 366;
export const H_RET32 = 367;
/** By condition (16 each): 64-bit mode, and 32-bit operand size outside of it. */
export const H_JCC64 = 368;
export const H_JCC32 = 384;
export const H_SETCC_R = 400;

// The rest.
export const H_SETCC_M = 416;
export const H_CMPXCHG8B = 417;
export const H_CMPXCHG16B = 418;
export const H_MOV_ABSOLUTE = 419;
export const H_MOVSEG_M = 420;
export const H_PUSHA16 = 421;
export const H_PUSHA32 = 422;
export const H_POPA16 = 423;
export const H_POPA32 = 424;
export const H_XLAT = 425;
export const H_BOUND16 = 426;
export const H_BOUND32 = 427;
export const H_CLFLUSH = 428;
export const H_CLC = 429;
export const H_STC = 430;
export const H_CMC = 431;
export const H_CLD = 432;
export const H_STD = 433;
export const H_LAHF = 434;
export const H_SAHF = 435;
export const H_DAA = 436;
export const H_DAS = 437;
export const H_AAA = 438;
export const H_AAS = 439;
export const H_AAM = 440;
export const H_AAD = 441;
export const H_SALC = 442;
/** The one system instruction that nothing has to wait for. */
export const H_CLI = 443;
/** LFENCE, MFENCE, SFENCE. */
export const H_FENCE = 444;
/** A comparison of registers together with the Jcc behind it (fuse.ts): 6 kinds of comparison, 16 conditions each. */
export const H_FUSED = 445;
