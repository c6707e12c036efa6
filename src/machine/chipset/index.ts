/*
 * The chipset: what sits on a PC's board beside processors and memory, one chip a file, written from its data sheet. It
 * trusts nothing that comes over the bus, never throws, and never does work that a guest can make unbounded: timers are
 * computed from the simulated time, not stepped.
 */
export { Chipset, type ChipsetConfig, type ExpansionBus } from "./chipset.ts"
export { Cmos } from "./cmos.ts"
export { LocalApic } from "./localApic.ts"
export { APIC_PAGE, LocalApics } from "./localApics.ts"
export { Pic8259, PicPair } from "./pic8259.ts"
export { Pit8254, PIT_HZ } from "./pit8254.ts"
export { Power, type PowerEvents } from "./power.ts"
export { Uart16550 } from "./uart16550.ts"
