import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/*
 * V8 does not count the memory of simulated machines as its own, and would keep dozens of those that are done before it looks. So
 * whoever makes one machine after the other makes it look.
 */

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

/** Machines that may have been done with before the next look. A look takes some milliseconds. */
const MOST = 4
let made = 0

/** Another machine is about to be made. */
export const makeRoom = (): void => {
  made = (made + 1) % MOST
  if (made === 0) collectGarbage()
}
