import { cpu } from "./cpu";
import { pause } from "./counters";
import { V_DE } from "./arch";
import { raise } from "./fault";
import { adjust, carry, setResult } from "./flags";
import { imm } from "./operand";
import { GPR } from "./state";

/*
 * Decimal arithmetic (SDM vol. 1, 7.3.3; not in 64-bit mode). SF, ZF and PF come from AL also where the manuals leave
 * them undefined; OF is 0.
 */

const AL: usize = GPR;
const AH: usize = GPR + 1;
const AX: usize = GPR;

export function daa(): void {
  const old = load<u8>(cpu, AL);
  let al = <u32>old;
  let cf: u32 = 0;
  let af: u32 = 0;
  if ((al & 15) > 9 || adjust() != 0) {
    al += 6;
    cf = carry() | (al >>> 8);
    af = 1;
  }
  if (old > 0x99 || carry() != 0) {
    al += 0x60;
    cf = 1;
  } else cf = 0;
  store<u8>(cpu, <u8>al, AL);
  setResult<u8>(<u8>al, cf, 0, af);
}

export function das(): void {
  const old = load<u8>(cpu, AL);
  const oldCarry = carry();
  let al = <u32>old;
  let cf: u32 = 0;
  let af: u32 = 0;
  if ((al & 15) > 9 || adjust() != 0) {
    cf = oldCarry | (<u32>(al < 6));
    al -= 6;
    af = 1;
  }
  if (old > 0x99 || oldCarry != 0) {
    al -= 0x60;
    cf = 1;
  }
  store<u8>(cpu, <u8>al, AL);
  setResult<u8>(<u8>al, cf, 0, af);
}

/** AAA adds 106h to AX, AAS subtracts it, when the low digit has overflowed. */
export function aaa(): void {
  const adjusts = (load<u8>(cpu, AL) & 15) > 9 || adjust() != 0;
  asciiAdjusted(adjusts ? load<u16>(cpu, AX) + 0x106 : load<u16>(cpu, AX), adjusts);
}

export function aas(): void {
  const adjusts = (load<u8>(cpu, AL) & 15) > 9 || adjust() != 0;
  let ax = load<u16>(cpu, AX);
  if (adjusts) {
    ax -= 6;
    ax -= 0x100;
  }
  asciiAdjusted(ax, adjusts);
}

function asciiAdjusted(ax: u16, adjusts: bool): void {
  store<u16>(cpu, ax & 0xff0f, AX);
  setResult<u8>((<u8>ax) & 15, <u32>adjusts, 0, <u32>adjusts);
}

export function aam(ip: usize): void {
  const base = imm<u8>(ip);
  if (base == 0) {
    pause(ip);
    raise(V_DE, 0);
  }
  const al = load<u8>(cpu, AL);
  store<u8>(cpu, al / base, AH);
  store<u8>(cpu, al % base, AL);
  setResult<u8>(al % base, 0, 0, 0);
}

export function aad(ip: usize): void {
  const al = <u8>(load<u8>(cpu, AL) + load<u8>(cpu, AH) * imm<u8>(ip));
  store<u16>(cpu, <u16>al, AX);
  setResult<u8>(al, 0, 0, 0);
}

export function salc(): void {
  store<u8>(cpu, carry() != 0 ? 0xff : 0, AL);
}
