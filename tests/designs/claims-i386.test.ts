import { holdToClaims, ofArch } from "./claims.ts"

/* Attacks on i386 designs (claims.ts). */
holdToClaims(ofArch("i386"))
