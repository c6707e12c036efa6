import type { Attack } from "./registry.ts"

/* The attacks on i386 designs. */

export const attacks32: ReadonlyArray<Attack> = []
