import { busInterruptAcknowledge, cpu } from "./cpu";
import {
  ATTENTION,
  ATT_BREAK,
  ATT_DEBUG,
  ATT_FLUSH,
  ATT_HALTED,
  ATT_INIT,
  ATT_INTR,
  ATT_NMI,
  ATT_SHADOW,
  ATT_SIPI,
  ATT_STEP,
  ATT_STOP,
  COUNT_INTERRUPT,
  CPU_INDEX,
  DEBUG_BREAKS,
  DEBUG_HIT,
  DELIVERING,
  EFLAGS,
  EXIT_DEBUG,
  EXIT_DETAIL,
  EXIT_HALT,
  EXIT_REASON,
  EXIT_SHUTDOWN,
  EXIT_STOP,
  EXTERNAL,
  FAULT_ERROR,
  FAULT_HAS_ERROR,
  FAULT_VECTOR,
  HALTED,
  INTR_LINE,
  NEXT_RIP,
  NMI_BLOCKED,
  NONE,
  PENDING_DEBUG,
  REPEATING,
  RESUME_ARMED,
  RIP,
  SHADOW_STI,
  SHADOW_USED,
  TRAP_ARMED,
  WAIT_SIPI,
} from "./state";
import { DR6_BS, FL_IF, FL_RF, FL_TF, V_DB, V_DF, V_NMI, V_PF, V_TS } from "./arch";
import { debuggerStops, debuggerWatched, executionBreakpoint, reportDebug } from "./debug";
import { KIND_EXCEPTION, KIND_EXTERNAL, deliver, flagsImage } from "./deliver";
import { noticeFlags } from "./eflags";
import { initProcessor, startProcessor } from "./reset";
import { dropCodeWrites, flushAll } from "./tlb";

/*
 * Events: faults on their way, and what is decided between two instructions (SDM vol. 3, 6.9 and 6.15).
 */

/** HALTED: not, by HLT, by a triple fault. */
export const HALT_NONE: u32 = 0;
export const HALT_HLT: u32 = 1;
export const HALT_SHUTDOWN: u32 = 2;

/** Contributory exceptions: #DE, #TS, #NP, #SS, #GP (SDM vol. 3, table 6-4). */
function contributory(vector: u32): bool {
  return vector == 0 || (vector >= V_TS && vector < V_PF);
}

/** Delivers the fault that raise() recorded; called by run() after the unwinding. RIP is that of the instruction. */
export function deliverPendingFault(): void {
  let vector = load<u32>(cpu, FAULT_VECTOR);
  let error = load<u32>(cpu, FAULT_ERROR);
  let hasError = load<u32>(cpu, FAULT_HAS_ERROR) != 0;
  store<u32>(cpu, <u32>NONE, FAULT_VECTOR);
  const first = load<u32>(cpu, DELIVERING);
  if (first != <u32>NONE) {
    const bad = contributory(vector) || vector == V_PF;
    if (first == V_DF && bad) {
      shutDown(vector);
      return;
    }
    if ((first == V_PF && bad) || (contributory(first) && contributory(vector))) {
      vector = V_DF;
      error = 0;
      hasError = true;
    }
  }
  store<u32>(cpu, vector, DELIVERING);
  const rip = load<u64>(cpu, RIP);
  // A fault restarts its instruction, past any breakpoint on it. A double fault is an abort.
  if (vector == V_DB) reportDebug(0);
  // What it had already hit will be hit again.
  store<u32>(cpu, 0, PENDING_DEBUG);
  store<u32>(cpu, 0, DEBUG_HIT);
  deliver(vector, KIND_EXCEPTION, hasError, error, rip, flagsImage(vector != V_DF));
  store<u32>(cpu, <u32>NONE, DELIVERING);
  store<u64>(cpu, load<u64>(cpu, NEXT_RIP), RIP);
}

/** A triple fault. The processor stays shut down until INIT or reset. */
function shutDown(vector: u32): void {
  store<u32>(cpu, <u32>NONE, DELIVERING);
  store<u32>(cpu, 0, EXTERNAL);
  store<u32>(cpu, HALT_SHUTDOWN, HALTED);
  store<u32>(cpu, vector, EXIT_DETAIL);
  atomic.or<u32>(cpu + ATTENTION, ATT_HALTED);
}

/** INT n, INT3, INTO, INT1 (`kind` 0..3): the frame holds the address of the next instruction. */
export function softwareInterrupt(vector: u32, kind: u32): void {
  deliver(vector, kind, false, 0, load<u64>(cpu, NEXT_RIP), flagsImage(false));
}

/**
 * EFLAGS.RF lasts for one instruction; a repeated one is over with its last iteration (SDM vol. 3, 17.3.1.1). Called when
 * an instruction may just have been completed.
 */
export function endResume(): void {
  if (load<u32>(cpu, RESUME_ARMED) == 0 || load<u32>(cpu, REPEATING) != 0) return;
  store<u32>(cpu, 0, RESUME_ARMED);
  store<u32>(cpu, load<u32>(cpu, EFLAGS) & ~FL_RF, EFLAGS);
  noticeFlags();
}

/**
 * Delivers an event that lies between two instructions, or between two iterations of one. For an interrupt there the image
 * of the flags has RF set: a breakpoint on the instruction was passed when it began. (For a trap too, says Intel, SDM
 * vol. 3, 17.3.1.1; AMD's processors, which the tests run on, do not.)
 */
function deliverHere(vector: u32, kind: u32): void {
  store<u32>(cpu, HALT_NONE, HALTED);
  if (kind == KIND_EXCEPTION) store<u32>(cpu, vector, DELIVERING);
  const interrupted = kind == KIND_EXTERNAL && load<u32>(cpu, REPEATING) != 0;
  const resume = interrupted || (load<u32>(cpu, EFLAGS) & FL_RF) != 0;
  deliver(vector, kind, false, 0, load<u64>(cpu, RIP), flagsImage(resume));
  store<u32>(cpu, <u32>NONE, DELIVERING);
  store<u64>(cpu, load<u64>(cpu, NEXT_RIP), RIP);
}

function clearAttention(bits: u32): void {
  atomic.and<u32>(cpu + ATTENTION, ~bits);
}

function leave(reason: u32): bool {
  store<u32>(cpu, reason, EXIT_REASON);
  return true;
}

/**
 * Called between two instructions while ATTENTION is not 0; RIP is the next one's. True: leave run(), EXIT_REASON says
 * why. False: execute at least one instruction from RIP (it may have changed), and exactly one, then call again, if
 * ATTENTION & ATT_SINGLE. It is to be called only when the budget allows that instruction.
 */
export function boundary(): bool {
  endResume();
  for (;;) {
    const attention = atomic.load<u32>(cpu + ATTENTION);
    if ((attention & ATT_INIT) != 0) {
      clearAttention(ATT_INIT);
      initProcessor();
      if (load<u32>(cpu, CPU_INDEX) != 0) {
        store<u32>(cpu, 1, WAIT_SIPI);
        atomic.or<u32>(cpu + ATTENTION, ATT_HALTED);
      }
      continue;
    }
    if ((attention & ATT_STOP) != 0) {
      clearAttention(ATT_STOP);
      return leave(EXIT_STOP);
    }
    if (load<u32>(cpu, WAIT_SIPI) != 0) {
      if ((attention & ATT_SIPI) == 0) return leave(EXIT_HALT);
      clearAttention(ATT_SIPI | ATT_HALTED);
      startProcessor();
      continue;
    }
    // A start-up IPI to a processor that does not wait for one is ignored (SDM vol. 3, 8.4.4).
    if ((attention & ATT_SIPI) != 0) clearAttention(ATT_SIPI);
    if (load<u32>(cpu, HALTED) == HALT_SHUTDOWN) return leave(EXIT_SHUTDOWN);
    if ((attention & ATT_FLUSH) != 0) {
      clearAttention(ATT_FLUSH);
      dropCodeWrites();
      flushAll(true);
    }

    if (load<u32>(cpu, DEBUG_HIT) != 0 && debuggerWatched()) return leave(EXIT_DEBUG);

    // What the last instruction left behind. After MOV SS nothing is reported, and its single step is lost.
    const shadow = (attention & ATT_SHADOW) != 0 && load<u32>(cpu, SHADOW_USED) == 0;
    const stackShadow = shadow && load<u32>(cpu, SHADOW_STI) == 0;
    if ((attention & ATT_SHADOW) != 0 && !shadow) endShadow();
    let debug = load<u32>(cpu, PENDING_DEBUG);
    if (load<u32>(cpu, TRAP_ARMED) != 0) {
      store<u32>(cpu, 0, TRAP_ARMED);
      noticeFlags();
      if (!stackShadow) debug |= DR6_BS;
    }
    if (debug != 0 && !stackShadow) {
      store<u32>(cpu, 0, PENDING_DEBUG);
      clearAttention(ATT_DEBUG);
      reportDebug(debug);
      deliverHere(V_DB, KIND_EXCEPTION);
      continue;
    }

    if ((attention & ATT_NMI) != 0 && load<u32>(cpu, NMI_BLOCKED) == 0 && !shadow) {
      clearAttention(ATT_NMI);
      store<u32>(cpu, 1, NMI_BLOCKED);
      deliverHere(V_NMI, KIND_EXTERNAL);
      continue;
    }
    if ((attention & ATT_INTR) != 0) {
      // While IF is clear INTR_LINE remembers the request; whoever sets IF looks at it.
      if ((load<u32>(cpu, EFLAGS) & FL_IF) == 0) clearAttention(ATT_INTR);
      else if (!shadow) {
        // First cleared, then asked: what another processor sends from here on must not be cleared with it.
        clearAttention(ATT_INTR);
        const vector = busInterruptAcknowledge(load<u32>(cpu, CPU_INDEX));
        if (vector >= 0) {
          if (atomic.load<u32>(cpu + INTR_LINE) != 0) atomic.or<u32>(cpu + ATTENTION, ATT_INTR);
          store<u64>(cpu, load<u64>(cpu, COUNT_INTERRUPT) + 1, COUNT_INTERRUPT);
          deliverHere((<u32>vector) & 0xff, KIND_EXTERNAL);
        }
        continue;
      }
    }
    if (load<u32>(cpu, HALTED) != HALT_NONE) {
      if (!shadow) return leave(EXIT_HALT);
      // HLT was the instruction that the shadow of STI covered.
      endShadow();
      continue;
    }
    if ((attention & ATT_HALTED) != 0) clearAttention(ATT_HALTED);

    const begun = (load<u32>(cpu, EFLAGS) & FL_RF) != 0 || load<u32>(cpu, REPEATING) != 0;
    if ((attention & ATT_BREAK) != 0 && !begun) {
      const hits = executionBreakpoint();
      if (hits != 0) {
        reportDebug(hits);
        deliverHere(V_DB, KIND_EXCEPTION);
        continue;
      }
    }

    // A debugger stops where all is decided but nothing of the instruction has been done.
    if (((attention & ATT_STEP) != 0 || load<u32>(cpu, DEBUG_BREAKS) != 0) && debuggerStops()) return leave(EXIT_DEBUG);

    // The next instruction goes ahead.
    if (shadow) store<u32>(cpu, 1, SHADOW_USED);
    const flags = load<u32>(cpu, EFLAGS);
    if ((flags & FL_TF) != 0) store<u32>(cpu, 1, TRAP_ARMED);
    if ((flags & FL_RF) != 0) store<u32>(cpu, 1, RESUME_ARMED);
    return false;
  }
  // @ts-ignore: not reached
  return false;
}

function endShadow(): void {
  store<u32>(cpu, 0, SHADOW_USED);
  store<u32>(cpu, 0, SHADOW_STI);
  clearAttention(ATT_SHADOW);
}
