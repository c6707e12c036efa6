import type { ShadowMmuConfig } from "../interface.ts"
import { announced } from "../simple/announced.ts"
import { SimpleMmu } from "../simple/index.ts"
import type { Method } from "../simple/method.ts"
import type { SimpleState } from "../simple/state.ts"
import { keyOf, resetSpace } from "../simple/tree.ts"
import type { SimpleVcpuState } from "../simple/vcpuState.ts"
import { remake } from "./remake.ts"

/*
 * H:344 lguest's own way, with two levels more than it ever had (H:340). Four roots are kept, because a Guest that goes
 * from process to kernel thread and back would like to find its shadows again; the fifth address space takes the place
 * of the one that was left longest ago. What keeps an old root true while nobody runs in it? The Guest's word: every
 * entry that it changes it has to announce, also in address spaces that it will only later return to.
 *
 * The throw-away shadow MMU. CR3 loads forget nothing; a flush without global entries throws away the shadows of the
 * address space in use, one with them all that the virtual CPU has. When memory runs out, all of the guest's go.
 */

/** Address spaces that each virtual CPU keeps. */
export const SPACES = 4

const loaded = (s: SimpleState, v: SimpleVcpuState): void => {
  const first = v.index * SPACES
  const key = keyOf(v)
  let found = first
  for (let space = first; space < first + SPACES; space++) {
    if (s.spaceKey[space] === key) {
      found = space
      break
    }
    if (s.spaceStamp[space]! < s.spaceStamp[found]!) found = space
  }
  v.space = found - first
  s.spaceStamp[found] = s.nextStamp()
  if (s.spaceKey[found] === key) return
  resetSpace(s, found, key)
  s.flushOwn(v)
}

const flush = (s: SimpleState, v: SimpleVcpuState, global: boolean): void => {
  const current = s.spaceOf(v)
  const first = global ? v.index * SPACES : current
  const end = global ? first + SPACES : current + 1
  for (let space = first; space < end; space++) resetSpace(s, space, s.spaceKey[space]!)
  s.flushOwn(v)
}

const entryChanged = (s: SimpleState, gpa: number): void => announced(s, gpa, remake)

const THROW_AWAY: Method = { spaces: SPACES, loaded, flush, entryChanged }

/** Shadows of a few roots, told of changes by the guest, thrown away whole; throws BadMmuConfig. */
export const createThrowAwayMmu = (config: ShadowMmuConfig): SimpleMmu => new SimpleMmu(config, THROW_AWAY)
