/* Generated from src/vcpu/callPage_64.S by npm run guests: do not edit. */

/** Offsets of the symbols of the call page of x86_64 guests from its first byte. */
export const symbols = {
  call_hypercall: 0x0,
  call_irq_disable: 0xc0,
  call_irq_enable: 0x100,
  call_restore_flags: 0x80,
  call_save_flags: 0x40,
} as const

/** The machine code, base64. */
export const code =
  "zR/DAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIsFug8AAMMAAAAA" +
  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACpAAIAAHV56zcAAAAAAAAAAAAAAAAA" +
  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAxwU2DwAAAAAAAMMAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" +
  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAMcF9g4AAAACAACDPfMOAAAAdQHDULgTAAAAzR9Yww=="
