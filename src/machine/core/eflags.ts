import { cpu } from "./cpu";
import { ATTENTION, ATT_INTR, ATT_RESUME, ATT_TRAP, EFLAGS, INTR_LINE, RESUME_ARMED, TRAP_ARMED } from "./state";
import { FL_IF, FL_IOPL, FL_ONE, FL_RF, FL_TF } from "./arch";
import { STATUS, setStatusFlags, statusFlags } from "./flags";
import { updateMode } from "./segments";

/*
 * EFLAGS as a whole, for whatever saves or restores it: frames, POPF, task switches, SYSCALL. Status flags are kept lazily
 * (state.ts, LAZY_*); everything else is in EFLAGS.
 */

/** What POPF at the lowest privilege may change; the rest depends on mode, CPL and IOPL. */
export const FL_USER: u32 = 0x8d5 | 0x00244500;

/** All of EFLAGS. */
export function readFlags(): u32 {
  return load<u32>(cpu, EFLAGS) | FL_ONE | statusFlags();
}

/** Replaces the bits of EFLAGS that `mask` selects. */
export function writeFlags(value: u32, mask: u32): void {
  const flags = (readFlags() & ~mask) | (value & mask);
  store<u32>(cpu, (flags & ~STATUS) | FL_ONE, EFLAGS);
  if ((mask & STATUS) != 0) setStatusFlags(flags);
  noticeFlags();
}

/** What a change of IF, TF, RF, AC or VM entails. */
export function noticeFlags(): void {
  const flags = load<u32>(cpu, EFLAGS);
  let set: u32 = 0;
  if ((flags & FL_IF) != 0 && atomic.load<u32>(cpu + INTR_LINE) != 0) set |= ATT_INTR;
  // A trap that was armed before TF was cleared is still to be taken (SDM vol. 3, 17.3.1.4).
  if ((flags & FL_TF) != 0 || load<u32>(cpu, TRAP_ARMED) != 0) set |= ATT_TRAP;
  if ((flags & FL_RF) != 0) {
    set |= ATT_RESUME;
    store<u32>(cpu, 0, RESUME_ARMED);
  }
  const clear: u32 = (ATT_TRAP | ATT_RESUME) & ~set;
  if ((atomic.load<u32>(cpu + ATTENTION) & clear) != 0) atomic.and<u32>(cpu + ATTENTION, ~clear);
  if ((~atomic.load<u32>(cpu + ATTENTION) & set) != 0) atomic.or<u32>(cpu + ATTENTION, set);
  updateMode();
}

export function iopl(): u32 {
  return (load<u32>(cpu, EFLAGS) & FL_IOPL) >>> 12;
}
