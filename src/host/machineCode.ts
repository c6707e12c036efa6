/** The bytes of a generated module's machine code (`code` in *.gen.ts). */
export const machineCode = (base64: string): Uint8Array => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))
