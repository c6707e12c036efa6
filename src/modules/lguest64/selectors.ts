import type { Choices } from "../../design/dimensions.ts"
import {
  GUEST_KERNEL_CS,
  GUEST_KERNEL_DS,
  GUEST_RING1_CS,
  GUEST_RING1_DS,
  GUEST_USER_CS,
  GUEST_USER_DS,
  NATIVE_KERNEL_CS,
  NATIVE_KERNEL_DS,
  NATIVE_USER_CS,
  NATIVE_USER_DS,
} from "../../paravirt_ops/lguest64.ts"

/** The selectors with which a guest's kernel and its processes run: "should the Guest have a different CS/DS?" */
export interface Selectors {
  readonly kernelCs: number
  readonly kernelDs: number
  readonly userCs: number
  readonly userDs: number
}

export const selectorsOf = ({ selectors, ring }: Pick<Choices, "selectors" | "ring">): Selectors => {
  if (selectors === "switched")
    return {
      kernelCs: NATIVE_KERNEL_CS | ring,
      kernelDs: NATIVE_KERNEL_DS | ring,
      userCs: NATIVE_USER_CS,
      userDs: NATIVE_USER_DS,
    }
  return ring === 1
    ? { kernelCs: GUEST_RING1_CS, kernelDs: GUEST_RING1_DS, userCs: GUEST_USER_CS, userDs: GUEST_USER_DS }
    : { kernelCs: GUEST_KERNEL_CS, kernelDs: GUEST_KERNEL_DS, userCs: GUEST_USER_CS, userDs: GUEST_USER_DS }
}
