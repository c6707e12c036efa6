import { APIC_PAGE } from "./chipset/index.ts"
import { at, type Field, struct } from "./layout.ts"
import type { Ram } from "./ram.ts"

/*
 * How a kernel finds the other processors: the tables of Intel's MultiProcessor Specification 1.4, chapter 4, which a PC's
 * firmware leaves below 1 MiB. A floating pointer structure that is searched for at 16-byte boundaries, and the
 * configuration table that it points at: here all processors, the buses, and what the local APICs' two pins are wired to. There
 * is no I/O APIC, and no IMCR: the 8259's interrupts go to the first processor's LINT0.
 */

const FLOATING_POINTER = struct("mp_floating_pointer", "MPF", 16, "where the configuration table is (MP 1.4, 4.1)", {
  signature: at(0, 1, "_MP_", 4),
  table: at(4, 4, "physical address of the configuration table"),
  length: at(8, 1, "of this structure in units of 16 bytes"),
  revision: at(9, 1, "4: MP 1.4"),
  checksum: at(10, 1, "makes all bytes add up to 0"),
  features: at(11, 1, "0: there is a configuration table; bit 7 of the next: IMCR present", 5),
})

const TABLE = struct("mp_table", "MPC", 44, "header of the configuration table (MP 1.4, 4.2)", {
  signature: at(0, 1, "PCMP", 4),
  length: at(4, 2, "of header and entries, bytes"),
  revision: at(6, 1, "4: MP 1.4"),
  checksum: at(7, 1, "makes all bytes add up to 0"),
  oem: at(8, 1, "who made the machine", 8),
  product: at(16, 1, "which one it is", 12),
  oemTable: at(28, 4, "none"),
  oemTableSize: at(32, 2, "0"),
  entries: at(34, 2, "how many follow"),
  localApic: at(36, 4, "physical address at which each processor sees its APIC"),
  extendedLength: at(40, 2, "0: no extended entries"),
  extendedChecksum: at(42, 1, "of those"),
})

const PROCESSOR = struct("mp_processor", "MPP", 20, "a processor (MP 1.4, 4.3.1)", {
  type: at(0, 1, "0"),
  apicId: at(1, 1, "number of its local APIC"),
  apicVersion: at(2, 1, "0x14"),
  flags: at(3, 1, "bit 0: usable; bit 1: the one that boots"),
  signature: at(4, 4, "stepping, model and family, as in EDX after reset"),
  features: at(8, 4, "as CPUID's"),
})

const BUS = struct("mp_bus", "MPB", 8, "a bus (MP 1.4, 4.3.2)", {
  type: at(0, 1, "1"),
  id: at(1, 1, "its number"),
  name: at(2, 1, "ISA or PCI, filled with spaces", 6),
})

const LOCAL_INTERRUPT = struct(
  "mp_local_interrupt",
  "MPL",
  8,
  "what a pin of local APICs is wired to (MP 1.4, 4.3.5)",
  {
    type: at(0, 1, "4"),
    kind: at(1, 1, "1: NMI, 3: the 8259"),
    flags: at(2, 2, "polarity and trigger mode; 0: as the bus has it"),
    sourceBus: at(4, 1, "number of the bus"),
    sourceLine: at(5, 1, "its interrupt"),
    apicId: at(6, 1, "whose pin; 0xff: of all"),
    pin: at(7, 1, "LINT0 or LINT1"),
  },
)

const REVISION = 4
const APIC_VERSION = 0x14
const USABLE = 1
const BOOTS = 2
/** CMPXCHG8B and APIC: what the specification gives names to. */
const FEATURES = 0x300
const ISA_BUS = 0
const PCI_BUS = 1
const NMI_KIND = 1
const EXTERNAL_KIND = 3
const ALL_APICS = 0xff

/** The part of memory in which kernels search and that is the firmware's. */
export const FIRMWARE_BEGIN = 0xf_0000
export const FIRMWARE_END = 0x10_0000

/** Bytes with the fields of a structure written into them. */
const filled = (
  { size, fields }: { readonly size: number; readonly fields: Record<string, Field> },
  values: Record<string, number | string>,
): Uint8Array => {
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  for (const [name, value] of Object.entries(values)) {
    const { offset, width, count } = fields[name]!
    if (typeof value === "string") bytes.set(new TextEncoder().encode(value.padEnd(count)), offset)
    else if (width === 1) view.setUint8(offset, value)
    else if (width === 2) view.setUint16(offset, value, true)
    else view.setUint32(offset, value, true)
  }
  return bytes
}

/** Sets the checksum at `offset`. */
const checked = (bytes: Uint8Array, { offset }: Field): Uint8Array => {
  bytes[offset] = -bytes.reduce((sum, byte) => sum + byte, 0)
  return bytes
}

/** Writes both structures for `processors` processors with CPUID's `signature`. */
export const writeMpTable = (ram: Ram, processors: number, signature: number): void => {
  const entries = [
    ...Array.from({ length: processors }, (_, id) =>
      filled(PROCESSOR, {
        apicId: id,
        apicVersion: APIC_VERSION,
        flags: id === 0 ? USABLE | BOOTS : USABLE,
        signature,
        features: FEATURES,
      }),
    ),
    filled(BUS, { type: 1, id: ISA_BUS, name: "ISA" }),
    filled(BUS, { type: 1, id: PCI_BUS, name: "PCI" }),
    filled(LOCAL_INTERRUPT, { type: 4, kind: EXTERNAL_KIND, sourceBus: ISA_BUS, apicId: 0, pin: 0 }),
    filled(LOCAL_INTERRUPT, { type: 4, kind: NMI_KIND, sourceBus: ISA_BUS, apicId: ALL_APICS, pin: 1 }),
  ]
  const length = entries.reduce((sum, entry) => sum + entry.length, TABLE.size)
  const table = new Uint8Array(length)
  table.set(
    filled(TABLE, {
      signature: "PCMP",
      length,
      revision: REVISION,
      oem: "LGUEST64",
      product: "LAB",
      entries: entries.length,
      localApic: APIC_PAGE,
    }),
  )
  let end = TABLE.size
  for (const entry of entries) {
    table.set(entry, end)
    end += entry.length
  }
  const tableAt = FIRMWARE_BEGIN + FLOATING_POINTER.size
  const pointer = filled(FLOATING_POINTER, { signature: "_MP_", table: tableAt, length: 1, revision: REVISION })
  ram.copyIn(FIRMWARE_BEGIN, checked(pointer, FLOATING_POINTER.fields.checksum))
  ram.copyIn(tableAt, checked(table, TABLE.fields.checksum))
}
