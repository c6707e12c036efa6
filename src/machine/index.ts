/*
 * The machine: physical memory and processors. This room trusts nobody above it and knows nothing of hosts or guests:
 * it does what the manuals say a PC does with the bytes in its memory.
 */
export { openBus, type Bus } from "./bus.ts"
export { ProcessorDebugger, type DebugHit, type Watchpoint } from "./debugger.ts"
export { Machine, maximumRam, type MachineConfig, type MachineShare, type Traits } from "./machine.ts"
export { memoryModelNote } from "./memoryModel.ts"
export { processorPins, type ProcessorPins } from "./pins.ts"
export { GPR_NAMES, Processor, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, type Counters } from "./processor.ts"
export { BadPhysicalAddress, Ram } from "./ram.ts"
