/*
 * The host: a small kernel that owns the machine. What is bytes in simulated memory (page tables, descriptor tables,
 * stacks, stubs) is in x86_64/ here and in src/i386; what is common to both architectures is here: time, tasks, the loop that
 * drives the processor from gate to gate, and /dev/lguest, through which a launcher sees all of it.
 *
 * It trusts its own machine code and nobody who runs above it. It never blocks inside a gate, and it never lets what a guest
 * or a process did become its own exception: a HostPanic is a defect of the host.
 */
export { type Death, type GuestSetup, type LguestDevice, type Pending } from "./devLguest.ts"
export { EventLog, LOG_CATEGORIES, type LogCategory } from "./eventLog.ts"
export { HostKernel, HostPanic } from "./kernel.ts"
export { type HostClock } from "./cpus.ts"
export { type HostStatistics, type ShadowReport, STATISTIC_NAMES } from "./statistics.ts"
