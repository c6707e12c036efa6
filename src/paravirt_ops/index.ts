/*
 * The contracts between guests and hypervisors, as data: hypercall numbers, shared structures, selectors, vectors. Each
 * backend is one file, from which come the accessors of its module, the symbols of the assembler, the C header of its
 * guests (guests/include) and the page that explains it (docs/abi-*.md). No code lives here, and nobody is trusted: these
 * are only the names of what both sides agreed on.
 */
export * as lguest from "./lguest.ts"
export * as lguest64 from "./lguest64.ts"
