import { clip, html, type Html } from "./html.ts"
import { duration, percent, ratio, short, whole } from "./numbers.ts"
import { type Cell, figure, section, swatch, table } from "./parts.ts"
import { bars, lines, ratios } from "./plots.ts"
import { costTables, cyclesWith, exits, metrics, type Metric, PART_NAMES, PARTS, type Run } from "./runs.ts"
import { type Clock, clockFor, level, type Point, rate } from "./series.ts"
import { partColor, plainColor, runColor, runDash } from "./style.ts"

/* The page's sections, from the whole to the parts. One that has nothing to show is not there. */

type Runs = ReadonlyArray<Run>

const headOf = (runs: Runs): ReadonlyArray<Cell> => runs.map(({ name }, i) => html`${swatch(runColor(i))}${name}`)

const asText = ({ time }: Metric, n: number | undefined): string =>
  n === undefined ? "–" : time === true ? duration(n) : whole(n)

/** Runs beside each other; ratios are to the first. */
export const comparison = (runs: Runs): Html => {
  const [first, ...others] = runs
  if (first === undefined || others.length === 0) return html``
  const all = metrics(runs)
  const plotted = all.filter(({ plotted, of }) => plotted && (of(first.stats) ?? 0) > 0)
  const series = others.map((run, i) => ({
    name: run.name,
    color: runColor(i + 1),
    values: plotted.map(({ of }) => (of(run.stats) ?? 0) / of(first.stats)!),
  }))
  const rows = all.map((metric): ReadonlyArray<Cell> => {
    const base = metric.of(first.stats)
    const cells = others.flatMap(({ stats }): ReadonlyArray<Cell> => {
      const n = metric.of(stats)
      return [asText(metric, n), n === undefined || base === undefined ? "–" : ratio(n, base)]
    })
    return [metric.name, asText(metric, base), ...cells]
  })
  const [base, ...heads] = headOf(runs)
  return section("The runs compared", html`Each count divided by that of ${first.name}, the first run.`, [
    figure({
      title: "Ratio to the first run",
      text: "A logarithmic scale: twice as much is as far to the right as half is to the left. No bar: none, or as much.",
      plot: ratios(
        {
          id: "ratios",
          title: "Ratio to the first run",
          description: "Bars for each count and run; the table has them.",
        },
        plotted.map(({ name }) => name),
        series,
      ),
      table: table({ caption: "The runs compared", head: ["", base!, ...heads.flatMap((h) => [h, "ratio"])], rows }),
    }),
  ])
}

/** Where the cycles went, for each cost table. */
export const cycles = (runs: Runs): Html =>
  section(
    "Where the cycles went",
    "Modelled: instructions by the ring they ran in, and the events that cost more than an instruction. Under a module ring 0 is the host.",
    costTables(runs).map((name, n) => {
      const priced = runs.map((run) => cyclesWith(run, name))
      const parts = PARTS.filter((part) => priced.some((c) => (c?.parts[part] ?? 0) > 0))
      const row = (of: (c: NonNullable<(typeof priced)[number]>) => number) =>
        priced.flatMap((c): ReadonlyArray<Cell> =>
          c === undefined ? ["–", "–"] : [short(of(c)), percent(of(c), c.total)],
        )
      return figure({
        title: `Cost table ${clip(name, 60)}`,
        beside: true,
        plot: bars(
          {
            id: `cycles${n}`,
            title: `Where the cycles went, by cost table ${clip(name, 60)}`,
            description: "A bar for each run, stacked by what the cycles were spent on; the table has the figures.",
          },
          runs.map((run) => run.name),
          parts.map((part) => ({
            name: PART_NAMES[part],
            color: partColor(part),
            values: priced.map((c) => c?.parts[part] ?? 0),
          })),
          true,
        ),
        table: table({
          caption: "Modelled cycles by what they were spent on",
          head: ["cycles", ...headOf(runs).flatMap((h) => [h, ""])],
          rows: [
            ...parts.map((part) => [html`${swatch(partColor(part))}${PART_NAMES[part]}`, ...row((c) => c.parts[part])]),
            ["all", ...row((c) => c.total)],
          ],
          total: true,
        }),
      })
    }),
  )

const RATES = [
  ["worldSwitches", "World switches"],
  ["hypercalls", "Hypercalls"],
  ["traps", "Traps delivered by the processor"],
  ["cr3Loads", "CR3 loads"],
  ["tlbMisses", "TLB misses"],
  ["interruptsInjected", "Interrupts injected"],
] as const

const highest = (points: ReadonlyArray<Point>): Point =>
  points.reduce((high, point) => (point[1] > high[1] ? point : high), points[0] ?? [0, 0])

const mean = (xs: ReadonlyArray<number>, counts: ReadonlyArray<number>, unit: number): number => {
  const span = (xs.at(-1) ?? 0) - (xs[0] ?? 0)
  return span > 0 ? ((counts.at(-1)! - counts[0]!) / span) * unit : 0
}

const rateFigure = (runs: Runs, clock: Clock, key: (typeof RATES)[number][0], title: string): Html => {
  const points = runs.map((run) => rate(clock.of(run), run.stats.samples[key], clock.unit))
  return figure({
    title: `${title} ${clock.per}`,
    plot: lines(
      {
        id: key,
        title: `${title} over time`,
        description: `A line for each run: ${title.toLowerCase()} ${clock.per}. The table has totals, means and peaks.`,
      },
      {
        lines: points.map((points, i) => ({ points, color: runColor(i), dash: runDash(i) })),
        stacked: false,
        steps: true,
        x: clock,
        y: short,
      },
    ),
    table: table({
      caption: `${title} over time`,
      head: ["", "in all", "mean", "peak", "peak at"],
      rows: runs.map((run, i) => {
        const counts = run.stats.samples[key]
        const [at, peak] = highest(points[i]!)
        const average = mean(clock.of(run), counts, clock.unit)
        return [
          html`${swatch(runColor(i))}${run.name}`,
          whole(counts.at(-1) ?? 0),
          short(average),
          short(peak),
          clock.format(at),
        ]
      }),
    }),
  })
}

/** Rates of the counters over the run. */
export const overTime = (runs: Runs): Html => {
  const clock = clockFor(runs)
  const shown = RATES.filter(([key]) => runs.some(({ stats }) => (stats.samples[key].at(-1) ?? 0) > 0))
  const figures = shown.map(([key, title]) => rateFigure(runs, clock, key, title))
  return section(
    "Switches and traps over time",
    ABOUT[clock.title]!,
    figures.length === 0 ? [] : [html`<div class="grid">${figures}</div>`],
  )
}

const ABOUT: Readonly<Record<string, string>> = {
  "simulated time": "How often things happened, between one sample and the next.",
  "instructions executed":
    "How often things happened, between one sample and the next. As a run was mostly idle, the axis is the work done: its idle time is left out.",
}

const RINGS = ["ring3", "ring2", "ring1", "ring0"] as const

/** What a processor was busy with. */
export const rings = (runs: Runs): Html => {
  const clock = clockFor(runs)
  const busy = runs.filter(({ stats }) => stats.instructions.total > 0)
  const figures = busy.map((run, n) => {
    const { samples, instructions } = run.stats
    const used = RINGS.filter((ring) => instructions[ring] > 0)
    const whose = (ring: string) => {
      if (ring === "ring0") return run.stats.native ? "the kernel" : "the host"
      if (ring === "ring3")
        return run.stats.native ? "programs" : run.stats.arch === "i386" ? "programs" : "the guest, programs"
      return "the guest's kernel"
    }
    return figure({
      title: run.name,
      plot: lines(
        {
          id: `rings${n}`,
          title: `Instructions by ring over time: ${run.name}`,
          description: "Stacked areas: the share of a processor that each ring had. The table has the sums.",
        },
        {
          lines: used.map((ring) => ({
            color: partColor(ring),
            dash: "solid",
            points: rate(clock.of(run), samples.instructions[ring], clock.instruction),
          })),
          stacked: true,
          steps: true,
          x: clock,
          y: (share) => `${Math.round(share * 100)} %`,
        },
      ),
      table: table({
        caption: `Instructions by ring: ${run.name}`,
        head: ["ring", "instructions", "share"],
        rows: used.map((ring) => [
          html`${swatch(partColor(ring))}${ring.slice(4)}: ${whose(ring)}`,
          whole(instructions[ring]),
          percent(instructions[ring], instructions.total),
        ]),
      }),
    })
  })
  return section(
    "Who had the processor",
    "The share of a processor by privilege level. What is missing from 100 % was idle; several processors have several hundred.",
    figures.length === 0 ? [] : [html`<div class="grid">${figures}</div>`],
  )
}

/** Levels by the hardware's number; at most so many can be told apart. */
const MOST_LEVELS = 8

export const shadowPages = (runs: Runs): Html => {
  const clock = clockFor(runs)
  const shadowed = runs.filter(({ stats }) => Object.keys(stats.samples.shadowPagesAlive).length > 0)
  const figures = shadowed.map((run, n) => {
    const levels = Object.entries(run.stats.samples.shadowPagesAlive).slice(0, MOST_LEVELS)
    const name = (key: string) => `level ${clip(key, 12)}`
    return figure({
      title: run.name,
      plot: lines(
        {
          id: `shadow${n}`,
          title: `Shadow pages by level over time: ${run.name}`,
          description: "Stacked areas: the shadow pages there were of each level. The table has ends and peaks.",
        },
        {
          lines: levels.map(([, counts], i) => ({
            color: plainColor(i),
            dash: "solid",
            points: level(clock.of(run), counts),
          })),
          stacked: true,
          steps: false,
          x: clock,
          y: short,
        },
      ),
      table: table({
        caption: `Shadow pages by level: ${run.name}`,
        head: ["", "made", "most at once", "at", "at the end"],
        rows: levels.map(([key, counts], i) => {
          const [at, most] = highest(counts.map((count, n): Point => [clock.of(run)[n]!, count]))
          return [
            html`${swatch(plainColor(i))}${name(key)}`,
            whole(Object.hasOwn(run.stats.shadowPages, key) ? run.stats.shadowPages[key]! : 0),
            whole(most),
            clock.format(at),
            whole(counts.at(-1) ?? 0),
          ]
        }),
      }),
    })
  })
  return section(
    "Shadow pages by level",
    "Tables that the processor really walks while a guest runs, by the hardware's level: 1 are the page tables.",
    figures.length === 0 ? [] : [html`<div class="grid">${figures}</div>`],
  )
}

const MOST_ROWS = 24

/** Counts by name for each run: the most frequent ones, and the rest in one. */
const byName = (
  id: string,
  title: string,
  text: string,
  runs: Runs,
  of: (run: Run) => Readonly<Record<string, number>>,
): ReadonlyArray<Html> => {
  const counts = runs.map((run) => new Map(Object.entries(of(run))))
  const sums = new Map<string, number>()
  for (const one of counts) for (const [name, count] of one) sums.set(name, (sums.get(name) ?? 0) + count)
  const names = [...sums]
    .filter(([, n]) => n > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([name]) => name)
  if (names.length === 0) return []
  const shown = names.length > MOST_ROWS ? names.slice(0, MOST_ROWS - 1) : names
  const rest = names.slice(shown.length)
  const labels = [...shown, ...(rest.length > 0 ? [`${rest.length} others`] : [])]
  const values = counts.map((one) => [
    ...shown.map((name) => one.get(name) ?? 0),
    ...(rest.length > 0 ? [rest.reduce((sum, name) => sum + (one.get(name) ?? 0), 0)] : []),
  ])
  return [
    figure({
      title,
      text,
      beside: true,
      plot: bars(
        { id, title, description: "Bars for each name and run, the most frequent first; the table has the counts." },
        labels,
        runs.map(({ name }, i) => ({ name, color: runColor(i), values: values[i]! })),
        false,
      ),
      table: table({
        caption: title,
        head: ["", ...headOf(runs)],
        rows: labels.map((label, n) => [clip(label, 40), ...values.map((one) => whole(one[n]!))]),
      }),
    }),
  ]
}

/** Why the guest was left, and what it asked for. */
export const reasons = (runs: Runs): Html => {
  const hosted = runs.filter(({ stats }) => !stats.native)
  // Colours are the runs', so native ones keep their place.
  const among = hosted.length === 0 ? [] : runs
  return section("Why the guest was left", "Every world switch has a way back, and this is what caused it.", [
    ...byName(
      "exits",
      "Exits by reason",
      "Exceptions by vector; the rest are interrupts, and single steps of emulated writes.",
      among,
      exits,
    ),
    ...byName(
      "hypercalls-by-name",
      "Hypercalls by name",
      "Asynchronous ones, which need no world switch of their own, are included.",
      among,
      ({ stats }) => stats.hypercalls,
    ),
    ...byName(
      "shadow-faults",
      "Shadow faults by what became of them",
      "Page faults that came to the shadow MMU.",
      among,
      ({ stats }) => stats.shadowFaults,
    ),
  ])
}

/** Where a run had several processors: how the work was spread. */
export const processors = (runs: Runs): Html =>
  section(
    "Processors",
    "Instructions by ring on each processor.",
    runs.flatMap(({ name, stats: { perProcessor } }, n) => {
      if (perProcessor === undefined || perProcessor.length < 2) return []
      const used = RINGS.filter((ring) => perProcessor.some(({ instructions }) => instructions[ring] > 0))
      const names = perProcessor.map(({ cpu }) => `processor ${cpu}`)
      return [
        figure({
          title: name,
          beside: true,
          plot: bars(
            {
              id: `cpus${n}`,
              title: `Instructions on each processor: ${name}`,
              description: "A bar for each processor, stacked by ring.",
            },
            names,
            used.map((ring) => ({
              name: PART_NAMES[ring],
              color: partColor(ring),
              values: perProcessor.map(({ instructions }) => instructions[ring]),
            })),
            true,
          ),
          table: table({
            caption: `Processors: ${name}`,
            head: [
              "",
              ...used.map((ring) => html`${swatch(partColor(ring))}ring ${ring.slice(4)}`),
              "TLB misses",
              "CR3 loads",
              "interrupts",
            ],
            rows: perProcessor.map(({ instructions, tlb, interrupts }, i) => [
              names[i]!,
              ...used.map((ring) => short(instructions[ring])),
              short(tlb.misses),
              short(tlb.cr3Loads),
              short(interrupts.taken),
            ]),
          }),
        }),
      ]
    }),
  )
