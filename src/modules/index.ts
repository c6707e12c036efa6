import type { Hosted, HostedConfig } from "./hosted.ts"

/*
 * P:010 Part 1, Preparation: a flight over the country before we walk through it. Welcome, friend.
 *
 * A hypervisor lets several operating systems share one machine. Ours is of the kind that Rusty Russell's lguest was:
 * an ordinary kernel, the Host, is given a module, and from then on it runs other kernels, the Guests, about as it runs
 * processes. The program that sets a Guest up and plays its hardware is the Launcher. Guests know that they are guests,
 * and ask for what they may not do themselves. In February 2007 two engineers asked how one would do that on x86_64,
 * four people argued for a day, and the question stayed open. Here the answers run, on a machine that is a program, so
 * that nobody has to take anybody's word.
 *
 * The way has seven parts:
 *
 *   1. Preparation  the words, and the machine that all of it stands on
 *   2. Guest        a small kernel, puppy, and how it asks
 *   3. Drivers      how it reads a disk that does not exist
 *   4. Launcher     who pretends that it does
 *   5. Host         the long one: tasks, hypercalls, and the page tables behind the page tables
 *   6. Switcher     how one processor is two people, and never both
 *   7. Mastery      how to break it, and what else it might have been
 *
 * Each stop is a comment and the code that it stands on. You need to have programmed, and to be curious; x86 you will
 * pick up as you go. Here is the fork in the road at which everything in this repository begins: which module?
 *
 * The loadable hypervisor modules, one folder each: `lguest` for i386 guests, `lguest64` for x86_64 ones. A module is a
 * small set of functions over the rooms below. It believes nothing that a guest says, and what it cannot handle costs
 * that guest its life and nobody else anything.
 *
 * Loading is literal: a module that no guest asks for is never read.
 */
export type { Hosted, HostedConfig, HostedShape, HostedShare } from "./hosted.ts"
export type { Area, Handler, ModuleView, VcpuView, Walks } from "./view.ts"

/** Which module, and what its host needs to know. */
export type ModuleChoice =
  | { readonly module: "lguest64" }
  /** `pae`: host and guest have page tables of three levels. */
  | { readonly module: "lguest"; readonly pae: boolean }

/** A PC with a host that has the module loaded and a guest opened. */
export const bootHost = async (choice: ModuleChoice, config: HostedConfig): Promise<Hosted> => {
  switch (choice.module) {
    case "lguest64":
      return (await import("./lguest64/boot.ts")).bootLguest64(config)
    case "lguest":
      return (await import("./lguest/boot.ts")).bootLguest({ ...config, pae: choice.pae })
  }
}
