import type { Choices } from "../../design/dimensions.ts"
import { createDirectMmu } from "../../mmu4/direct/index.ts"
import {
  createOnDemandMmu,
  createShadowMmu,
  createThrowAwayMmu,
  type ShadowMmu,
  type ShadowMmuConfig,
} from "../../mmu4/index.ts"

/** The MMU of a design: four opinions on what page tables the processor should walk, behind one interface. */
const MMUS: Record<Choices["mmu"], (config: ShadowMmuConfig) => ShadowMmu> = {
  kvm: createShadowMmu,
  "throw-away": createThrowAwayMmu,
  "on-demand": createOnDemandMmu,
  direct: createDirectMmu,
}

export const createMmu = (choice: Choices["mmu"], config: ShadowMmuConfig): ShadowMmu => MMUS[choice](config)
