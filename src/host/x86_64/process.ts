/*
 * The host process's place in its address space, and the host's system calls. Numbers are Linux's for x86_64; nanosleep
 * takes its nanoseconds in %rdi, because a daemon that beats like a heart needs no timespec.
 */
export const PROCESS_TEXT = 0x400000n
export const PROCESS_STACK_TOP = 0x7fff_f000_0000n
/** Time between two beats, ns. */
export const HEARTBEAT_NS = 100_000_000

export const SYS = { getpid: 39, nanosleep: 35, exit: 60 } as const
