import { cpu } from "./cpu";
import { V_GP, V_UD } from "./arch";
import { JUMP_CACHE, countWithin, cutBlock, findBlock, isGate, resetBlocks } from "./blocks";
import { checkTarget } from "./branch";
import { count } from "./counters";
import { breakpointWithin, debuggerStops } from "./debug";
import { raise } from "./fault";
import { boundary, endResume } from "./interrupts";
import { endTransient, isTransient } from "./late";
import { fetchPage } from "./memory";
import { stackWidth } from "./operand";
import { inRam } from "./paging";
import * as R from "./record";
import {
  ATTENTION,
  ATT_SINGLE,
  BLOCK_RIP,
  BUDGET,
  CPL,
  CURRENT,
  DEBUG_BREAKS,
  EXIT_BUDGET,
  EXIT_DEBUG,
  EXIT_DETAIL,
  EXIT_GATE,
  EXIT_REASON,
  FETCH_EPOCH,
  GATE_LEFT,
  HEADER,
  HEADER_RAM_BASE,
  JUMP_EPOCH,
  JUMP_FETCH_EPOCH,
  JUMP_PROFILES,
  JUMP_PROFILE_NEXT,
  JUMP_TAG,
  MODE,
  MODE_64,
  REPEATING,
  RIP,
  SEG,
  SEG_BASE,
  SEG_CS,
  SEG_LIMIT,
  SEG_STRIDE,
  TLB_GENERATION,
} from "./state";
import { ADDEND, PAGE_MASK, SLOT, TAG_EXECUTE, TLB_SUPERVISOR, TLB_USER, isCanonical } from "./tlb";

/*
 * From RIP to a block. The jump cache answers in the common case: an entry says that this RIP, under this tag, is that
 * block, whose page's version is this. The tag stands for everything else that matters: translations of instruction
 * addresses (FETCH_EPOCH), code mode, CPL, CS's base and limit, the stack's width.
 */

// An entry of the jump cache, 32 bytes.
const J_RIP = 0;
const J_TAG = 8;
/** First record. */
const J_RECORDS = 12;
const J_META = 16;
const J_VERSION = 20;
const J_COUNT = 24;

// @ts-ignore: decorator
@inline
function slotOf(rip: u64): usize {
  return cpu + JUMP_CACHE + ((((<u32>rip) ^ ((<u32>rip) >>> 12)) & 0xfff) << 5);
}

/**
 * The first record of the block at `rip`, which is charged; 0 when run() is to be left. `ip`: the branch that leads
 * there, to which a target that cannot be belongs; 0 when there is none.
 */
// @ts-ignore: decorator
@inline
export function enter(ip: usize, rip: u64): usize {
  const entry = slotOf(rip);
  if (
    load<u64>(entry, J_RIP) == rip &&
    load<u32>(entry, J_TAG) == load<u32>(cpu, JUMP_TAG) &&
    load<u32>(load<u32>(entry, J_META)) == load<u32>(entry, J_VERSION) &&
    load<u32>(cpu, ATTENTION) == 0
  ) {
    const left = load<i64>(cpu, BUDGET) - <i64>load<u32>(entry, J_COUNT);
    if (left >= 0) {
      store<i64>(cpu, left, BUDGET);
      store<u64>(cpu, rip, BLOCK_RIP);
      return load<u32>(entry, J_RECORDS);
    }
  }
  return enterFrom(ip, rip);
}

export function enterFrom(ip: usize, rip: u64): usize {
  if (ip != 0) checkTarget(ip, rip);
  store<u64>(cpu, rip, RIP);
  store<u32>(cpu, 0, CURRENT);
  return enterHere(false);
}

// A profile of the code that can be executed: base and limit of CS, mode, CPL and stack width; 16 bytes each.
const PROFILES: u32 = 6;

/** Recomputes JUMP_TAG; to be called after anything that may have changed what it stands for. */
export function refreshTag(): void {
  const mode = load<u32>(cpu, MODE);
  const cs = cpu + SEG_CS * SEG_STRIDE;
  const base = mode == MODE_64 ? 0 : load<u32>(cs, SEG + SEG_BASE);
  const limit = mode == MODE_64 ? 0 : load<u32>(cs, SEG + SEG_LIMIT);
  const traits = 0x100 | (load<u32>(cpu, CPL) << 4) | (stackWidth() == 2 ? 0 : R.BLOCK_STACK32) | mode;
  if (load<u32>(cpu, FETCH_EPOCH) != load<u32>(cpu, JUMP_FETCH_EPOCH)) newEpoch();

  let profile: u32 = 0;
  for (; profile < PROFILES; ++profile) {
    const at = cpu + (profile << 4);
    if (
      load<u32>(at, JUMP_PROFILES) == base &&
      load<u32>(at, JUMP_PROFILES + 4) == limit &&
      load<u32>(at, JUMP_PROFILES + 8) == traits
    )
      break;
  }
  if (profile == PROFILES) {
    // The oldest goes, and whatever was entered under its number must not be taken for the new one's.
    profile = load<u32>(cpu, JUMP_PROFILE_NEXT);
    store<u32>(cpu, profile + 1 == PROFILES ? 0 : profile + 1, JUMP_PROFILE_NEXT);
    const at = cpu + (profile << 4);
    if (load<u32>(at, JUMP_PROFILES + 8) != 0) newEpoch();
    store<u32>(at, base, JUMP_PROFILES);
    store<u32>(at, limit, JUMP_PROFILES + 4);
    store<u32>(at, traits, JUMP_PROFILES + 8);
  }
  store<u32>(cpu, (load<u32>(cpu, JUMP_EPOCH) << 3) | (profile + 1), JUMP_TAG);
}

function newEpoch(): void {
  store<u32>(cpu, load<u32>(cpu, FETCH_EPOCH), JUMP_FETCH_EPOCH);
  const epoch = load<u32>(cpu, JUMP_EPOCH) + 1;
  // The tag has room for 2^29; before numbers come round, what bears the old ones is thrown away.
  if (epoch == 0x20000000) resetBlocks();
  store<u32>(cpu, epoch & 0x1fffffff, JUMP_EPOCH);
}

function leave(reason: u32): usize {
  count(0);
  store<u32>(cpu, reason, EXIT_REASON);
  return 0;
}

/** Physical address of an instruction byte: from the TLB at once, or by fetchPage, which may fault. */
// @ts-ignore: decorator
@inline
function physicalOf(linear: u64): u64 {
  const half = load<u32>(cpu, CPL) == 3 ? TLB_USER : TLB_SUPERVISOR;
  const entry = <u32>cpu + half + ((<u32>(linear >> 7)) & SLOT);
  if (load<u64>(entry, TAG_EXECUTE) != ((linear & PAGE_MASK) | load<u64>(cpu, TLB_GENERATION)))
    return fetchPage(linear);
  // In 32 bits: a load in a wider expression would be of that width.
  const address: u32 = load<u32>(entry, ADDEND) + <u32>linear;
  return <u64>(address - load<u32>(HEADER, HEADER_RAM_BASE));
}

/** Whether the debugger has a breakpoint on any of the block's bytes: such a block is not to be found by the jump cache. */
function holdsBreakpoint(block: usize, linear: u64): bool {
  const bytes = <u32>load<u16>(block, R.BLOCK_BYTES);
  return breakpointWithin(linear, bytes) < bytes;
}

/** How many of its instructions come before the next breakpoint; the first has been looked at. */
function untilBreakpoint(block: usize, linear: u64): u32 {
  const bytes = <u32>load<u16>(block, R.BLOCK_BYTES);
  return max(1, countWithin(block, breakpointWithin(linear + 1, bytes - 1) + 1));
}

/**
 * Enters the block at RIP with everything that can happen at an instruction boundary; CURRENT is 0. `passing`: the
 * instruction is the one that a gate stands on, whose host function has run: it is executed whatever waits.
 */
export function enterHere(passing: bool): usize {
  const budget = load<i64>(cpu, BUDGET);
  if (budget <= 0) {
    endTransient();
    endResume();
    return leave(EXIT_BUDGET);
  }
  let most: u32 = budget < 0xffff ? <u32>budget : 0xffff;
  const transient = isTransient();
  if (transient) {
    // Whatever waits, waits for the fault.
  } else if (!passing && atomic.load<u32>(cpu + ATTENTION) != 0) {
    count(0);
    if (boundary()) return 0;
    refreshTag();
    if ((atomic.load<u32>(cpu + ATTENTION) & ATT_SINGLE) != 0) most = 1;
  } else if (!passing && load<u32>(cpu, DEBUG_BREAKS) != 0 && debuggerStops()) return leave(EXIT_DEBUG);
  const rip = load<u64>(cpu, RIP);
  const mode = load<u32>(cpu, MODE);
  let linear = rip;
  let room: u64 = ~(<u64>0);
  if (mode != MODE_64) {
    const cs = cpu + SEG_CS * SEG_STRIDE;
    const limit = <u64>load<u32>(cs, SEG + SEG_LIMIT);
    if (rip > limit) raise(V_GP, 0);
    room = limit - rip + 1;
    linear = (rip + load<u64>(cs, SEG + SEG_BASE)) & 0xffffffff;
  } else if (!isCanonical(rip)) raise(V_GP, 0);

  const physical = physicalOf(linear);
  if (!inRam(physical, 1)) raise(V_UD, 0);
  if (load<u32>(cpu, CPL) == 0 && isGate(<u32>physical)) {
    if (!passing) {
      store<u32>(cpu, <u32>physical, EXIT_DETAIL);
      store<u64>(cpu, rip, GATE_LEFT);
      return leave(EXIT_GATE);
    }
    most = 1;
  }
  const key = mode | (stackWidth() == 2 ? 0 : R.BLOCK_STACK32);
  let block = findBlock(<u32>physical, key, linear, room);
  let instructions = <u32>load<u16>(block, R.BLOCK_COUNT);
  const broken = load<u32>(cpu, DEBUG_BREAKS) != 0 && holdsBreakpoint(block, linear);
  if (broken) most = min(most, untilBreakpoint(block, linear));
  if (<u64>load<u16>(block, R.BLOCK_BYTES) > room) {
    // CS's limit lies within the block.
    const within = countWithin(block, room);
    if (within == 0) raise(V_GP, 0);
    most = min(most, within);
  } else if (!passing && !broken && !transient) {
    const entry = slotOf(rip);
    store<u64>(entry, rip, J_RIP);
    store<u32>(entry, load<u32>(cpu, JUMP_TAG), J_TAG);
    store<u32>(entry, <u32>block + R.RECORD_SIZE, J_RECORDS);
    store<u32>(entry, load<u32>(block, R.BLOCK_META), J_META);
    store<u32>(entry, load<u32>(block, R.BLOCK_VERSION), J_VERSION);
    store<u32>(entry, instructions, J_COUNT);
  }
  if (instructions > most) {
    block = cutBlock(block, most);
    instructions = most;
  }
  store<i64>(cpu, budget - instructions, BUDGET);
  store<u64>(cpu, rip, BLOCK_RIP);
  store<u32>(cpu, 0, REPEATING);
  return block + R.RECORD_SIZE;
}
