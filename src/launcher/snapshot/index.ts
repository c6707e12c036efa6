/*
 * Snapshots: a machine in a file, from which a run goes on as if it had never stopped (docs/snapshots.md).
 *
 * What a file says is checked before it is believed, but its machine is not: whoever made a snapshot could put anything into the
 * simulated host, and all that this can break is the simulated PC.
 */
export { checkPlace } from "./format.ts"
export { saveNow, saveSnapshot, snapshotOf, type SnapshotSource } from "./save.ts"
export { checkDisks, optionsOf, readSnapshot, type Snapshot } from "./restore.ts"
