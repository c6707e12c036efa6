/* Numbers and bytes as the protocol writes them. Whatever does not parse is undefined. */

export const toHex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")

export const fromHex = (text: string): Uint8Array | undefined =>
  /^([0-9a-f]{2})*$/i.test(text) ? new Uint8Array(Buffer.from(text, "hex")) : undefined

export const textToHex = (text: string): string => Buffer.from(text, "utf8").toString("hex")

/** Up to 64 bits, most significant digit first. */
export const parseAddress = (text: string): bigint | undefined =>
  /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : undefined

/** Up to 32 bits. */
export const parseNumber = (text: string): number | undefined =>
  /^[0-9a-f]{1,8}$/i.test(text) ? parseInt(text, 16) : undefined

/** A register's value: least significant byte first. */
export const littleEndian = (value: bigint, bytes: number): string => {
  let text = ""
  for (let i = 0; i < bytes; i++)
    text += Number((value >> BigInt(8 * i)) & 0xffn)
      .toString(16)
      .padStart(2, "0")
  return text
}

export const fromLittleEndian = (text: string): bigint | undefined => {
  const bytes = fromHex(text)
  return bytes === undefined || bytes.length === 0 ? undefined : BigInt(`0x${toHex(bytes.toReversed())}`)
}
