import type { SimpleState } from "./state.ts"
import type { SimpleVcpuState } from "./vcpuState.ts"

/** What tells one simple MMU from another: how long it keeps what it has made. */
export interface Method {
  /** Address spaces of which a virtual CPU can have shadows at a time. */
  readonly spaces: number
  /** `v` has other page tables: the guest has loaded CR3, or gone back to the linear view. */
  loaded(s: SimpleState, v: SimpleVcpuState): void
  /** The guest flushes the virtual CPU's TLB, without or with global entries. */
  flush(s: SimpleState, v: SimpleVcpuState, global: boolean): void
  /** The guest says that it has changed an entry. */
  entryChanged(s: SimpleState, gpa: number): void
}
