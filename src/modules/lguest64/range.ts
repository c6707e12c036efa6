/*
 * M:150 Now the other question: what might have been otherwise? That a Guest gives up one slot of its address space is
 * a choice. The proposal would have moved the Guest's PAGE_OFFSET out of the way and kept all of the Host mapped; Xen
 * moves nobody, and validates the Guest's own tables instead of shadowing them. List what each costs, at boot and at
 * each fork, before you say which you like.
 *
 * The host's range of virtual addresses: PML4 slot 510 (HOST_PML4_SLOT), 512 GiB in which a guest has nothing.
 */
export const HOST_START_LO = 0
export const HOST_START_HI = 0xffff_ff00
export const HOST_END_LO = 0xffff_ffff
export const HOST_END_HI = 0xffff_ff7f
