/*
 * P:030 A whole computer in one long row of bytes, which is less of a joke than it sounds: to a program, that is what a
 * computer is.
 *
 * Where everything lives: the map of the shared WebAssembly memory and the layout of one processor's state.
 *
 * This file holds constants only, and no import, because two compilers read it: asc for the processor core and tsc
 * for the machine around it. A field is added here and nowhere else.
 *
 * The memory, from the bottom:
 *
 *   0x00000000  nothing (a null pointer in the core must hit nothing of worth)
 *   0x00001000  the core's constant tables, written by asc's data segments; the same bytes from every instance
 *   0x00100000  HEADER: what all processors share (one page)
 *   0x00110000  processor areas, CPU_STRIDE bytes each: state, TLB, jump cache, decoded instructions
 *   ...         PAGE_META: one u32 for each physical page (see META_* below)
 *   ...         simulated physical memory, 64 KiB aligned, the last thing in the memory
 */

/** The shared header (byte address in WebAssembly memory). */
export const HEADER = 0x00100000;
/** u32: WebAssembly address of physical address 0. */
export const HEADER_RAM_BASE = 0x00;
/** u32: bytes of physical memory; a multiple of 4096; physical addresses from here on are MMIO or nothing. */
export const HEADER_RAM_SIZE = 0x04;
/** u32: WebAssembly address of the page metadata. */
export const HEADER_META_BASE = 0x08;
/** u32: number of processors. */
export const HEADER_CPUS = 0x0c;
/** u32: physical address range of host gates, begin and end (0, 0 when the machine has none). */
export const HEADER_GATE_BEGIN = 0x10;
export const HEADER_GATE_END = 0x14;
/**
 * u32: the bus lock, 0 or its holder's index plus 1, for LOCKed accesses that no WebAssembly atomic can make: unaligned ones, those across pages,
 * and CMPXCHG16B. See atomic.ts and LOCKING.
 */
export const HEADER_SPLIT_LOCK = 0x18;
/** u32: bumped when a page first turns into code, so that other processors drop fast write entries for it. */
export const HEADER_CODE_EPOCH = 0x1c;
/** u32: TRAIT_*: what the machine's processors are like beyond the manual; set before they are switched on. */
export const HEADER_TRAITS = 0x20;
/** Loads are carried out before their permission is checked, and there is a data cache (late.ts, cache.ts). */
export const TRAIT_LATE_CHECKS = 1;

export const CPU_AREA = 0x00110000;
/** Bytes from one processor's area to the next. */
export const CPU_STRIDE = 0x02000000;

/*
 * PAGE_META, one u32 for each physical page: bit 0 says that some processor holds decoded instructions from the page,
 * the bits above are a version that every write to such a page bumps. A decoded block remembers the word it was made
 * under and is stale as soon as the word differs.
 */
export const META_CODE = 1;
export const META_VERSION_STEP = 2;

// ---------------------------------------------------------------------------------------------- processor state
// Offsets from the processor's area.

/**
 * P:040 A processor is very little: sixteen numbers to work with (these; RSP among them is the stack's pointer), RIP,
 * which says where the next instruction is, EFLAGS, which remembers how the last comparison went and whether interrupts
 * may come, and a drawer of control registers for the operating system. Whoever can save and load all that can stop one
 * program and go on with another. Remember the thought: the Switcher (S:100) is nothing else. In this file they are
 * offsets.
 *
 * u64 x 16: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15, in encoding order.
 */
export const GPR = 0x000;
/** u64, always 0: what "no base", "no index" and "no segment base" point at. */
export const ZERO = 0x080;
/** u64: RIP of the instruction being executed (architectural whenever the core has returned to its caller). */
export const RIP = 0x088;
/** u64: RIP of the following instruction; slow operations that transfer control overwrite it. */
export const NEXT_RIP = 0x090;
/** i64: last result, sign-extended from the operand size (lazy ZF, SF, PF; see flags.ts). */
export const LAZY_RESULT = 0x098;
/** u32: carry-out vector: bit 31 CF, bit 30 xor bit 31 OF, bit 3 AF, bits 8..15 PF delta, bit 0 SF delta. */
export const LAZY_AUX = 0x0a0;
/** u32: the other EFLAGS bits (TF IF DF IOPL NT RF VM AC VIF VIP ID, and bit 1); the six status bits are 0 here. */
export const EFLAGS = 0x0a4;
/** u32: current privilege level. */
export const CPL = 0x0a8;
/** u32: code mode, MODE_* below: how bytes at CS:RIP are decoded. */
export const MODE = 0x0ac;

/** Code modes. */
export const MODE_16 = 0;
export const MODE_32 = 1;
export const MODE_64 = 2;

/*
 * Segment registers in encoding order ES CS SS DS FS GS, then LDTR and TR; SEG_STRIDE bytes each.
 */
export const SEG = 0x0c0;
export const SEG_STRIDE = 0x20;
export const SEG_ES = 0;
export const SEG_CS = 1;
export const SEG_SS = 2;
export const SEG_DS = 3;
export const SEG_FS = 4;
export const SEG_GS = 5;
export const SEG_LDTR = 6;
export const SEG_TR = 7;
/** u64: base. */
export const SEG_BASE = 0x00;
/** u32: limit in bytes, granularity already applied. */
export const SEG_LIMIT = 0x08;
/** u32: bytes 4..7 of the descriptor, with base and limit bits cleared: type, S, DPL, P, AVL, L, D/B, G (bits 8..23). */
export const SEG_ATTR = 0x0c;
/** u16 in a u32: selector. */
export const SEG_SELECTOR = 0x10;
/** u32: SEGF_* flags, derived when the segment is loaded, for the fast checks. */
export const SEG_FLAGS = 0x14;
/** Usable for reads, for writes; expand-down; null or unusable has none of them. */
export const SEGF_READ = 1;
export const SEGF_WRITE = 2;
export const SEGF_EXPAND_DOWN = 4;

/** u64 each. */
export const CR0 = 0x1c0;
export const CR2 = 0x1c8;
export const CR3 = 0x1d0;
export const CR4 = 0x1d8;
/** CR8 is kept here only while there is no local APIC whose TPR it is (control.ts). */
export const CR8 = 0x1e0;
/** u64 x 8: DR0..DR3, (4, 5 unused), DR6, DR7. */
export const DR = 0x1e8;
/** u64 base, u32 limit. */
export const GDTR_BASE = 0x228;
export const GDTR_LIMIT = 0x230;
export const IDTR_BASE = 0x238;
export const IDTR_LIMIT = 0x240;
/** u64 x 4: PDPT entries as loaded by MOV CR3 under PAE (SDM vol. 3, 4.4.1). */
export const PDPTE = 0x248;

/** MSRs, u64 each. FS_BASE and GS_BASE are the segment bases above. */
export const MSR_EFER = 0x268;
export const MSR_STAR = 0x270;
export const MSR_LSTAR = 0x278;
export const MSR_CSTAR = 0x280;
export const MSR_SFMASK = 0x288;
export const MSR_KERNEL_GS_BASE = 0x290;
export const MSR_SYSENTER_CS = 0x298;
export const MSR_SYSENTER_ESP = 0x2a0;
export const MSR_SYSENTER_EIP = 0x2a8;
export const MSR_APIC_BASE = 0x2b0;
export const MSR_PAT = 0x2b8;
export const MSR_TSC_AUX = 0x2c0;
/** u64: added to the time below to give the TSC. */
export const TSC_OFFSET = 0x2c8;
/** u64: time in ticks not counted as instructions (idle time that the machine skipped). */
export const IDLE_TICKS = 0x2d0;

/*
 * Attention: one word that is non-zero whenever the next instruction boundary is more than "go on". The run loop tests
 * it at each block; other threads set bits with atomic or.
 */
export const ATTENTION = 0x2d8;
/** A maskable interrupt is requested (INTR pin; the vector comes from the bus at acknowledgement). */
export const ATT_INTR = 1;
export const ATT_NMI = 2;
/** Interrupts are inhibited until after one instruction (STI, MOV SS, POP SS). */
export const ATT_SHADOW = 4;
/** EFLAGS.TF was set when the instruction began. */
export const ATT_TRAP = 8;
/** DR7 enables a breakpoint. */
export const ATT_BREAK = 16;
/** Leave run() with EXIT_STOP at the next boundary. */
export const ATT_STOP = 32;
/** Another processor asks that this one's TLB be flushed. */
export const ATT_FLUSH = 64;
/** A debug trap is pending (DR6 bits in PENDING_DEBUG). */
export const ATT_DEBUG = 128;
/** The INIT and start-up IPIs (vector in SIPI_VECTOR). */
export const ATT_INIT = 256;
export const ATT_SIPI = 512;
/** HLT has been executed (HALTED) or INIT received: boundary() decides whether to go on. */
export const ATT_HALTED = 1024;
/** EFLAGS.RF is set: it goes away when one instruction has completed. */
export const ATT_RESUME = 2048;
/** A debugger wants to hear of each instruction of its guest before it is executed. */
export const ATT_STEP = 4096;
/** A debugger has data watchpoints. */
export const ATT_WATCH = 8192;
/** What says nothing of the program: how far a repeated instruction gets at a time does not depend on these. */
export const ATT_UNSEEN = 4096 | 8192;
/** With any of these, run() executes one instruction after boundary() and calls boundary() again. */
export const ATT_SINGLE = 4 | 8 | 16 | 2048 | 4096 | 8192;

/** u32: the INTR line as the bus drives it (0 or 1), kept while IF is clear. */
export const INTR_LINE = 0x2dc;
/** i64: instructions that run() may still execute; blocks are charged when they are entered. */
export const BUDGET = 0x2e0;
/** u64: the instructions executed since reset, exact whenever the core has returned to its caller. */
export const INSTRUCTIONS = 0x2e8;
/** u32: DR6 bits of a debug trap that waits for the instruction boundary. */
export const PENDING_DEBUG = 0x2f0;
/** u32: NMIs are blocked until IRET. */
export const NMI_BLOCKED = 0x2f4;
/** u32: 1 when HLT has been executed and no interrupt has come since. */
export const HALTED = 0x2f8;
export const SIPI_VECTOR = 0x2fc;

/** A fault on its way to be delivered: vector (u32, 0xffffffff: none), error code, whether it has one, kind. */
export const FAULT_VECTOR = 0x300;
export const FAULT_ERROR = 0x304;
export const FAULT_HAS_ERROR = 0x308;
/** u32: what is being delivered (a vector, or 0xffffffff), to tell double and triple faults. */
export const DELIVERING = 0x30c;
/** u32: why run() returned, EXIT_*, and a detail (the gate's physical address, the vector of a shutdown). */
export const EXIT_REASON = 0x310;
export const EXIT_DETAIL = 0x314;
export const NONE = 0xffffffff;

export const EXIT_BUDGET = 0;
export const EXIT_HALT = 1;
export const EXIT_GATE = 2;
/** Triple fault: the processor is in the shutdown state. */
export const EXIT_SHUTDOWN = 3;
export const EXIT_STOP = 4;
/** A debugger's stop, between two instructions of its guest; EXIT_DETAIL: DEBUG_* below. */
export const EXIT_DEBUG = 5;

/** u32: WebAssembly address of the decoded instruction that is executing; what a fault is told from. */
export const CURRENT = 0x318;
/** u32: WebAssembly address of the TLB half in use (supervisor or user) and u64 tag generation; see tlb.ts. */
export const TLB_BASE = 0x31c;
export const TLB_GENERATION = 0x320;
export const TLB_GLOBAL_GENERATION = 0x328;
/** u32: index of this processor. */
export const CPU_INDEX = 0x330;
/** u32: local APIC id. */
export const APIC_ID = 0x334;

/**
 * u32: bit 0 is set by a store of this processor into a page with META_CODE, bit 1 by one to a device after which ATTENTION
 * is not 0; the run loop ends its block and clears it.
 */
export const CODE_WRITTEN = 0x338;
/** u32: bumped whenever cached translations of instruction addresses may have become wrong (flush, INVLPG). */
export const FETCH_EPOCH = 0x33c;
/** u64 each: lowest and highest linear address of the large pages (> 4 KiB) cached since the last whole flush. */
export const LARGE_LOW = 0x340;
export const LARGE_HIGH = 0x348;
/**
 * u32: WATCH_* bits; while there are any, every access takes the slow path. Then u32: 1 while CR0.AM, EFLAGS.AC and CPL 3 ask for
 * alignment checks.
 */
export const WATCH = 0x350;
/** DR7 enables a data breakpoint, or a debugger has watchpoints. */
export const WATCH_DATA = 1;
/** The processor has TRAIT_LATE_CHECKS. */
export const WATCH_LATE = 2;
export const ALIGN = 0x354;
/** u32: 1 while an event external to the program is delivered: bit EXT of error codes (SDM vol. 3, 6.13). */
export const EXTERNAL = 0x358;
/** u32: 1 when an ATT_SHADOW has already covered its instruction; 1 when STI (and not MOV SS) made it. */
export const SHADOW_USED = 0x35c;
export const SHADOW_STI = 0x360;
/** u32: 1 when the instruction that executes began with EFLAGS.TF set; 1 when it began with EFLAGS.RF set. */
export const TRAP_ARMED = 0x364;
export const RESUME_ARMED = 0x368;
/** u32: 1 while the processor waits for a start-up IPI (after INIT). */
export const WAIT_SIPI = 0x36c;

/*
 * The run loop's own (counters.ts, blocks.ts). RIP of the first instruction of the block that executes; BUDGET when
 * instructions were last counted; the tag of the jump cache's entries that are good now, how it came about, and the
 * RIP of a gate that has just been left by.
 */
/** u64. */
export const BLOCK_RIP = 0x370;
/** i64. */
export const BUDGET_MARK = 0x378;
/** u32 each. */
export const JUMP_TAG = 0x380;
export const JUMP_EPOCH = 0x384;
export const JUMP_FETCH_EPOCH = 0x388;
export const JUMP_PROFILE_NEXT = 0x38c;
/** u64; all ones: none. */
export const GATE_LEFT = 0x390;
/** u32: WebAssembly address of the next free byte for decoded blocks. */
export const ARENA_NEXT = 0x398;
/** u32: 1 while RIP is at a REP string instruction that has begun and is not complete: between two of its iterations. */
export const REPEATING = 0x39c;
/** Six profiles of 16 bytes: what code can be executed like (see blocks.ts). */
export const JUMP_PROFILES = 0x3a0;

// Counters: u64 each, exact, never reset by the core.
export const COUNTERS = 0x400;
/** u64 x 4: instructions by ring; x 256 exceptions, INTs and interrupts delivered by vector. */
export const COUNT_RING = 0x400;
export const COUNT_TLB_MISS = 0x420;
/** Whole-TLB flushes: CR3 loads and CR4 changes. */
export const COUNT_TLB_FLUSH = 0x428;
export const COUNT_INVLPG = 0x430;
export const COUNT_CR3_LOAD = 0x438;
export const COUNT_INTERRUPT = 0x440;
export const COUNT_SYSCALL = 0x448;
export const COUNT_SYSENTER = 0x450;
export const COUNT_BLOCKS_DECODED = 0x458;
/** Windows of a processor that checks late; lines that were not in its cache. */
export const COUNT_TRANSIENT = 0x460;
export const COUNT_CACHE_MISS = 0x468;
/** u32: 1 while this processor makes a LOCKed access by one WebAssembly atomic; other processors read it (atomic.ts). */
export const LOCKING = 0x480;
/** u32: 1 while somebody wants to hear of each event that is delivered (the bus's `delivered`). */
export const WATCHED = 0x488;

/*
 * A debugger outside of the machine (debug.ts). What it watches is in no register that a program can see, and not in memory.
 * u32: how many breakpoints there are; how many watchpoints; the lowest ring that is the guest's (0 on a machine without
 * a host); 1 more than the number of the watchpoint that the last instruction hit, 0: none.
 */
export const DEBUG_BREAKS = 0x48c;
export const DEBUG_WATCHES = 0x490;
export const DEBUG_RING = 0x494;
export const DEBUG_HIT = 0x498;
/** u64: RIP of an instruction that has been stopped at and goes ahead now; all ones: none. */
export const DEBUG_LEFT = 0x4a0;
/** EXIT_DETAIL with EXIT_DEBUG: a bit for each reason; the watchpoint's number in the bits from DEBUG_WATCH_SHIFT. */
export const DEBUG_STEPPED = 1;
export const DEBUG_BREAKPOINT = 2;
export const DEBUG_WATCHPOINT = 4;
export const DEBUG_WATCH_SHIFT = 8;

/*
 * A processor that checks late (late.ts). u32: 1 while it executes what is going to be thrown away; the error code, and u64 the
 * address, of the page fault that is going to be raised.
 */
export const TRANSIENT = 0x4a8;
export const LATE_ERROR = 0x4ac;
export const LATE_LINEAR = 0x4b0;
/** Instructions behind the load that are begun at most: about what a reorder buffer of 2007 has room for. */
export const TRANSIENT_MOST = 64;

export const COUNT_VECTOR = 0x800;

/** The end of the state; then the TLB, the jump cache and the decoded instructions, whose layout is the core's own. */
export const STATE_SIZE = 0x1000;
export const TLB_AREA = 0x1000;
/** Entries of each half (supervisor, then user), and bytes of one. What they mean is in tlb.ts. */
export const TLB_ENTRIES = 1024;
export const TLB_ENTRY_SIZE = 32;
/** u64 each: the page's linear address, with the generation in the low 12 bits; 0: not for this kind of access. */
export const TLB_TAG_READ = 0;
export const TLB_TAG_WRITE = 8;
export const TLB_TAG_EXECUTE = 16;
/** u32: WebAssembly address of the page minus the low 32 bits of its linear address. */
export const TLB_ADDEND = 24;
/** u32: TLB_F_*, and the global generation in the upper half. */
export const TLB_FLAGS = 28;
export const TLB_F_GLOBAL = 1;
export const TLB_F_WRITE = 2;
export const TLB_F_EXECUTE = 4;
export const TLB_F_LARGE = 8;
export const TLB_GLOBAL_SHIFT = 16;
export const TLB_GENERATION_MASK = 0xfff;
/** The state as it was when the window began (late.ts), then the cache: u32 for each way, CACHE_WAYS for each set (cache.ts). */
export const LATE_SAVED = 0x0001f000;
export const CACHE_AREA = 0x00020000;
/** 2 MiB in lines of 64 bytes, 16 ways. */
export const CACHE_LINE_SHIFT = 6;
export const CACHE_SETS = 2048;
export const CACHE_WAYS = 16;
/** What a load waits for a line from memory, in ticks. */
export const CACHE_MISS_TICKS = 100;
export const DECODE_AREA = 0x00040000;

/** The debugger's tables. Breakpoints: u64 linear address each. */
export const DEBUG_BREAK_TABLE = DECODE_AREA + 0x4000;
export const DEBUG_BREAKS_MOST = 1024;
/** Watchpoints, 16 bytes each: u64 linear address, u32 length, u32 kind: WATCH_*. */
export const DEBUG_WATCH_TABLE = DECODE_AREA + 0x6000;
export const DEBUG_WATCHES_MOST = 256;
export const WATCH_WRITES = 1;
export const WATCH_READS = 2;
