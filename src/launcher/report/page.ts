import { html, type Html, trusted } from "./html.ts"
import { duration, whole } from "./numbers.ts"
import { swatch } from "./parts.ts"
import type { Run } from "./runs.ts"
import { comparison, cycles, overTime, processors, reasons, rings, shadowPages } from "./sections.ts"
import { runColor, STYLE } from "./style.ts"

/* The page. It names its own style as the only thing that a browser may use, should anything else ever get in. */

const card = ({ name, stats }: Run, i: number): Html => {
  const { native, module, design, perProcessor } = stats
  return html` <article class="card" style="--swatch:${runColor(i)}">
    <h3>${swatch(runColor(i))}${name}</h3>
    <dl>
      <dt>architecture</dt>
      <dd>${stats.arch}</dd>
      <dt>module</dt>
      <dd>${native ? "none: the kernel has the PC for itself" : (module ?? "–")}</dd>
      <dt>design</dt>
      <dd>${design ?? "–"}</dd>
      <dt>processors</dt>
      <dd>${perProcessor?.length ?? 1}</dd>
      <dt>instructions</dt>
      <dd>${whole(stats.instructions.total)}</dd>
      <dt>time</dt>
      <dd>${duration(stats.simulatedSeconds)} simulated, ${duration(stats.seconds)} on the wall</dd>
      <dt>command line</dt>
      <dd><code>lguest64 ${stats.commandLine.map(quote).join(" ")}</code></dd>
      <dt>versions</dt>
      <dd>lguest64 ${stats.versions.lguest64}, Node ${stats.versions.node}</dd>
    </dl>
  </article>`
}

/** As a shell reads it. */
const quote = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)

export const page = (runs: ReadonlyArray<Run>): string =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>lguest64: ${runs.map(({ name }) => name).join(", ")}</title>
        <style>
          ${trusted(STYLE)}
        </style>
      </head>
      <body>
        <header>
          <h1>${runs.length === 1 ? "What a run did" : `What ${runs.length} runs did`}</h1>
          <p>
            Counts are exact. Cycles are a model: counts times the figures of a cost table. Simulated time is one
            nanosecond for each instruction, and idle time.
          </p>
          <div class="runs">${runs.map(card)}</div>
        </header>
        <main>
          ${comparison(runs)}${cycles(runs)}${overTime(runs)}${rings(runs)}${shadowPages(runs)}${reasons(runs)}${processors(runs)}
        </main>
        <footer>
          <p>Made by <code>lguest64 report</code>. What each count means is told in <code>docs/stats.md</code>.</p>
        </footer>
      </body>
    </html> `.text
