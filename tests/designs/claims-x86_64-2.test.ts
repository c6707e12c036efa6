import { holdToClaims, ofArch } from "./claims.ts"

/* Attacks on x86_64 designs, every other one: a part of claims.ts that a worker does beside the rest. */
holdToClaims(ofArch("x86_64").filter((_design, i) => i % 2 === 1))
