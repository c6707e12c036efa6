/*
 * The virtual CPU: its descriptor, which assembly examines; its state page, which holds the guest's registers between two
 * runs; and the switcher that exchanges them with the host's. What is in the state page was put there by a guest, and
 * nothing in it is believed.
 */
export { SYSCALL_EVENT, VCPU, VCPU_STATE } from "./descriptor.ts"
export { GuestRegisters } from "./registers.ts"
