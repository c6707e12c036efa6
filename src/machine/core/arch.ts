/*
 * Names of architectural bits (Intel SDM vol. 3, chapters 2 to 6). Constants only.
 */

// CR0
export const CR0_PE: u64 = 1 << 0;
export const CR0_MP: u64 = 1 << 1;
export const CR0_EM: u64 = 1 << 2;
export const CR0_TS: u64 = 1 << 3;
export const CR0_ET: u64 = 1 << 4;
export const CR0_NE: u64 = 1 << 5;
export const CR0_WP: u64 = 1 << 16;
export const CR0_AM: u64 = 1 << 18;
export const CR0_NW: u64 = 1 << 29;
export const CR0_CD: u64 = 1 << 30;
export const CR0_PG: u64 = 0x80000000;

// CR4
export const CR4_VME: u64 = 1 << 0;
export const CR4_PVI: u64 = 1 << 1;
export const CR4_TSD: u64 = 1 << 2;
export const CR4_DE: u64 = 1 << 3;
export const CR4_PSE: u64 = 1 << 4;
export const CR4_PAE: u64 = 1 << 5;
export const CR4_MCE: u64 = 1 << 6;
export const CR4_PGE: u64 = 1 << 7;
export const CR4_PCE: u64 = 1 << 8;

// EFER
export const EFER_SCE: u64 = 1 << 0;
export const EFER_LME: u64 = 1 << 8;
export const EFER_LMA: u64 = 1 << 10;
export const EFER_NXE: u64 = 1 << 11;

// EFLAGS
export const FL_CF: u32 = 1 << 0;
export const FL_ONE: u32 = 1 << 1;
export const FL_PF: u32 = 1 << 2;
export const FL_AF: u32 = 1 << 4;
export const FL_ZF: u32 = 1 << 6;
export const FL_SF: u32 = 1 << 7;
export const FL_TF: u32 = 1 << 8;
export const FL_IF: u32 = 1 << 9;
export const FL_DF: u32 = 1 << 10;
export const FL_OF: u32 = 1 << 11;
export const FL_IOPL: u32 = 3 << 12;
export const FL_NT: u32 = 1 << 14;
export const FL_RF: u32 = 1 << 16;
export const FL_VM: u32 = 1 << 17;
export const FL_AC: u32 = 1 << 18;
export const FL_VIF: u32 = 1 << 19;
export const FL_VIP: u32 = 1 << 20;
export const FL_ID: u32 = 1 << 21;

// Exceptions
export const V_DE: u32 = 0;
export const V_DB: u32 = 1;
export const V_NMI: u32 = 2;
export const V_BP: u32 = 3;
export const V_OF: u32 = 4;
export const V_BR: u32 = 5;
export const V_UD: u32 = 6;
export const V_NM: u32 = 7;
export const V_DF: u32 = 8;
export const V_TS: u32 = 10;
export const V_NP: u32 = 11;
export const V_SS: u32 = 12;
export const V_GP: u32 = 13;
export const V_PF: u32 = 14;
export const V_AC: u32 = 17;

/** Page-fault error code (SDM vol. 3, 4.7); the last three also say which access is to be translated. */
export const PF_PRESENT: u32 = 1;
export const PF_WRITE: u32 = 2;
export const PF_USER: u32 = 4;
export const PF_RESERVED: u32 = 8;
export const PF_FETCH: u32 = 16;

/** Segment attributes as in SEG_ATTR: bytes 4..7 of the descriptor. */
export const AR_ACCESSED: u32 = 1 << 8;
/** Writable data, or readable code. */
export const AR_RW: u32 = 1 << 9;
/** Expand-down data, or conforming code. */
export const AR_DC: u32 = 1 << 10;
export const AR_CODE: u32 = 1 << 11;
export const AR_S: u32 = 1 << 12;
export const AR_PRESENT: u32 = 1 << 15;
export const AR_L: u32 = 1 << 21;
export const AR_DB: u32 = 1 << 22;
export const AR_G: u32 = 1 << 23;
export const AR_TYPE_SHIFT: u32 = 8;
export const AR_DPL_SHIFT: u32 = 13;
/** All bits that SEG_ATTR keeps. */
export const AR_MASK: u32 = 0x00f0ff00;

/** System descriptor types (4 bits). */
export const TYPE_TSS16: u32 = 1;
export const TYPE_LDT: u32 = 2;
export const TYPE_TSS16_BUSY: u32 = 3;
export const TYPE_CALL16: u32 = 4;
export const TYPE_TASK_GATE: u32 = 5;
export const TYPE_INT16: u32 = 6;
export const TYPE_TRAP16: u32 = 7;
export const TYPE_TSS: u32 = 9;
export const TYPE_TSS_BUSY: u32 = 11;
export const TYPE_CALL: u32 = 12;
export const TYPE_INT: u32 = 14;
export const TYPE_TRAP: u32 = 15;

// Task-state segments: offsets (SDM vol. 3, 8.2.1, 8.6, 8.7).
export const TSS_LINK: u32 = 0x00;
export const TSS32_ESP0: u32 = 0x04;
export const TSS32_CR3: u32 = 0x1c;
export const TSS32_EIP: u32 = 0x20;
export const TSS32_EFLAGS: u32 = 0x24;
/** EAX ECX EDX EBX ESP EBP ESI EDI, 4 bytes each. */
export const TSS32_GPR: u32 = 0x28;
/** ES CS SS DS FS GS, 4 bytes each. */
export const TSS32_SEGMENTS: u32 = 0x48;
export const TSS32_LDT: u32 = 0x60;
export const TSS32_TRAP: u32 = 0x64;
/** u16: offset of the I/O permission bitmap; the interrupt redirection bitmap is the 32 bytes before it. */
export const TSS_IO_BASE: u32 = 0x66;
/** Smallest limits. */
export const TSS32_LIMIT: u32 = 0x67;
export const TSS16_SP0: u32 = 0x02;
export const TSS16_IP: u32 = 0x0e;
export const TSS16_FLAGS: u32 = 0x10;
/** AX CX DX BX SP BP SI DI, 2 bytes each. */
export const TSS16_GPR: u32 = 0x12;
/** ES CS SS DS, 2 bytes each. */
export const TSS16_SEGMENTS: u32 = 0x22;
export const TSS16_LDT: u32 = 0x2a;
export const TSS16_LIMIT: u32 = 0x2b;
export const TSS64_RSP0: u32 = 0x04;
/** IST1..IST7, 8 bytes each. */
export const TSS64_IST1: u32 = 0x24;

// IA32_APIC_BASE (SDM vol. 3, 11.4.3) and the one register of the page there that the processor itself knows.
export const APIC_ENABLE: u64 = 0x800;
export const APIC_FRAME: u64 = 0x000000fffffff000;
export const APIC_TPR: u64 = 0x80;

// DR6 and DR7 (SDM vol. 3, 17.2).
export const DR6_BD: u32 = 1 << 13;
export const DR6_BS: u32 = 1 << 14;
export const DR6_BT: u32 = 1 << 15;
export const DR6_ONES: u64 = 0xffff0ff0;
export const DR7_GD: u64 = 1 << 13;
export const DR7_ONES: u64 = 1 << 10;
