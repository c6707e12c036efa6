import { buildCore } from "../../scripts/build-core.ts"

/** Builds the processor core once, before any test, if a source is newer than what was built. */
export const setup = (): void => buildCore()
