import { cpu } from "./cpu";
import { emptyCache } from "./cache";
import {
  APIC_ID,
  ATTENTION,
  ATT_FLUSH,
  ATT_HALTED,
  ATT_NMI,
  CPL,
  CPU_INDEX,
  CR0,
  DELIVERING,
  DR,
  EFLAGS,
  EXTERNAL,
  FAULT_VECTOR,
  GDTR_LIMIT,
  GPR,
  HALTED,
  IDTR_LIMIT,
  IDLE_TICKS,
  LAZY_RESULT,
  MSR_APIC_BASE,
  MSR_PAT,
  NEXT_RIP,
  NMI_BLOCKED,
  NONE,
  PENDING_DEBUG,
  REPEATING,
  RESUME_ARMED,
  RIP,
  SEG_CS,
  SEG_ES,
  SEG_GS,
  SEG_LDTR,
  SEG_TR,
  SHADOW_STI,
  SHADOW_USED,
  SIPI_VECTOR,
  STATE_SIZE,
  TRAP_ARMED,
  TSC_OFFSET,
  WAIT_SIPI,
  WATCH,
  WATCH_LATE,
} from "./state";
import {
  AR_PRESENT,
  AR_TYPE_SHIFT,
  CR0_CD,
  CR0_ET,
  CR0_NW,
  DR6_ONES,
  DR7_ONES,
  FL_ONE,
  TYPE_LDT,
  TYPE_TSS_BUSY,
} from "./arch";
import { CPUID_SIGNATURE } from "./cpuid";
import { refreshBreakpoints } from "./debug";
import { noticeFlags } from "./eflags";
import { refreshSegment, setReal, setSegment, updateMode } from "./segments";
import { resetTlb } from "./tlb";

/*
 * Power-on, INIT and start-up states (SDM vol. 3, table 9-1), and taking notice of state that was written from outside.
 */

/** What INIT and reset have in common. */
function initialState(): void {
  for (let i: u32 = 0; i < 16; ++i) store<u64>(cpu + (i << 3), 0, GPR);
  store<u64>(cpu + 2 * 8, CPUID_SIGNATURE, GPR);
  store<u64>(cpu, 0xfff0, RIP);
  store<u64>(cpu, 0xfff0, NEXT_RIP);
  store<u32>(cpu, FL_ONE, EFLAGS);
  // The status flags are 0: a result that is neither zero nor negative nor of even parity.
  store<i64>(cpu, 1, LAZY_RESULT);
  store<u32>(cpu, 0, CPL);
  for (let seg: u32 = SEG_ES; seg <= <u32>SEG_GS; ++seg) {
    setSegment(seg, 0, 0, 0xffff, 0);
    setReal(seg, 0);
  }
  setReal(SEG_CS, 0xf000);
  store<u64>(cpu, CR0_CD | CR0_NW | CR0_ET, CR0);
  for (let i: u32 = 0; i < 4; ++i) store<u64>(cpu + (i << 3), 0, DR);
  store<u64>(cpu + 6 * 8, DR6_ONES, DR);
  store<u64>(cpu + 7 * 8, DR7_ONES, DR);
  store<u32>(cpu, 0xffff, GDTR_LIMIT);
  store<u32>(cpu, 0xffff, IDTR_LIMIT);
  setSegment(SEG_LDTR, 0, 0, 0xffff, AR_PRESENT | (TYPE_LDT << AR_TYPE_SHIFT));
  setSegment(SEG_TR, 0, 0, 0xffff, AR_PRESENT | (TYPE_TSS_BUSY << AR_TYPE_SHIFT));
  store<u32>(cpu, <u32>NONE, FAULT_VECTOR);
  store<u32>(cpu, <u32>NONE, DELIVERING);
  resetTlb();
  refresh();
}

/** Power-on reset: everything, counters and time included. Processors other than the first wait for a start-up IPI. */
export function resetProcessor(): void {
  const index = load<u32>(cpu, CPU_INDEX);
  const apic = load<u32>(cpu, APIC_ID);
  memory.fill(cpu, 0, STATE_SIZE);
  store<u32>(cpu, index, CPU_INDEX);
  store<u32>(cpu, apic, APIC_ID);
  store<u64>(cpu, 0xfee00800 | (index == 0 ? 0x100 : 0), MSR_APIC_BASE);
  store<u64>(cpu, 0x0007040600070406, MSR_PAT);
  initialState();
  if ((load<u32>(cpu, WATCH) & WATCH_LATE) != 0) emptyCache();
  if (index != 0) {
    store<u32>(cpu, 1, WAIT_SIPI);
    atomic.or<u32>(cpu + ATTENTION, ATT_HALTED);
  }
}

/** INIT: the same but for counters, time and the MSRs that survive it. */
export function initProcessor(): void {
  const apicBase = load<u64>(cpu, MSR_APIC_BASE);
  const pat = load<u64>(cpu, MSR_PAT);
  const offset = load<u64>(cpu, TSC_OFFSET);
  const idle = load<u64>(cpu, IDLE_TICKS);
  // Registers and MSRs come first in the state; time and counters lie behind.
  memory.fill(cpu, 0, <usize>ATTENTION);
  store<u32>(cpu, 0, HALTED);
  store<u32>(cpu, 0, PENDING_DEBUG);
  store<u32>(cpu, 0, NMI_BLOCKED);
  store<u32>(cpu, 0, EXTERNAL);
  store<u32>(cpu, 0, SHADOW_USED);
  store<u32>(cpu, 0, SHADOW_STI);
  store<u32>(cpu, 0, TRAP_ARMED);
  store<u32>(cpu, 0, RESUME_ARMED);
  store<u32>(cpu, 0, REPEATING);
  store<u64>(cpu, apicBase, MSR_APIC_BASE);
  store<u64>(cpu, pat, MSR_PAT);
  store<u64>(cpu, offset, TSC_OFFSET);
  store<u64>(cpu, idle, IDLE_TICKS);
  // Not by a store: the start-up IPI may be on its way, from another thread.
  atomic.and<u32>(cpu + ATTENTION, ~(ATT_HALTED | ATT_NMI | ATT_FLUSH));
  initialState();
}

/** A start-up IPI: real mode at SIPI_VECTOR:0000. */
export function startProcessor(): void {
  store<u32>(cpu, 0, WAIT_SIPI);
  setReal(SEG_CS, (load<u32>(cpu, SIPI_VECTOR) & 0xff) << 8);
  store<u64>(cpu, 0, RIP);
  store<u64>(cpu, 0, NEXT_RIP);
  updateMode();
}

/** State was written from outside: derive what hangs on it. */
export function refresh(): void {
  for (let seg: u32 = SEG_ES; seg <= <u32>SEG_GS; ++seg) refreshSegment(seg);
  if (load<u32>(cpu, HALTED) != 0) atomic.or<u32>(cpu + ATTENTION, ATT_HALTED);
  refreshBreakpoints();
  noticeFlags();
}
