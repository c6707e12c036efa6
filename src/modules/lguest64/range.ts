/*
 * The host's range of virtual addresses: PML4 slot 510 (HOST_PML4_SLOT), 512 GiB in which a guest has nothing.
 */
export const HOST_START_LO = 0
export const HOST_START_HI = 0xffff_ff00
export const HOST_END_LO = 0xffff_ffff
export const HOST_END_HI = 0xffff_ff7f
