/*
 * What only i386 has: a host for it (page tables of two levels or PAE, descriptor tables, the 8254 through the 8259 pair),
 * the Switcher at 0xFFC00000, a guest's segments and gates made harmless, and shadows of its page tables. Read in this
 * order: switcher_32.S, then host.ts, and then how src/modules/lguest uses the rest.
 *
 * It trusts the machine below it. Of what comes from a guest it copies what is harmless and refuses the rest; nothing here
 * decides what an event means, which is the module's affair.
 */
export { HostI386, type VcpuPages } from "./host.ts"
export { PicClock } from "./picClock.ts"
export { GuestIdt } from "./idt.ts"
export { GuestGdt } from "./segments.ts"
export { GuestRegisters } from "./registers.ts"
export { pae, type Shadow, ThrowAwayShadow, twoLevel } from "./shadow/index.ts"
