import { describe, expect, it } from "vitest"
import { type Choices, LGUEST64 } from "../../src/design/dimensions.ts"
import { bootPuppy } from "../designs/puppy.ts"

/* puppy, the same image as ever, on shadows that are kept in different ways, in views of different kinds. */

/** What is typed, and what must be in the answer. */
const SCRIPT: ReadonlyArray<readonly [line: string, answer: string]> = [
  ["echo one two | cat", "\none two\n"],
  ["echo both | tee /tmp/x; cp /tmp/x /tmp/y && cat /tmp/y", "\nboth\nboth\n"],
  ["(exit 3); echo left $?", "\nleft 3\n"],
  ["fork-bench 4 >/dev/null; echo forked $?", "\nforked 0\n"],
  ["page-bench 40 >/dev/null; echo paged $?", "\npaged 0\n"],
  ["ctx-bench 10 >/dev/null; echo switched $?", "\nswitched 0\n"],
  ["sleep 0.05 & sh -c 'sh -c true; exit 4'; echo child $?; wait", "\nchild 4\n"],
]
const SCRIPT_ON_TWO: typeof SCRIPT = [
  ...SCRIPT,
  ["fork-bench 4 >/dev/null & fork-bench 4 >/dev/null & wait; echo together", "\ntogether\n"],
  ["shootdown-bench 2 3 >/dev/null; echo shot $?", "\nshot 0\n"],
]

const KINDS: ReadonlyArray<readonly [name: string, choices: Partial<Choices>]> = [
  ["ring 3, two views", {}],
  ["ring 3, one view", { spaces: "one" }],
  ["ring 1, one view", { ring: 1, spaces: "one" }],
  ["ring 1, two views", { ring: 1 }],
  [
    "ring 1, one view, all of the host mapped",
    { ring: 1, spaces: "one", host: "everything", pageOffset: "host-moves" },
  ],
]

describe.each(["kvm", "throw-away", "on-demand"] as const)("puppy on shadows kept by %s", (mmu) =>
  describe.each(KINDS)("%s:", (_, choices) =>
    it.each([
      [1, SCRIPT],
      [2, SCRIPT_ON_TWO],
    ] as const)("a shell on %i virtual CPUs", async (vcpus, script) => {
      const puppy = await bootPuppy({ ...LGUEST64, ...choices, mmu }, { vcpus })
      const { kind, cause, output } = puppy.run([...script.map(([line]) => line), "poweroff"])
      expect([kind, cause], output.slice(-500)).toEqual(["powerOff", ""])
      for (const [, answer] of script) expect(output).toContain(answer)
      expect(output).not.toMatch(/BROKEN|STALE|panic/)
    }),
  ),
)
