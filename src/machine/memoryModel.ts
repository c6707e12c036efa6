/*
 * The order in which processors see each other's loads and stores. Guest loads and stores become plain WebAssembly ones,
 * so where each virtual CPU has a thread of its own the guest has the memory model of the machine below. x86's (TSO: only
 * a store can be delayed past a later load; SDM vol. 3, 8.2) is right. tests/machine/litmus.test.ts looks at it.
 */

/** What to tell whoever runs several processors in parallel on a machine of this architecture (`process.arch`), if anything. */
export const memoryModelNote = (arch: string): string | undefined =>
  arch === "x64" || arch === "ia32"
    ? undefined
    : `this machine (${arch}) orders memory accesses more weakly than x86: guests with several virtual CPUs may see ` +
      "orders that no PC shows; --deterministic does not have them"
