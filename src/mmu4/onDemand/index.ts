import type { ShadowMmuConfig } from "../interface.ts"
import { announced, forget } from "../simple/announced.ts"
import { SimpleMmu } from "../simple/index.ts"
import type { Method } from "../simple/method.ts"
import type { SimpleState } from "../simple/state.ts"
import { keyOf, resetSpace } from "../simple/tree.ts"
import type { SimpleVcpuState } from "../simple/vcpuState.ts"

/*
 * H:346 plex86 went as far as one can: its shadow is a TLB and nothing more. It begins empty, fills as the Guest faults,
 * and is empty again with each load of CR3. No announcement is needed, no promise asked for: any kernel that runs on a
 * real processor flushes the real TLB when it must, and that is all we have to obey. (A Guest that announces expects to
 * have flushed with it, so an announcement is an INVLPG.) What it costs, you may read off the counters: each switch of
 * processes begins with nothing.
 *
 * The on-demand shadow MMU: one space for each virtual CPU, which lives from one flush to the next. Global entries are not
 * kept: no TLB promises to keep them.
 */

const empty = (s: SimpleState, v: SimpleVcpuState): void => {
  resetSpace(s, s.spaceOf(v), keyOf(v))
  s.flushOwn(v)
}

const entryChanged = (s: SimpleState, gpa: number): void => announced(s, gpa, forget)

const ON_DEMAND: Method = {
  spaces: 1,
  loaded: empty,
  flush: empty,
  entryChanged,
}

/** Mappings are built on demand and thrown away at each CR3 load; throws BadMmuConfig. */
export const createOnDemandMmu = (config: ShadowMmuConfig): SimpleMmu => new SimpleMmu(config, ON_DEMAND)
