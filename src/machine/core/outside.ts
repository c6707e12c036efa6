import { PF_FETCH, PF_USER, PF_WRITE } from "./arch";
import { readFlags, writeFlags } from "./eflags";
import { WALK_OK, walk, walkPhysical } from "./paging";
import { flushAll, flushPage, isCanonical } from "./tlb";

/*
 * What the machine around the core calls between runs, besides run() itself: exports of the module.
 */

export { refresh, resetProcessor as reset } from "./reset";

/** Drops TLB entries, the global ones too if `global` is not 0. */
export function flushTlb(global: i32): void {
  flushAll(global != 0);
}

/** Drops the TLB entries of one page, as INVLPG does. */
export function invalidate(linear: i64): void {
  flushPage(<u64>linear);
}

/** The whole of RFLAGS. */
export function flags(): i64 {
  return <i64>readFlags();
}

/** Replaces the whole of RFLAGS. */
export function setFlags(value: i64): void {
  writeFlags(<u32>value, 0x003f7fd5);
}

/**
 * Where an access would go by the page tables as they are now, without TLB and without side effects: the physical
 * address, or -1 for a fault.
 */
export function translate(linear: i64, write: i32, user: i32, execute: i32): i64 {
  if (!isCanonical(<u64>linear)) return -1;
  const access = (write != 0 ? PF_WRITE : 0) | (user != 0 ? PF_USER : 0) | (execute != 0 ? PF_FETCH : 0);
  return walk(<u64>linear, access, true) == WALK_OK ? <i64>walkPhysical : -1;
}
