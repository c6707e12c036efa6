import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from "iced-x86"
import type { GuestCode } from "./engine.ts"

/** One instruction in words, with its bytes. */
export const disassemble = ({ bytes, bits, address }: GuestCode): string => {
  const decoder = new Decoder(bits, bytes, DecoderOptions.None)
  decoder.ip = address
  const instruction = decoder.decode()
  const formatter = new Formatter(FormatterSyntax.Gas)
  try {
    const known = !instruction.isInvalid
    const length = known ? instruction.length : Math.min(bytes.length, 4)
    const hex = [...bytes.subarray(0, length)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")
    return `${known ? formatter.format(instruction).replace(/\s+/g, " ") : "no instruction"} (${hex})`
  } finally {
    formatter.free()
    instruction.free()
    decoder.free()
  }
}
