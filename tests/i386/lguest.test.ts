import { describe, expect, it } from "vitest"
import { TestGuest } from "./guests.ts"

describe("the lguest module", () => {
  it("boots a ring-1 kernel and takes its exit status", () => {
    const guest = new TestGuest("power_off")
    expect(guest.run()).toEqual({ kind: "shutdown", restart: false, status: 42, message: "done" })
  })
})
