/*
 * What a guest's network device is plugged into, as the command line and the files of `lguest64 up` say it.
 */

export interface NetSpec {
  /** Name of a hub; guests of one launcher that name the same one hear each other. */
  readonly hub: string | undefined
  /** File for the frames. */
  readonly pcap: string | undefined
  /** 6 bytes; undefined: derived. */
  readonly mac: Uint8Array | undefined
}

const MULTICAST = 1

/** "52:54:00:12:34:56" as bytes, or what is wrong with it. */
export const parseMac = (text: string): Uint8Array | string => {
  if (!/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(text))
    return `${text} is no MAC address; one looks like 52:54:00:12:34:56`
  const mac = Uint8Array.from(text.split(":"), (byte) => parseInt(byte, 16))
  if ((mac[0]! & MULTICAST) !== 0) return `${text} is a group's address, no device's`
  return mac.every((byte) => byte === 0) ? `${text} is nobody's address` : mac
}

/** "hub=a,pcap=x.pcap,mac=52:54:00:12:34:56", any of them, as a value, or what is wrong with it. */
export const parseNet = (text: string): NetSpec | string => {
  const given = new Map<string, string>()
  for (const part of text.split(",")) {
    const [, key, value] = /^(hub|pcap|mac)=(.+)$/.exec(part) ?? []
    if (key === undefined || value === undefined) return `"${part}" is none of hub=NAME, pcap=FILE and mac=ADDRESS`
    if (given.has(key)) return `${key} is given twice`
    given.set(key, value)
  }
  const text_ = given.get("mac")
  const mac = text_ === undefined ? undefined : parseMac(text_)
  return typeof mac === "string" ? mac : { hub: given.get("hub"), pcap: given.get("pcap"), mac }
}

/**
 * The address of the guest with this number in a run with this seed: locally administered (bit 1 of the first byte), in the
 * range that virtual machines use.
 */
export const derivedMac = (seed: number, guest: number): Uint8Array =>
  Uint8Array.of(0x52, 0x54, 0x00, seed >>> 8, seed, guest + 1)
