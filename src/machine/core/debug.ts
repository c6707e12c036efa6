import { cpu } from "./cpu";
import {
  ATTENTION,
  ATT_BREAK,
  ATT_DEBUG,
  ATT_STEP,
  ATT_WATCH,
  CPL,
  CR4,
  DEBUG_BREAKPOINT,
  DEBUG_BREAKS,
  DEBUG_BREAK_TABLE,
  DEBUG_HIT,
  DEBUG_LEFT,
  DEBUG_RING,
  DEBUG_STEPPED,
  DEBUG_WATCHES,
  DEBUG_WATCHPOINT,
  DEBUG_WATCH_SHIFT,
  DEBUG_WATCH_TABLE,
  DR,
  EXIT_DETAIL,
  HEADER,
  HEADER_TRAITS,
  MODE,
  MODE_64,
  PENDING_DEBUG,
  REPEATING,
  RIP,
  SEG_CS,
  TRAIT_LATE_CHECKS,
  WATCH,
  WATCH_DATA,
  WATCH_LATE,
  WATCH_READS,
  WATCH_WRITES,
} from "./state";
import { CR4_DE, DR6_BD, DR6_ONES, DR7_GD, DR7_ONES, V_DB, V_GP, V_UD } from "./arch";
import { raise } from "./fault";
import { cpl, segBase, updateMode } from "./segments";

/*
 * Debug registers and breakpoints (SDM vol. 3, chapter 17). While DR7 enables any, ATT_BREAK makes every instruction a block
 * of its own: execution breakpoints are looked for at its boundary, and what its accesses hit (memory.ts, while WATCH is
 * set) is reported at the next one.
 *
 * Beside them there is a debugger outside of the machine. It uses neither these registers nor INT3 nor EFLAGS.TF: run() is
 * left with EXIT_DEBUG between two instructions, and what runs in the machine can neither see that nor take it away.
 * Its breakpoints are linear addresses, looked for when a block is entered by the slow way (enter.ts), which is the only way
 * to a block that holds one: code without breakpoints runs as fast as ever. Where there is a host, only rings from DEBUG_RING
 * on are stopped at: the host's own code lies at linear addresses that a guest uses too.
 */

const DR6: usize = 6 * 8;
const DR7: usize = 7 * 8;

/** Kinds of breakpoint: DR7.R/W. */
const ON_EXECUTION: u32 = 0;
const ON_WRITE: u32 = 1;
const ON_IO: u32 = 2;
const ON_ACCESS: u32 = 3;

function dr7(): u32 {
  return <u32>load<u64>(cpu + DR7, DR);
}

/** Whether breakpoint `i` is enabled, locally or globally. */
function enabled(control: u32, i: u32): bool {
  return ((control >>> (2 * i)) & 3) != 0;
}

function kindOf(control: u32, i: u32): u32 {
  return (control >>> (16 + 4 * i)) & 3;
}

/** Decides what has to be watched, from DR7. */
export function refreshBreakpoints(): void {
  const control = dr7();
  let any = false;
  let watch: u32 = (load<u32>(HEADER, HEADER_TRAITS) & TRAIT_LATE_CHECKS) != 0 ? WATCH_LATE : 0;
  for (let i: u32 = 0; i < 4; ++i) {
    if (!enabled(control, i)) continue;
    const kind = kindOf(control, i);
    any = true;
    if (kind == ON_WRITE || kind == ON_ACCESS) watch |= WATCH_DATA;
  }
  if (load<u32>(cpu, DEBUG_WATCHES) != 0) {
    atomic.or<u32>(cpu + ATTENTION, ATT_WATCH);
    watch |= WATCH_DATA;
  } else atomic.and<u32>(cpu + ATTENTION, ~ATT_WATCH);
  if (any) atomic.or<u32>(cpu + ATTENTION, ATT_BREAK);
  else atomic.and<u32>(cpu + ATTENTION, ~ATT_BREAK);
  store<u32>(cpu, watch, WATCH);
  updateMode();
}

/** The linear address of the instruction at RIP. */
function instructionAddress(): u64 {
  const long = load<u32>(cpu, MODE) == MODE_64;
  return long ? load<u64>(cpu, RIP) : (load<u64>(cpu, RIP) + segBase(SEG_CS)) & 0xffffffff;
}

/** The DR6 bits of the execution breakpoints on the instruction at RIP. */
export function executionBreakpoint(): u32 {
  const control = dr7();
  const address = instructionAddress();
  let hits: u32 = 0;
  for (let i: u32 = 0; i < 4; ++i)
    if (enabled(control, i) && kindOf(control, i) == ON_EXECUTION && load<u64>(cpu + (i << 3), DR) == address)
      hits |= 1 << i;
  return hits;
}

/** I/O breakpoints exist with CR4.DE; a hit is reported after the instruction. */
export function watchPort(port: u32, size: u32): void {
  if ((load<u64>(cpu, CR4) & CR4_DE) == 0) return;
  const control = dr7();
  let hits: u32 = 0;
  for (let i: u32 = 0; i < 4; ++i) {
    if (!enabled(control, i) || kindOf(control, i) != ON_IO) continue;
    const length = ((control >>> (18 + 4 * i)) & 3) + 1;
    const begin = (<u32>load<u64>(cpu + (i << 3), DR)) & ~(length - 1);
    if (port < begin + length && begin < port + size) hits |= 1 << i;
  }
  if (hits == 0) return;
  store<u32>(cpu, load<u32>(cpu, PENDING_DEBUG) | hits, PENDING_DEBUG);
  atomic.or<u32>(cpu + ATTENTION, ATT_DEBUG);
}

/** #DB is about to be delivered: DR6 says why, and general detection is off for the handler. */
export function reportDebug(bits: u32): void {
  store<u64>(cpu + DR6, load<u64>(cpu + DR6, DR) | bits, DR);
  store<u64>(cpu + DR7, load<u64>(cpu + DR7, DR) & ~DR7_GD, DR);
}

/** Checks common to both directions; DR4 and DR5 are DR6 and DR7 unless CR4.DE says that they do not exist. */
function checkedIndex(index: u32): u32 {
  if (index > 7) raise(V_UD, 0);
  if (index == 4 || index == 5) {
    if ((load<u64>(cpu, CR4) & CR4_DE) != 0) raise(V_UD, 0);
    index += 2;
  }
  if (cpl() != 0) raise(V_GP, 0);
  if ((load<u64>(cpu + DR7, DR) & DR7_GD) != 0) {
    store<u64>(cpu + DR6, load<u64>(cpu + DR6, DR) | DR6_BD, DR);
    raise(V_DB, 0);
  }
  return index;
}

export function movFromDr(index: u32): u64 {
  return load<u64>(cpu + (checkedIndex(index) << 3), DR);
}

export function movToDr(index: u32, value: u64): void {
  index = checkedIndex(index);
  if (load<u32>(cpu, MODE) != MODE_64) value &= 0xffffffff;
  if (index >= 6) {
    if (value >> 32 != 0) raise(V_GP, 0);
    // Reserved bits read as ones or zeros, whatever is written.
    value = index == 6 ? (value & 0xe00f) | DR6_ONES : (value & 0xffff23ff) | DR7_ONES;
  }
  store<u64>(cpu + (index << 3), value, DR);
  refreshBreakpoints();
}

// ------------------------------------------------------------------------------------------------- the debugger outside
/** Whether what runs now is the debugger's guest. */
function inGuest(): bool {
  return load<u32>(cpu, CPL) >= load<u32>(cpu, DEBUG_RING);
}

/** Bytes from `linear` to the debugger's next breakpoint in the guest, or `bytes` if there is none within them. */
export function breakpointWithin(linear: u64, bytes: u32): u32 {
  if (!inGuest()) return bytes;
  const count = load<u32>(cpu, DEBUG_BREAKS);
  let nearest: u64 = bytes;
  for (let i: u32 = 0; i < count; ++i) {
    const distance = load<u64>(cpu + (i << 3), DEBUG_BREAK_TABLE) - linear;
    if (distance < nearest) nearest = distance;
  }
  return <u32>nearest;
}

/**
 * Whether the debugger wants to stop before the instruction at RIP, which is about to be executed; EXIT_DETAIL then says why.
 * What it has stopped at goes ahead when run() is called again.
 */
export function debuggerStops(): bool {
  if (!inGuest()) return false;
  const rip = load<u64>(cpu, RIP);
  if (load<u64>(cpu, DEBUG_LEFT) == rip) {
    store<u64>(cpu, ~(<u64>0), DEBUG_LEFT);
    return false;
  }
  let why: u32 = (atomic.load<u32>(cpu + ATTENTION) & ATT_STEP) != 0 ? DEBUG_STEPPED : 0;
  // Between two iterations of a repeated instruction its breakpoint has been passed.
  if (load<u32>(cpu, REPEATING) == 0 && breakpointWithin(instructionAddress(), 1) == 0) why |= DEBUG_BREAKPOINT;
  if (why == 0) return false;
  store<u32>(cpu, why, EXIT_DETAIL);
  store<u64>(cpu, rip, DEBUG_LEFT);
  return true;
}

/** Whether the last instruction hit a watchpoint of the debugger's; EXIT_DETAIL then says which. */
export function debuggerWatched(): bool {
  const hit = load<u32>(cpu, DEBUG_HIT);
  // What an instruction of the guest did on its way into the host is told when the guest goes on.
  if (hit == 0 || !inGuest()) return false;
  store<u32>(cpu, 0, DEBUG_HIT);
  store<u32>(cpu, DEBUG_WATCHPOINT | ((hit - 1) << DEBUG_WATCH_SHIFT), EXIT_DETAIL);
  return true;
}

/** An access has been made while the debugger has watchpoints. The first hit of an instruction counts. */
export function debuggerWatches(linear: u64, size: u32, write: bool): void {
  if (load<u32>(cpu, DEBUG_HIT) != 0 || !inGuest()) return;
  const count = load<u32>(cpu, DEBUG_WATCHES);
  for (let i: u32 = 0; i < count; ++i) {
    const at = cpu + (i << 4);
    if ((load<u32>(at, DEBUG_WATCH_TABLE + 12) & (write ? WATCH_WRITES : WATCH_READS)) == 0) continue;
    const begin = load<u64>(at, DEBUG_WATCH_TABLE);
    const length = <u64>load<u32>(at, DEBUG_WATCH_TABLE + 8);
    if (linear - begin < length || begin - linear < <u64>size) {
      store<u32>(cpu, i + 1, DEBUG_HIT);
      return;
    }
  }
}
