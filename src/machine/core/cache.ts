import { cpu } from "./cpu";
import { isTransient } from "./late";
import {
  BUDGET,
  BUDGET_MARK,
  CACHE_AREA,
  CACHE_LINE_SHIFT,
  CACHE_MISS_TICKS,
  CACHE_SETS,
  CACHE_WAYS,
  COUNT_CACHE_MISS,
  CPU_AREA,
  CPU_STRIDE,
  HEADER,
  HEADER_CPUS,
  IDLE_TICKS,
} from "./state";

/*
 * The data cache of a processor that checks late (late.ts): which lines of physical memory it holds, and nothing of what is in
 * them, since all that a program can tell is how long a load takes. CACHE_SETS sets of CACHE_WAYS ways, the least recently used
 * goes. What the processor itself loads (tables, descriptors, stacks of handlers) and instructions go past it. So do other
 * processors' stores: only CLFLUSH reaches the caches of all.
 *
 * A way is a u32: the line's number plus 1, 0 when it is empty. The ways of a set are in the order of use, the latest first.
 */

const SET_BYTES: u32 = CACHE_WAYS * 4;

// @ts-ignore: decorator
@inline
function setOf(area: usize, line: u32): usize {
  return area + CACHE_AREA + (line & (CACHE_SETS - 1)) * SET_BYTES;
}

/** Takes the line with this number to the front of its set; returns whether it was in the cache. */
function touch(line: u32): bool {
  const set = setOf(cpu, line);
  const tag = line + 1;
  let at: u32 = 0;
  while (at < SET_BYTES - 4 && load<u32>(set + at) != tag) at += 4;
  const held = load<u32>(set + at) == tag;
  memory.copy(set + 4, set, at);
  store<u32>(set, tag);
  return held;
}

/**
 * A load or a store of physical memory. A load waits for a line that has to come from memory, a store does not. The time counts
 * as time, not as instructions; and it is taken from the budget, so that whoever waits for a moment is not late.
 */
export function touchCache(physical: u32, size: u32, waits: bool): void {
  const last = (physical + size - 1) >>> CACHE_LINE_SHIFT;
  for (let line = physical >>> CACHE_LINE_SHIFT; line <= last; ++line) {
    if (touch(line)) continue;
    store<u64>(cpu, load<u64>(cpu, COUNT_CACHE_MISS) + 1, COUNT_CACHE_MISS);
    // What is begun in vain (late.ts) takes no time of its own.
    if (!waits || isTransient()) continue;
    store<u64>(cpu, load<u64>(cpu, IDLE_TICKS) + CACHE_MISS_TICKS, IDLE_TICKS);
    store<i64>(cpu, load<i64>(cpu, BUDGET) - CACHE_MISS_TICKS, BUDGET);
    store<i64>(cpu, load<i64>(cpu, BUDGET_MARK) - CACHE_MISS_TICKS, BUDGET_MARK);
  }
}

/** CLFLUSH: drops a line from the caches of all processors. */
export function dropLine(physical: u32): void {
  const line = physical >>> CACHE_LINE_SHIFT;
  const cpus = load<u32>(HEADER, HEADER_CPUS);
  for (let i: u32 = 0; i < cpus; ++i) {
    const set = setOf(CPU_AREA + i * CPU_STRIDE, line);
    for (let at: u32 = 0; at < SET_BYTES; at += 4) if (load<u32>(set + at) == line + 1) store<u32>(set + at, 0);
  }
}

/** INVD, WBINVD and reset: this processor's cache is empty. */
export function emptyCache(): void {
  memory.fill(cpu + CACHE_AREA, 0, CACHE_SETS * SET_BYTES);
}
