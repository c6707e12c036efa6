import { BarChart, type BarSeriesOption, LineChart, type LineSeriesOption } from "echarts/charts"
import { GridComponent, type GridComponentOption } from "echarts/components"
import { type ComposeOption, init, use } from "echarts/core"
import { SVGRenderer } from "echarts/renderers"
import { escape, type Html, trusted } from "./html.ts"

/*
 * A plot as SVG, drawn by ECharts here and not in the browser. Its colours are the page's CSS variables; it has a title and a
 * description for whoever hears the page read, and a tooltip on each bar. ECharts escapes texts; all else in the drawing is ours.
 */

use([BarChart, LineChart, GridComponent, SVGRenderer])

export type ChartOption = ComposeOption<BarSeriesOption | LineSeriesOption | GridComponentOption>

export interface Chart {
  /** No other plot's on the page. */
  readonly id: string
  readonly title: string
  readonly description: string
  readonly width: number
  readonly height: number
  readonly option: ChartOption
  /** What a bar says when it is pointed at, by series and place in it. */
  readonly tip?: (series: number, index: number) => string
}

export const TEXT = { color: "var(--soft)", fontSize: 12, fontFamily: "system-ui, sans-serif" } as const
export const GRID_LINE = { lineStyle: { color: "var(--line)" } } as const

/** Of the shapes that ECharts marks as data. */
const BAR =
  /<path ([^>]*?) ecmeta_series_index="(\d+)" ecmeta_data_index="(\d+)" ecmeta_ssr_type="chart"([^>]*)><\/path>/g

export const draw = ({ id, title, description, width, height, option, tip }: Chart): Html => {
  const chart = init(null, null, { renderer: "svg", ssr: true, width, height })
  try {
    chart.setOption({ animation: false, textStyle: TEXT, ...option })
    const svg = chart
      .renderToSVGString()
      // For scripts in the browser, which we have none of. No text can look like it: in texts < and " are escaped.
      .replace(/<style ?>[\s\S]*?<\/style>/g, "")
      .replace(BAR, (_all, before: string, series: string, index: string, after: string) => {
        const says = tip === undefined ? "" : `<title>${escape(tip(Number(series), Number(index)))}</title>`
        return `<path ${before}${after}>${says}</path>`
      })
      .replace(/ (?:ecmeta_\w+|class)="[^"]*"/g, "")
      .replace(/^<svg width="\d+" height="\d+"/, `<svg role="img" aria-labelledby="${id}t ${id}d"`)
      .replace(">", `><title id="${id}t">${escape(title)}</title><desc id="${id}d">${escape(description)}</desc>`)
    return trusted(svg)
  } finally {
    chart.dispose()
  }
}
