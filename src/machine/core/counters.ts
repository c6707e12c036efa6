import { cpu } from "./cpu";
import { R_OFFSET, R_REMAINING } from "./record";
import { BLOCK_RIP, BUDGET, BUDGET_MARK, COUNT_RING, CPL, CURRENT, INSTRUCTIONS, MODE, MODE_64 } from "./state";

/*
 * Exact instruction counts at no cost in the common case. A block is charged to BUDGET when it is entered; whoever
 * wants INSTRUCTIONS and COUNT_RING to be right turns what has been charged since BUDGET_MARK into counts, less what
 * the running block has not executed yet.
 */

/** Counts what has been executed; `ahead` instructions are charged and still to come. */
export function count(ahead: u32): void {
  const budget = load<i64>(cpu, BUDGET) + ahead;
  const executed = <u64>(load<i64>(cpu, BUDGET_MARK) - budget);
  store<i64>(cpu, budget, BUDGET_MARK);
  store<u64>(cpu, load<u64>(cpu, INSTRUCTIONS) + executed, INSTRUCTIONS);
  const ring = cpu + ((<usize>load<u32>(cpu, CPL)) << 3);
  store<u64>(ring, load<u64>(ring, COUNT_RING) + executed, COUNT_RING);
}

/** An instruction pointer as the code mode has it: 64 bits, or 32. */
// @ts-ignore: decorator
@inline
export function wrapped(rip: u64): u64 {
  return load<u32>(cpu, MODE) == MODE_64 ? rip : rip & 0xffffffff;
}

/** RIP of the instruction at `ip` of the running block. */
// @ts-ignore: decorator
@inline
export function ripOf(ip: usize): u64 {
  return wrapped(load<u64>(cpu, BLOCK_RIP) + load<u16>(ip, R_OFFSET));
}

/** Before anything that can leave the block, or look at the time, in the middle of the instruction at `ip`. */
export function pause(ip: usize): void {
  store<u32>(cpu, <u32>ip, CURRENT);
  count(load<u8>(ip, R_REMAINING));
}
