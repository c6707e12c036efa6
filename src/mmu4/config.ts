import { BadMmuConfig, minimumShadowPages, type ShadowMmuConfig } from "./interface.ts"
import { MAX_VCPUS } from "./roles.ts"

/** What a ShadowMmuConfig says of the guest and its machine, with its defaults. */
export interface GuestSizes {
  readonly vcpus: number
  /** Guest frames. */
  readonly count: number
  readonly physicalBits: number
}

/** And what it says of shadows. */
export interface Sizes extends GuestSizes {
  /** Most shadow pages. */
  readonly limit: number
}

const defaultLimit = (frames: number, vcpus: number): number =>
  Math.max(minimumShadowPages(vcpus), Math.min(8192, Math.max(256, frames >>> 4)))

/** Throws BadMmuConfig. */
export const guestSizesOf = (config: ShadowMmuConfig): GuestSizes => {
  const vcpus = config.flushers.length
  const { count } = config.frames
  if (vcpus < 1 || vcpus > MAX_VCPUS) throw new BadMmuConfig(`${vcpus} virtual CPUs: 1 to ${MAX_VCPUS} are possible`)
  if (!(Number.isInteger(count) && count > 0 && count <= 0x40000000))
    throw new BadMmuConfig(`guest memory of ${count} frames: 1 to 2^30 are possible`)
  const physicalBits = config.physicalBits ?? 40
  if (!(Number.isInteger(physicalBits) && physicalBits >= 32 && physicalBits <= 52))
    throw new BadMmuConfig(`physical addresses of ${physicalBits} bits: 32 to 52 are possible`)
  return { vcpus, count, physicalBits }
}

/** Throws BadMmuConfig. */
export const sizesOf = (config: ShadowMmuConfig): Sizes => {
  const sizes = guestSizesOf(config)
  const { vcpus, count } = sizes
  const limit = config.limit ?? defaultLimit(count, vcpus)
  if (!(Number.isInteger(limit) && limit >= minimumShadowPages(vcpus) && limit <= 0x200000))
    throw new BadMmuConfig(
      `a limit of ${limit} shadow pages: ${vcpus} virtual CPUs need ${minimumShadowPages(vcpus)} to ${0x200000}`,
    )
  return { ...sizes, limit }
}
