import type { Engine } from "../engine.ts"
import { infoPda } from "./area.ts"
import { infoSwitches } from "./counts.ts"
import { infoGdt, infoIdt } from "./descriptors.ts"
import { infoPci } from "./devices.ts"
import { examine, FIRST_FORMAT, type Position } from "./examine.ts"
import { infoMem } from "./mem.ts"
import { infoPageTable, infoShadow } from "./pageTable.ts"
import { infoRegisters } from "./registers.ts"
import { Subject } from "./subject.ts"
import { infoTasks } from "./tasks.ts"
import { columns, fail, MonitorError, parseIndex, parseNumber } from "./text.ts"
import { infoTlb } from "./tlb.ts"
import { infoVcpu } from "./vcpu.ts"

/*
 * The monitor's commands: a line in, text out. Nothing of it knows of terminals or sockets, and no line makes it throw.
 */

/** Who runs the guest, as far as a command can tell him what to do; under gdb nobody, because gdb does. */
export interface Control {
  readonly stopped: boolean
  stop(): void
  go(): void
  /** `count` instructions of a virtual CPU. Why not, or "": whoever runs the guest says when they are done. */
  step(vcpu: number, count: number): string
  /** Ends the run. */
  quit(): void
}

/** Writes a snapshot of an engine; the answer is what came of it. */
export type SaveEngine = (engine: Engine, file: string) => string

type Words = ReadonlyArray<string>

interface Command {
  /** What follows the name. */
  readonly usage: string
  readonly help: string
  readonly run: (words: Words) => string
}

type Info = readonly [usage: string, help: string, run: (subject: Subject, words: Words) => string]

const INFO: Readonly<Record<string, Info>> = {
  registers: ["[VCPU|-a]", "registers as the guest has them; -a: of all virtual CPUs", infoRegisters],
  tlb: ["[PROCESSOR]", "what a processor's TLB holds: linear page, physical address, rights", infoTlb],
  mem: ["", "what the guest's page tables map, and with which rights", infoMem],
  pagetable: ["ADDRESS [kernel|user]", "the guest's walk and the shadow's, entry by entry", infoPageTable],
  shadow: ["ADDRESS", "the shadow's walk in each view, with its root", infoShadow],
  vcpu: ["", "what each virtual CPU is doing, and where", infoVcpu],
  pda: ["[PROCESSOR]", "a processor's data in the host, and the VCPU descriptor in it", infoPda],
  idt: ["", "interrupt handlers: the guest's, and the processor's", infoIdt],
  gdt: ["", "segment descriptors: the guest's, and the processor's", infoGdt],
  switches: ["", "exact counts so far: switches, traps, hypercalls, faults", infoSwitches],
  tasks: ["", "what the host schedules", infoTasks],
  pci: ["", "the guest's devices and their queues", infoPci],
  devices: ["", "the same", infoPci],
}

const MOST_STEPS = 1_000_000

/** An answer is one that a person can still read; gdb's protocol needs no more either. */
const LONGEST_LINE = 1000

export class Monitor {
  private readonly engine: () => Engine | undefined
  private readonly control: Control | undefined
  private readonly saveEngine: SaveEngine | undefined
  private readonly commands: Readonly<Record<string, Command>>
  private selected = 0
  private position: Position = { format: FIRST_FORMAT, next: 0n }

  /** `engine`: the one that runs now; undefined before there is one. */
  constructor(engine: () => Engine | undefined, control?: Control, save?: SaveEngine) {
    this.engine = engine
    this.control = control
    this.saveEngine = save
    this.commands = this.build()
  }

  /** The answer to a line, without a newline at its end; "" where there is nothing to say. */
  execute(line: string): string {
    try {
      if (line.length > LONGEST_LINE) return fail(`a line of more than ${LONGEST_LINE} characters`)
      const [first, ...words] = line.split(/\s+/).filter((word) => word !== "")
      if (first === undefined) return ""
      // x/3i is the command x with a format.
      const [, name, slash] = /^([^/]*)\/?(.*)$/.exec(first)!
      if (name === "x" || name === "xp") return this.examine(name, slash!, words)
      const command = Object.hasOwn(this.commands, first) ? this.commands[first] : undefined
      return command === undefined ? fail(`there is no command ${first}; try help`) : command.run(words)
    } catch (thrown) {
      if (thrown instanceof MonitorError) return thrown.message
      // Looking must not end a run, whatever a guest's memory has made of our assumptions.
      return `this cannot be shown: ${thrown instanceof Error ? thrown.message : String(thrown)}`
    }
  }

  /** What a line could go on with. */
  complete(line: string): ReadonlyArray<string> {
    const [, before, word] = /^(.*?)(\S*)$/.exec(line)!
    const names = /^\s*$/.test(before!)
      ? [...Object.keys(this.commands), "x", "xp"]
      : /^\s*info\s+$/.test(before!)
        ? Object.keys(INFO)
        : []
    return names.filter((name) => name.startsWith(word!)).map((name) => before! + name)
  }

  /** The instruction that a virtual CPU is at. */
  where(vcpu: number): string {
    const subject = new Subject(this.engine() ?? fail("there is no guest yet"), vcpu)
    const position: Position = { format: { count: 1, format: "i", size: 1 }, next: subject.register("rip") }
    try {
      return `virtual CPU ${subject.index} at ${examine(subject, position, "i", [], false)}`
    } catch (thrown) {
      if (thrown instanceof MonitorError) return `virtual CPU ${subject.index}: ${thrown.message}`
      throw thrown
    }
  }

  private get subject(): Subject {
    return new Subject(this.engine() ?? fail("there is no guest yet"), this.selected)
  }

  private get driver(): Control {
    return this.control ?? fail("it is gdb that stops, steps and ends this guest")
  }

  private examine(name: "x" | "xp", slash: string, words: Words): string {
    return examine(this.subject, this.position, slash, words, name === "xp")
  }

  private build(): Readonly<Record<string, Command>> {
    const none = (words: Words, name: string): void => {
      if (words.length > 0) fail(`${name} takes nothing more, but there is "${words.join(" ")}"`)
    }
    return {
      help: { usage: "[COMMAND]", help: "this list, or one line of it", run: (words) => this.help(words) },
      info: { usage: "WHAT ...", help: "looks at something", run: (words) => this.info(words) },
      vcpu: {
        usage: "[N]",
        help: "selects the virtual CPU that the others are about",
        run: (words) => this.select(words),
      },
      stop: {
        usage: "",
        help: "the guest stands still, and so does its time",
        run: (words) => {
          none(words, "stop")
          this.driver.stop()
          return `the guest is stopped\n${this.where(this.subject.index)}`
        },
      },
      cont: {
        usage: "",
        help: "the guest goes on",
        run: (words) => {
          none(words, "cont")
          this.driver.go()
          return ""
        },
      },
      step: {
        usage: "[N]",
        help: "stops, and does N instructions (1) of the selected virtual CPU",
        run: (words) => this.step(words),
      },
      trace: {
        usage: "[on|off]",
        help: "goes on recording for --trace FILE, or pauses",
        run: (words) => this.trace(words),
      },
      save: {
        usage: "FILE",
        help: "a snapshot of the machine as it is now, for run --restore FILE",
        run: (words) => this.save(words),
      },
      quit: {
        usage: "",
        help: "ends the run, like Ctrl-A x",
        run: (words) => {
          none(words, "quit")
          this.driver.quit()
          return ""
        },
      },
    }
  }

  private info([what, ...words]: Words): string {
    if (what === undefined) return this.help(["info"])
    const info = Object.hasOwn(INFO, what) ? INFO[what] : undefined
    if (info === undefined) return fail(`there is nothing like info ${what}; try help`)
    const most = info[0] === "" ? 0 : info[0].split(" ").length
    if (words.length > most) fail(`info ${what}${most === 0 ? "" : ` ${info[0]}`} takes no "${words[most]}"`)
    return info[2](this.subject, words)
  }

  private save(words: Words): string {
    if (words.length === 0) fail("save FILE: where to?")
    const save = this.saveEngine ?? fail("this run cannot be saved")
    return save(this.engine() ?? fail("there is no guest yet"), words.join(" "))
  }

  private select([which]: Words): string {
    const { vcpus, index } = this.subject
    if (which === undefined) return `virtual CPU ${index} is selected`
    this.selected = parseIndex(which, vcpus.length, "virtual CPU")
    return ""
  }

  private step([count = "1"]: Words): string {
    const steps = parseNumber(count) ?? fail(`step N: "${count}" is no number`)
    if (steps < 1n || steps > BigInt(MOST_STEPS)) fail(`step N: 1 to ${MOST_STEPS} instructions`)
    return this.driver.step(this.subject.index, Number(steps))
  }

  private trace([how, ...rest]: Words): string {
    const { engine } = this.subject
    const run = engine.trace?.() ?? fail("nothing is recorded: the run was started without --trace FILE")
    if (rest.length > 0 || (how !== undefined && how !== "on" && how !== "off")) return fail("trace [on|off]")
    const { buffers, ends } = run
    if (how !== undefined) buffers.setPaused(how === "off", ends)
    if (buffers.stopped) return "the trace is full (--trace-limit)"
    return buffers.paused ? "the trace pauses" : "the trace records"
  }

  private help([about]: Words): string {
    const all: Array<readonly [string, string]> = []
    for (const [name, { usage, help }] of Object.entries(this.commands))
      if (name === "info")
        for (const [what, [words, text]] of Object.entries(INFO)) all.push([`info ${what} ${words}`.trim(), text])
      else all.push([`${name} ${usage}`.trim(), help])
    all.push(["x/NFU ADDRESS", "N units of memory: format F (x d u o c s i), size U (b h w g); ADDRESS may be $rip+4"])
    all.push(["xp/NFU ADDRESS", "the same by guest-physical address"])
    const asked = all.filter(([usage]) => about === undefined || usage.split(/[ /]/).includes(about))
    if (asked.length === 0) return fail(`there is no command ${about}`)
    return columns(asked)
  }
}
