import { resetBlocks } from "./blocks";
import { cpu } from "./cpu";
import { decode } from "./decode";
import { resetProcessor } from "./reset";
import { GATE_LEFT } from "./state";

/*
 * The processor core's front door: what TypeScript calls. One instance of this module is one processor; its state lies
 * in the shared memory as state.ts says, architectural whenever one of these functions has returned. Only `run` executes
 * instructions, and only it can be left by the unwinding of a fault, after which it is to be called again.
 */

export { run } from "./run";
export { flags, flushTlb, invalidate, refresh, setFlags, translate } from "./outside";

/** Power-on. */
export function reset(): void {
  resetProcessor();
  resetBlocks();
  store<u64>(cpu, ~(<u64>0), GATE_LEFT);
}

/**
 * Decodes one instruction at a WebAssembly address for inspection, in a MODE_*; `available` bytes may be read. Returns
 * its length, with the fields D_* of record.ts filled in, or -1 not an instruction, -2 more bytes needed, -3 too long.
 */
export function inspect(mode: i32, address: usize, available: i32): i32 {
  return decode(mode, address, available);
}
