/*
 * From an event on the processor to what handles it. Reading order: entry_64.S (the doors, and the check of the VCPU
 * field), then the switcher in src/vcpu, then src/modules/lguest64/events.ts, which asks `frames.ts` here to
 * reflect into the guest what is the guest's own affair.
 */
export { EventFrames, type GuestSpace } from "./frames.ts"
export { isCanonical, toNumber, vpnOf } from "./address.ts"
