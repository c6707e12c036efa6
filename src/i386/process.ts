/*
 * The host process's place in its address space, and the host's system calls by INT 0x80. Numbers are Linux's for i386;
 * nanosleep takes its nanoseconds in %ebx, because a daemon that beats like a heart needs no timespec.
 */
export const PROCESS_TEXT = 0x0804_8000
export const PROCESS_STACK_TOP = 0xbfff_f000
/** Time between two beats, ns. */
export const HEARTBEAT_NS = 100_000_000

export const SYS = { exit: 1, getpid: 20, nanosleep: 162 } as const
/** The vector of the host's system calls. */
export const SYSCALL_VECTOR = 0x80
