import { describe, expect, it } from "vitest"
import { type Expected, expectedOf } from "../../src/launcher/attack/expected.ts"
import { attacksOn } from "../../src/launcher/attack/registry.ts"
import { designs, holds } from "./claims.ts"

/* The other tests hold designs to their claims; that they can is seen here, with claims that are not true. */

const [attack] = attacksOn("i386", ["read-fixed-area"])
const named = (name: string) => designs.find((design) => design.name === name)!

describe("a claim that has stopped being true", () => {
  const { choices, expects } = named("lguest-paging")
  const breached = expectedOf(expects, "read-fixed-area")!
  const gains = breached.kind === "breached" ? breached.gains : []

  it("is not one that is true", () => {
    expect(gains.length).toBeGreaterThan(1)
    expect(() => holds(choices, attack!, breached)).not.toThrow()
  })

  it.each<[string, Expected]>([
    ["it withstands what it does not", { kind: "withstood" }],
    ["its guest is killed, and is not", { kind: "killed" }],
    ["nothing is gained, and something is", { kind: "harmless" }],
    ["less leaks than does", { kind: "breached", gains: gains.slice(1), why: "" }],
    ["more leaks than does", { kind: "breached", gains: [...gains, "read the moon"], why: "" }],
  ])("%s", (_what, expected) => {
    expect(() => holds(choices, attack!, expected)).toThrow()
  })

  it("nor may a design do better than it says", () => {
    expect(() => holds(named("lguest").choices, attack!, breached)).toThrow()
  })
})
