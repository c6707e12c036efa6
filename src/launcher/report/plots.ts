import { draw, GRID_LINE, TEXT } from "./chart.ts"
import { clip, type Html } from "./html.ts"
import { short } from "./numbers.ts"
import type { Point } from "./series.ts"

/* The three kinds of plots that the page has: bars, ratios, and lines over time. */

export interface Named {
  readonly id: string
  readonly title: string
  readonly description: string
}

/** One value for each category. */
export interface Bars {
  readonly name: string
  readonly color: string
  readonly values: ReadonlyArray<number>
}

const LONGEST_LABEL = 30
const BAR = 16
const AXIS = 34
const GAP = 14
const WIDTH = 680
/** Of a letter at 12 px, on average. */
const LETTER = 6.8

/** ECharts shortens nothing by itself. */
const labels = (names: ReadonlyArray<string>) => names.map((name) => clip(name, LONGEST_LABEL))
const room = (names: ReadonlyArray<string>): number =>
  Math.min(Math.max(...names.map((name) => Array.from(name).length)), LONGEST_LABEL) * LETTER + 16

/** Horizontal bars: side by side, or one on top of the other. */
export const bars = (
  named: Named,
  categories: ReadonlyArray<string>,
  series: ReadonlyArray<Bars>,
  stacked: boolean,
  format: (n: number) => string = short,
): Html => {
  const perCategory = stacked ? 1 : series.length
  return draw({
    ...named,
    width: WIDTH,
    height: categories.length * (perCategory * (stacked ? BAR * 2 : BAR) + GAP) + AXIS,
    tip: (s, i) => `${categories[i]}, ${series[s]!.name}: ${format(series[s]!.values[i]!)}`,
    option: {
      grid: { left: room(categories), right: 30, top: 4, bottom: AXIS - 8 },
      xAxis: {
        type: "value",
        splitLine: GRID_LINE,
        splitNumber: 4,
        axisLabel: { ...TEXT, formatter: (n: number) => format(n) },
      },
      yAxis: {
        type: "category",
        inverse: true,
        data: labels(categories),
        axisTick: { show: false },
        axisLine: GRID_LINE,
        axisLabel: { ...TEXT, color: "var(--ink)", interval: 0 },
      },
      series: series.map(({ color, values }) => ({
        type: "bar" as const,
        ...(stacked ? { stack: "all", barWidth: BAR * 1.7 } : { barMaxWidth: BAR, barGap: "10%" }),
        itemStyle: { color, borderColor: "var(--surface)", borderWidth: stacked ? 1 : 0 },
        data: [...values],
      })),
    },
  })
}

/** Bars to the left and right of 1, on a logarithmic scale: twice as much is as long as half. */
export const ratios = (named: Named, categories: ReadonlyArray<string>, series: ReadonlyArray<Bars>): Html => {
  const drawn = series.flatMap(({ values }) => values.filter((n) => n > 0))
  const reach = Math.max(2, ...drawn.map((n) => Math.max(n, 1 / n)))
  return draw({
    ...named,
    width: WIDTH,
    height: categories.length * (series.length * BAR + GAP) + AXIS,
    tip: (s, i) => `${categories[i]}, ${series[s]!.name}: ×${Number(series[s]!.values[i]!.toPrecision(3))}`,
    option: {
      grid: { left: room(categories), right: 30, top: 4, bottom: AXIS - 8 },
      xAxis: {
        type: "log",
        logBase: reach > 30 ? 10 : 2,
        min: drawn.some((n) => n < 1) ? 1 / reach : 1,
        max: drawn.some((n) => n > 1) ? reach : 1,
        startValue: 1,
        splitLine: GRID_LINE,
        axisLabel: { ...TEXT, formatter: (n: number) => `×${Number(n.toPrecision(2))}`, hideOverlap: true },
      },
      yAxis: {
        type: "category",
        inverse: true,
        data: labels(categories),
        axisTick: { show: false },
        axisLine: { ...GRID_LINE, onZero: false },
        axisLabel: { ...TEXT, color: "var(--ink)", interval: 0 },
      },
      series: series.map(({ color, values }) => ({
        type: "bar" as const,
        barMaxWidth: BAR,
        barGap: "10%",
        itemStyle: { color },
        data: values.map((n) => (n > 0 ? n : "-")),
      })),
    },
  })
}

export interface Line {
  readonly color: string
  readonly dash: "solid" | "dashed" | "dotted"
  readonly points: ReadonlyArray<Point>
}

export interface Lines {
  readonly lines: ReadonlyArray<Line>
  /** Areas on top of each other; else lines. */
  readonly stacked: boolean
  /** A value holds from the point before: rates. */
  readonly steps: boolean
  readonly x: { readonly title: string; readonly format: (x: number) => string }
  readonly y: (n: number) => string
  readonly wide?: true
}

export const lines = (named: Named, { lines, stacked, steps, x, y, wide }: Lines): Html =>
  draw({
    ...named,
    width: wide === true ? WIDTH : 540,
    height: 230,
    option: {
      grid: { left: 62, right: 24, top: 12, bottom: 46 },
      xAxis: {
        type: "value",
        min: "dataMin",
        max: "dataMax",
        name: x.title,
        nameLocation: "middle",
        nameGap: 28,
        nameTextStyle: TEXT,
        splitLine: { show: false },
        splitNumber: 5,
        axisLine: { show: true, ...GRID_LINE },
        axisLabel: { ...TEXT, hideOverlap: true, showMaxLabel: false, formatter: x.format },
      },
      yAxis: {
        type: "value",
        min: 0,
        splitLine: GRID_LINE,
        splitNumber: 4,
        axisLabel: { ...TEXT, formatter: (n: number) => y(n) },
      },
      series: lines.map(({ color, dash, points }) => ({
        type: "line" as const,
        symbol: "none",
        clip: false,
        ...(steps ? { step: "start" as const } : {}),
        ...(stacked ? { stack: "all", areaStyle: { color, opacity: 0.75 } } : {}),
        lineStyle: { color, width: stacked ? 0.5 : 1.6, type: dash },
        data: points.map((point) => [...point]),
      })),
    },
  })
