/** Numbers that nobody can guess but that are the same in each run: 64 bits each, from a seed (Steele's SplitMix64). */
export const secrets = (seed: number): (() => bigint) => {
  let state = BigInt(seed) ^ 0x6c67_7565_7374_3634n
  const step = (z: bigint, shift: bigint, factor: bigint) => BigInt.asUintN(64, (z ^ (z >> shift)) * factor)
  return () => {
    state = BigInt.asUintN(64, state + 0x9e37_79b9_7f4a_7c15n)
    const z = step(step(state, 30n, 0xbf58_476d_1ce4_e5b9n), 27n, 0x94d0_49bb_1331_11ebn)
    return z ^ (z >> 31n)
  }
}
