import { type ShadowConfig, FIXED, type Outcome } from "./interface.ts"
import { FilledShadow, hex, NO_MEMORY, NO_PGD, type Root } from "./filled.ts"
import { PTE_A, type TableFormat } from "./format.ts"
import { BAD, NOT_PRESENT } from "./walk.ts"

/*
 * H:340 You are through. As a reward, the same problem as lguest solved it on i386, in a file instead of a folder. It
 * protects nothing, tracks nothing and throws everything away when in doubt. It asks of the Guest to announce each
 * change, and what does the Guest lose if it does not? Only itself. When is the folder worth it? That is not a matter
 * of taste: it can be counted.
 *
 * lguest's shadow MMU: throw-away shadows with a few roots, so that a guest which goes back to one of the address spaces
 * that it used last finds it as it was. Faults and tables are in filled.ts; here is what the guest says, and what is
 * forgotten then.
 */

export const ROOTS = 4

export class ThrowAwayShadow extends FilledShadow {
  constructor(format: TableFormat, config: ShadowConfig) {
    super(format, config, ROOTS)
  }

  newRoot(pgd: number): Outcome {
    this.counts.newRoots++
    const address = (pgd & this.format.rootMask) >>> 0
    if (this.guest.hostAddress(address) < 0) return this.kill(`page tables at ${hex(pgd)}, outside of memory`)
    if (this.linear) {
      this.linear = false
      for (const root of this.roots) this.release(root, 0, this.top)
    }
    let root = this.find(address)
    if (root === undefined) {
      root = this.evict()
      if (root === undefined) return this.kill(NO_MEMORY)
      root.pgd = address
      this.counts.rootsMade++
    }
    if (root !== this.current) this.disturbed = true
    this.current = root
    return FIXED
  }

  /** A root to use anew: one never used, else the next in turn. Kernel mappings are the same everywhere and may stay. */
  private evict(): Root | undefined {
    for (const root of this.roots) if (root.pgd === NO_PGD && (root.frames.length > 0 || this.build(root))) return root
    // No memory for one more: any that was built will do.
    for (let i = 0; i < ROOTS; i++) {
      const root = this.roots[this.next]!
      this.next = (this.next + 1) % ROOTS
      if (root.frames.length === 0) continue
      this.release(root, 0, this.kernelAddress)
      this.counts.rootsEvicted++
      return root
    }
    return undefined
  }

  setPte(pgd: number, gva: number): Outcome {
    if (gva >= this.top || this.linear) return FIXED
    // A kernel mapping is the same in all tables: the change is in all of them too.
    if (gva >= this.kernelAddress) {
      for (const root of this.roots) this.dropPte(root, gva)
      return this.prefill(this.current, gva)
    }
    const root = this.find((pgd & this.format.rootMask) >>> 0)
    if (root === undefined) return FIXED
    this.dropPte(root, gva)
    return this.prefill(root, gva)
  }

  /** An entry that is accessed already will be used: spare its fault, if there is a table for it. */
  private prefill(root: Root, gva: number): Outcome {
    const at = this.existing(root, gva)
    if (at < 0 || root.pgd === NO_PGD) return FIXED
    const found = this.guest.walk(root.pgd, gva)
    if (found === BAD) return this.kill(this.guest.reason)
    if (found === NOT_PRESENT || (this.guest.leafLo & PTE_A) === 0) return FIXED
    const hpa = this.guest.hostAddress(this.guest.gfn * 4096)
    if (hpa >= 0) this.writeEntry(at, this.shadowEntry(hpa))
    return FIXED
  }

  flush(all: boolean): void {
    if (all) for (const root of this.roots) this.release(root, 0, this.top)
    else this.release(this.current, 0, this.kernelAddress)
  }
}
