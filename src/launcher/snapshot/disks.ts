import { createHash } from "node:crypto"
import { type BlockBackend, SECTOR } from "../../devices/index.ts"

const SECTORS_AT_ONCE = 2048

/** SHA-256 of a disk's bytes, or undefined if it cannot be read. */
export const digestOfDisk = (disk: BlockBackend): string | undefined => {
  const hash = createHash("sha256")
  for (let sector = 0; sector < disk.sectors; sector += SECTORS_AT_ONCE) {
    const bytes = new Uint8Array(Math.min(SECTORS_AT_ONCE, disk.sectors - sector) * SECTOR)
    if (!disk.read(sector, bytes)) return undefined
    hash.update(bytes)
  }
  return hash.digest("hex")
}
