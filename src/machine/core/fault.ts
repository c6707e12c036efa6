import { busUnwind, cpu } from "./cpu";
import { CR2, EXTERNAL, FAULT_ERROR, FAULT_HAS_ERROR, FAULT_VECTOR } from "./state";
import { endTransient } from "./late";
import { V_AC, V_DF, V_GP, V_PF, V_TS } from "./arch";

/*
 * Faults. One is recorded in the state, then everything that the instruction was doing is unwound; run() finds the
 * record when it is called again and delivers it. So a function that raises never returns, and whoever calls it has
 * changed nothing yet that the instruction could not do again.
 */

/** Whether the exception pushes an error code (SDM vol. 3, table 6-1). */
export function hasErrorCode(vector: u32): bool {
  return vector == V_DF || (vector >= V_TS && vector <= V_PF) || vector == V_AC;
}

/**
 * P:070 Some instructions cannot be carried out: a division by zero, an address where nothing is. The processor then
 * acts as if the instruction had not begun, and calls the operating system, telling it what was wrong by a number, the
 * vector. After that the instruction can be tried again. All that follows hangs on this: a hypervisor lives on
 * exceptions as a shopkeeper lives on the bell over the door.
 *
 * Raises an exception of class fault at the current instruction. `error` is ignored where the vector has none.
 */
export function raise(vector: u32, error: u32): void {
  // A fault of what is thrown away is thrown away with it.
  endTransient();
  // EXT: a selector error met while delivering something that the program did not ask for (SDM vol. 3, 6.13).
  if (vector >= V_TS && vector <= V_GP) error |= load<u32>(cpu, EXTERNAL);
  store<u32>(cpu, vector, FAULT_VECTOR);
  store<u32>(cpu, error, FAULT_ERROR);
  store<u32>(cpu, hasErrorCode(vector) ? 1 : 0, FAULT_HAS_ERROR);
  busUnwind();
  unreachable();
}

/** #PF. CR2 keeps the address from here on, even when the fault turns into a double fault. */
export function raisePageFault(linear: u64, error: u32): void {
  store<u64>(cpu, linear, CR2);
  raise(V_PF, error);
}

/** #GP(0), the commonest of all. */
export function raiseGp(): void {
  raise(V_GP, 0);
}
