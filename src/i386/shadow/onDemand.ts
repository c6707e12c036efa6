import { FilledShadow, hex } from "./filled.ts"
import type { TableFormat } from "./format.ts"
import { FIXED, type Outcome, type ShadowConfig } from "./interface.ts"

/*
 * plex86's shadow MMU: one empty shadow at each load of CR3, filled as the guest faults. NEW_PGTABLE forgets everything, as
 * MOV CR3 does on a processor without global pages, and so does each flush. It remembers less than lguest's and so has
 * to be told less: whoever can say "forget" needs no SET_PGD, and a guest that breaks the contract finds out sooner.
 * The price is a fault for each page that is used after each switch between processes.
 */
export class OnDemandShadow extends FilledShadow {
  constructor(format: TableFormat, config: ShadowConfig) {
    super(format, config, 1)
  }

  newRoot(pgd: number): Outcome {
    this.counts.newRoots++
    const address = (pgd & this.format.rootMask) >>> 0
    if (this.guest.hostAddress(address) < 0) return this.kill(`page tables at ${hex(pgd)}, outside of memory`)
    this.linear = false
    this.flush()
    this.current.pgd = address
    return FIXED
  }

  /** INVLPG. Kernel mappings are in all tables, so in these; other tables have no shadow. */
  setPte(pgd: number, gva: number): Outcome {
    if (gva >= this.top || this.linear) return FIXED
    if (gva >= this.kernelAddress || this.find((pgd & this.format.rootMask) >>> 0) !== undefined)
      this.dropPte(this.current, gva)
    return FIXED
  }

  flush(): void {
    this.release(this.current, 0, this.top)
  }
}
