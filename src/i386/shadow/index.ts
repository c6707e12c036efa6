/*
 * The i386 shadow MMU. It trusts nothing that lies in the guest's memory: whatever the guest's tables say, a shadow entry
 * maps the guest's own frames, and nothing that a guest does makes it take more memory than it was given.
 */
export { pae, twoLevel, type TableFormat } from "./format.ts"
export {
  FIXED,
  GUEST_FAULT,
  type HostEntry,
  KILL,
  MMIO,
  type Outcome,
  type Shadow,
  type ShadowConfig,
  type ShadowCounts,
} from "./interface.ts"
export { OnDemandShadow } from "./onDemand.ts"
export { ROOTS, ThrowAwayShadow } from "./throwAway.ts"
