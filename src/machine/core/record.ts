/*
 * The two forms of a decoded instruction. Constants only: read by asc and tsc.
 *
 * The first is what the decoder writes: the instruction as the manual describes it, in one scratch area for each
 * processor. The second is what the run loop executes: 32 bytes with everything resolved to addresses.
 */

// ---------------------------------------------------------------------------------------- the decoded instruction

/** The scratch area: DECODE_AREA of state.ts, relative to the processor's area. Fields are u32 unless they say otherwise. */
export const DECODED = 0x00040000;
/** An operation of ops.ts. */
export const D_OPERATION = DECODED + 0x00;
/** Bytes, 1..15. */
export const D_LENGTH = DECODED + 0x04;
/** The code mode that the bytes were decoded in: MODE_*. */
export const D_MODE = DECODED + 0x08;
/** Operand size and address size in bytes: 2, 4 or 8. */
export const D_OPERAND_SIZE = DECODED + 0x0c;
export const D_ADDRESS_SIZE = DECODED + 0x10;
/** PREFIX_* bits. */
export const D_PREFIXES = DECODED + 0x14;
/** The opcode: its last byte, plus 0x100 in the 0F map, 0x200 in 0F38, 0x300 in 0F3A. */
export const D_OPCODE = DECODED + 0x18;
/** The ModRM byte, or 0xffffffff where there is none. */
export const D_MODRM = DECODED + 0x1c;
/** Three operands of 4 bytes each: u8 kind (OPERAND_*), u8 number, u16 size in bytes. */
export const D_OPERANDS = DECODED + 0x20;
export const OPERAND_STRIDE = 4;
/** The memory operand, u8 each: segment register (SEG_*), base, index (0..15, or NO_REGISTER, or RIP_BASE), log2 of the scale. */
export const D_SEGMENT = DECODED + 0x2c;
export const D_BASE = DECODED + 0x2d;
export const D_INDEX = DECODED + 0x2e;
export const D_SCALE = DECODED + 0x2f;
/** i64: displacement of the memory operand (of all 64 bits for MOV with an absolute address). */
export const D_DISPLACEMENT = DECODED + 0x30;
/** i64: immediate, sign-extended where the instruction does so; the displacement of a relative branch. */
export const D_IMMEDIATE = DECODED + 0x38;
/** The selector of a far pointer; ENTER's nesting level. */
export const D_IMMEDIATE2 = DECODED + 0x40;
/** The decoder's own: the byte to be read next, the first byte, the end of the readable bytes, REX (0 when none). */
export const D_CURSOR = DECODED + 0x44;
export const D_START = DECODED + 0x48;
export const D_END = DECODED + 0x4c;
export const D_REX = DECODED + 0x50;
/** Bytes of an instruction that crosses a page, put side by side (16). */
export const D_BYTES = DECODED + 0x60;

export const OPERAND_NONE = 0;
/** A general register: 0..15; for a size of 1, 16..19 are AH, CH, DH and BH. */
export const OPERAND_REGISTER = 1;
export const OPERAND_MEMORY = 2;
export const OPERAND_IMMEDIATE = 3;
/** ENTER's nesting level. */
export const OPERAND_IMMEDIATE2 = 4;
/** A branch target relative to the end of the instruction. */
export const OPERAND_RELATIVE = 5;
/** selector:offset in the instruction; the size is the offset's. */
export const OPERAND_FAR = 6;
export const OPERAND_SEGMENT = 7;
export const OPERAND_CONTROL = 8;
export const OPERAND_DEBUG = 9;
/** DS:rSI and ES:rDI of the string instructions. */
export const OPERAND_SOURCE_STRING = 10;
export const OPERAND_TARGET_STRING = 11;
/** The constant 1 of the one-bit shifts. */
export const OPERAND_ONE = 12;

export const NO_REGISTER = 0xff;
export const RIP_BASE = 0x10;

export const PREFIX_LOCK = 1;
/** F3 and F2; the last one counts. */
export const PREFIX_REP = 2;
export const PREFIX_REPNE = 4;
export const PREFIX_OPERAND = 8;
export const PREFIX_ADDRESS = 16;
/** A segment override that counts. */
export const PREFIX_SEGMENT = 32;

/** What the decoder returns instead of a length. */
export const DECODE_UNDEFINED = -1;
export const DECODE_MORE = -2;
export const DECODE_TOO_LONG = -3;

// ------------------------------------------------------------------------------------------------------ the record

export const RECORD_SIZE = 32;
/** u16: the case of the run loop's switch (handlers.ts). */
export const R_HANDLER = 0;
/** u8: bytes of the instruction. */
export const R_LENGTH = 2;
/** u8: instructions of the block from this one on, itself included: what is refunded when the block is left here. */
export const R_REMAINING = 3;
/** u16: where the instruction begins, in bytes from the block's first. */
export const R_OFFSET = 4;
/** u8: records before this one in the block. */
export const R_POSITION = 6;
/** u8: log2 of the scale. */
export const R_SCALE = 7;
/** u32: address of the register that is the first operand, or the only register. */
export const R_DST = 8;
/** u32: address of the second operand's register; or i32: the immediate. */
export const R_SRC = 12;
export const R_IMM = 12;
/** u32: addresses of base and index; of the second register when an immediate takes R_SRC and there is no memory operand. */
export const R_BASE = 16;
export const R_INDEX = 20;
/** u64: an immediate that needs 64 bits. */
export const R_IMM64 = 16;
/** i32: displacement; of a branch, its target in bytes from the block's first. */
export const R_DISP = 24;
/** u8: segment register of the memory operand. */
export const R_SEGMENT = 28;
/** u8: how an address is formed, ADDRESS_*. */
export const R_ADDRESSING = 29;
/** u8: operand size in bytes. */
export const R_SIZE = 30;
/** u8: whatever else a handler wants to know: a condition, a register's number, an operation of a group. */
export const R_SUB = 31;

/** 64-bit address, no segment base: the sum is the linear address. */
export const ADDRESS_FLAT = 0;
/** 64-bit address, FS or GS. */
export const ADDRESS_64 = 1;
/** Truncated to 32 bits, within 64-bit mode. */
export const ADDRESS_32_LONG = 2;
/** 32-bit and 16-bit address, segment with limits. */
export const ADDRESS_32 = 3;
export const ADDRESS_16 = 4;
/** No memory operand: R_DST holds the register that ModRM.rm names. */
export const ADDRESS_NONE = 5;

/*
 * A block: a header of one record's size, then the records, then one that ends it. It is found by what is in its first
 * two words, and good as long as the metadata word of its page is what it was.
 */
/** u32: physical address of the first instruction. */
export const BLOCK_PHYSICAL = 0;
/** u32: code mode, and BLOCK_STACK32 where stack instructions use ESP rather than SP. */
export const BLOCK_KEY = 4;
export const BLOCK_STACK32 = 4;
/** u32: the next block in the same bucket. */
export const BLOCK_NEXT = 8;
/** u32: address of the page's metadata word, and the word when the block was decoded. */
export const BLOCK_META = 12;
export const BLOCK_VERSION = 16;
/** u32: physical address of the second page of a block that is one instruction crossing pages; else all ones. */
export const BLOCK_SECOND = 20;
/** u16 each: instructions; bytes of them. */
export const BLOCK_COUNT = 24;
export const BLOCK_BYTES = 26;
