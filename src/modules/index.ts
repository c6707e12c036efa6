import type { Hosted, HostedConfig } from "./hosted.ts"

/*
 * The loadable hypervisor modules, one folder each: `lguest` for i386 guests, `lguest64` for x86_64 ones. A module is a
 * small set of functions over the rooms below. It believes nothing that a guest says, and what it cannot handle costs that
 * guest its life and nobody else anything.
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
