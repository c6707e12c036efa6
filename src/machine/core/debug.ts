import { cpu } from "./cpu";
import { ATTENTION, ATT_BREAK, ATT_DEBUG, CR4, DR, MODE, MODE_64, PENDING_DEBUG, RIP, SEG_CS, WATCH } from "./state";
import { CR4_DE, DR6_BD, DR6_ONES, DR7_GD, DR7_ONES, V_DB, V_GP, V_UD } from "./arch";
import { raise } from "./fault";
import { cpl, segBase, updateMode } from "./segments";

/*
 * Debug registers and breakpoints (SDM vol. 3, chapter 17). While DR7 enables any, ATT_BREAK makes every instruction a block
 * of its own: execution breakpoints are looked for at its boundary, and what its accesses hit (memory.ts, while WATCH is
 * set) is reported at the next one.
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
  let data: u32 = 0;
  for (let i: u32 = 0; i < 4; ++i) {
    if (!enabled(control, i)) continue;
    const kind = kindOf(control, i);
    any = true;
    if (kind == ON_WRITE || kind == ON_ACCESS) data = 1;
  }
  if (any) atomic.or<u32>(cpu + ATTENTION, ATT_BREAK);
  else atomic.and<u32>(cpu + ATTENTION, ~ATT_BREAK);
  store<u32>(cpu, data, WATCH);
  updateMode();
}

/** The DR6 bits of the execution breakpoints on the instruction at RIP. */
export function executionBreakpoint(): u32 {
  const control = dr7();
  const long = load<u32>(cpu, MODE) == MODE_64;
  const address = long ? load<u64>(cpu, RIP) : (load<u64>(cpu, RIP) + segBase(SEG_CS)) & 0xffffffff;
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
