import { busPortIn, busPortOut, cpu } from "./cpu";
import { CPU_INDEX, SEG_TR } from "./state";
import { AR_PRESENT, AR_TYPE_SHIFT, TSS32_LIMIT, TSS_IO_BASE, TYPE_TSS } from "./arch";
import { watchPort } from "./debug";
import { iopl } from "./eflags";
import { raiseGp } from "./fault";
import { endTransient } from "./late";
import { ldSys } from "./memory";
import { cpl, inRealMode, inVirtual8086, segAttr, segBase, segLimit, systemLinear } from "./segments";

/*
 * Ports. Above IOPL, and always in virtual-8086 mode, the TSS's bitmap decides for each port of the access (SDM vol. 1,
 * chapter 19).
 */

function checkPorts(port: u32, size: u32): void {
  endTransient();
  if (inRealMode() || (!inVirtual8086() && cpl() <= iopl())) return;
  const attr = segAttr(SEG_TR);
  const limit = segLimit(SEG_TR);
  // A 16-bit TSS has no bitmap.
  if ((attr & AR_PRESENT) == 0 || ((attr >>> AR_TYPE_SHIFT) & 15) < TYPE_TSS || limit < TSS32_LIMIT) raiseGp();
  const base = segBase(SEG_TR);
  const byte = <u32>ldSys<u16>(systemLinear(base + TSS_IO_BASE)) + (port >>> 3);
  // Two bytes are always read, so both must be there.
  if (byte + 1 > limit) raiseGp();
  const bits = (<u32>ldSys<u16>(systemLinear(base + byte))) >>> (port & 7);
  if ((bits & ((1 << size) - 1)) != 0) raiseGp();
}

/** IN: `size` bytes (1, 2, 4) from `port`, zero-extended. */
export function portIn(port: u32, size: u32): u32 {
  checkPorts(port, size);
  const value = busPortIn(load<u32>(cpu, CPU_INDEX), port, size);
  watchPort(port, size);
  return size == 4 ? value : value & ((1 << (size << 3)) - 1);
}

/** OUT. */
export function portOut(port: u32, size: u32, value: u32): void {
  checkPorts(port, size);
  busPortOut(load<u32>(cpu, CPU_INDEX), port, size, size == 4 ? value : value & ((1 << (size << 3)) - 1));
  watchPort(port, size);
}

/** The checks alone: INS and OUTS make them before they touch memory. */
export function checkPort(port: u32, size: u32): void {
  checkPorts(port, size);
}
