import type { HostKernel } from "./kernel.ts"

/*
 * The host's system calls: what a daemon on the machine needs, and no more. Numbers are the architecture's; what they mean
 * is not.
 */

export interface SystemCallNumbers {
  readonly getpid: number
  readonly nanosleep: number
  readonly exit: number
}

const ENOSYS = 38

/** Serves the current task's call; the result is what goes into its result register. */
export const systemCall = (kernel: HostKernel, is: SystemCallNumbers, number: number, argument: number): number => {
  const { current } = kernel
  kernel.statistics.hostSystemCalls++
  if (kernel.observed && kernel.trace.on) kernel.trace.hostSystemCall(number)
  switch (number) {
    case is.getpid:
      return current.pid
    case is.nanosleep:
      kernel.setTimer(current, kernel.now + argument)
      kernel.sleepCurrent()
      return 0
    case is.exit:
      kernel.endCurrent()
  }
  return -ENOSYS
}
