import { cpu } from "./cpu";
import { PF_PRESENT, PF_USER } from "./arch";
import { ripOf } from "./counters";
import { raisePageFault } from "./fault";
import { H_SYSTEM } from "./handlers";
import { WALK_OK, inRam, ramAddress, walk, walkPhysical } from "./paging";
import { R_HANDLER, R_REMAINING } from "./record";
import {
  ATTENTION,
  BUDGET,
  BUDGET_MARK,
  CODE_WRITTEN,
  COUNT_RING,
  COUNT_TRANSIENT,
  CURRENT,
  INSTRUCTIONS,
  LATE_ERROR,
  LATE_LINEAR,
  LATE_SAVED,
  MSR_APIC_BASE,
  REPEATING,
  RIP,
  TRANSIENT,
  TRANSIENT_MOST,
  WATCH,
  WATCH_LATE,
} from "./state";

/*
 * A processor that checks late: most of Intel's out-of-order ones up to 2018 (CVE-2017-5754, "Meltdown"), and none of AMD's.
 * A trait of the machine (Machine.create), not there unless it is asked for. See docs/late-checks.md.
 *
 * A user's load of a page that is present and a supervisor's faults, as it does on any processor. But this one finds out late:
 * the load has got its datum, and the instructions behind it have begun with that. All they did is thrown away when the fault is
 * delivered; so it is here. When translateAccess() is about to raise such a fault, everything that it would be told from is put
 * aside (openWindow) and the load gets its datum. run() goes on as always, and what must not happen any more comes here instead
 * (closeWindow): all is as it was, and the fault is raised. What was in between leaves no trace but lines in the cache.
 *
 * In the window
 *   - no instruction of the system, no LOCKed one, fence, port or device: each ends it, as does any fault but another of its kind;
 *   - stores go nowhere, not even to the loads behind them;
 *   - translations come from the TLB or from a walk that leaves no mark, in the TLB or in the tables;
 *   - nothing that waits at an instruction boundary is looked at, neither interrupts nor a debugger.
 */

/** What the first bytes of the state (general registers to time) are followed by in LATE_SAVED. */
const S_BUDGET: u32 = ATTENTION;
const S_INSTRUCTIONS: u32 = ATTENTION + 8;
const S_RING3: u32 = ATTENTION + 16;
const S_REPEATING: u32 = ATTENTION + 24;
const S_CODE_WRITTEN: u32 = ATTENTION + 28;
const RING3: usize = COUNT_RING + 3 * 8;

/** Whether the instruction that executes is one of the program, not an event's delivery nor the system's. */
function isOrdinary(): bool {
  const current: usize = load<u32>(cpu, CURRENT);
  return current != 0 && <i32>load<u16>(current, R_HANDLER) != H_SYSTEM;
}

/** Whether the last walk has led to memory rather than to a device. */
function ledToMemory(): bool {
  if (!inRam(walkPhysical & ~(<u64>0xfff), 4096)) return false;
  const apic = load<u64>(cpu, MSR_APIC_BASE);
  return (apic & 0x800) == 0 || ((apic ^ walkPhysical) & 0x000000fffffff000) != 0;
}

/** Whether an access that was denied with `error` is a user's load, denied for nothing but the U/S bit. */
// @ts-ignore: decorator
@inline
function isLate(access: u32, error: u32): bool {
  return access == PF_USER && error == (PF_PRESENT | PF_USER);
}

/** The tables forbid an access: raises the fault, or returns where its datum is to be loaded from until the fault is raised. */
export function denied(linear: u64, access: u32, error: u32): u32 {
  if (
    isLate(access, error) &&
    (load<u32>(cpu, WATCH) & WATCH_LATE) != 0 &&
    isOrdinary() &&
    walk(linear, 0, true) == WALK_OK &&
    ledToMemory()
  ) {
    openWindow(linear, error);
    return ramAddress(walkPhysical);
  }
  raisePageFault(linear, error);
  return 0;
}

/** Translates in the window what is not in the TLB, without a mark anywhere; what cannot be ends the window. */
export function translateTransient(linear: u64, access: u32): u32 {
  let error = walk(linear, access, true);
  if (isLate(access, error)) error = walk(linear, 0, true);
  if (error != WALK_OK || !ledToMemory()) closeWindow();
  return ramAddress(walkPhysical);
}

/** Puts aside the state that run() would deliver the fault from (see its recover()), and lets it go on for a while. */
function openWindow(linear: u64, error: u32): void {
  const current: usize = load<u32>(cpu, CURRENT);
  const remaining = <i64>load<u8>(current, R_REMAINING);
  store<u64>(cpu, ripOf(current), RIP);
  memory.copy(cpu + LATE_SAVED, cpu, ATTENTION);
  const saved = cpu + LATE_SAVED;
  store<i64>(saved, load<i64>(cpu, BUDGET) + remaining, S_BUDGET);
  store<u64>(saved, load<u64>(cpu, INSTRUCTIONS), S_INSTRUCTIONS);
  store<u64>(saved, load<u64>(cpu + RING3), S_RING3);
  store<u32>(saved, load<u32>(cpu, REPEATING), S_REPEATING);
  store<u32>(saved, load<u32>(cpu, CODE_WRITTEN), S_CODE_WRITTEN);
  store<u64>(cpu, linear, LATE_LINEAR);
  store<u32>(cpu, error, LATE_ERROR);
  store<u64>(cpu, load<u64>(cpu, COUNT_TRANSIENT) + 1, COUNT_TRANSIENT);
  // The rest of this block, the load included, is charged already.
  store<i64>(cpu, TRANSIENT_MOST + 1 - remaining, BUDGET);
  store<u32>(cpu, 1, TRANSIENT);
}

/** The fault has caught up. Never returns. */
export function closeWindow(): void {
  const saved = cpu + LATE_SAVED;
  memory.copy(cpu, saved, ATTENTION);
  store<i64>(cpu, load<i64>(saved, S_BUDGET), BUDGET);
  store<i64>(cpu, load<i64>(saved, S_BUDGET), BUDGET_MARK);
  store<u64>(cpu, load<u64>(saved, S_INSTRUCTIONS), INSTRUCTIONS);
  store<u64>(cpu + RING3, load<u64>(saved, S_RING3));
  store<u32>(cpu, load<u32>(saved, S_REPEATING), REPEATING);
  store<u32>(cpu, load<u32>(saved, S_CODE_WRITTEN), CODE_WRITTEN);
  // RIP and the counts are those of the load; its block may have been forgotten.
  store<u32>(cpu, 0, CURRENT);
  store<u32>(cpu, 0, TRANSIENT);
  raisePageFault(load<u64>(cpu, LATE_LINEAR), load<u32>(cpu, LATE_ERROR));
}

/** Whether a window is open. */
// @ts-ignore: decorator
@inline
export function isTransient(): bool {
  return load<u32>(cpu, TRANSIENT) != 0;
}

/** Before what can only be done in earnest. */
// @ts-ignore: decorator
@inline
export function endTransient(): void {
  if (isTransient()) closeWindow();
}
