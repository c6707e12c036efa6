import { html, type Html, trusted } from "../report/html.ts"
import { ratio, short, whole } from "../report/numbers.ts"
import { bars } from "../report/plots.ts"
import { plainColor, STYLE } from "../report/style.ts"
import { COLUMNS, type Counts, faultKinds } from "./counts.ts"
import type { Bench } from "./result.ts"
import { type Group, groupsOf } from "./table.ts"

/* The result of `designs bench` as a page of its own: it asks for nothing from elsewhere and runs no script. */

const isMeasured = (row: Group["rows"][number]) => row.outcome === "measured"

/** Bars of some of the columns, side by side for each design. */
const plot = (group: Group, id: string, title: string, names: ReadonlyArray<string>): Html => {
  const rows = group.rows.filter(isMeasured) as ReadonlyArray<{ readonly design: string; readonly counts: Counts }>
  const series = COLUMNS.filter(({ name }) => names.includes(name)).map((column, i) => ({
    name: column.title,
    color: plainColor(i),
    values: rows.map(({ counts }) => counts[column.name] ?? 0),
  }))
  const categories = rows.map(({ design }) => design)
  const legend = series.map(
    ({ name, color }) => html`<span class="key"><span class="swatch" style="--swatch:${color}"></span>${name}</span> `,
  )
  return html`<figure>
    <figcaption>
      <h3>${title}</h3>
      <p>${legend}</p>
    </figcaption>
    ${bars({ id, title, description: `${title}, for each design` }, categories, series, false)}
  </figure>`
}

const CYCLES = COLUMNS.filter(({ modelled }) => modelled).map(({ name }) => name)

const table = ({ rows, first }: Group): Html =>
  html`<div class="scroll">
    <table>
      <thead>
        <tr>
          <th>design</th>
          ${COLUMNS.map(({ title }) => html`<th colspan="2">${title}</th>`)}
          <th>shadow faults by kind</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map((row) =>
          row.outcome === "measured"
            ? html`<tr>
                <th>${row.design}</th>
                ${COLUMNS.map(({ name }) => {
                  const count = row.counts[name] ?? 0
                  const exact = Number.isInteger(count) ? whole(count) : String(count)
                  return html`<td>${exact}</td>
                    <td class="ratio">${first === undefined ? "" : ratio(count, first[name] ?? 0)}</td>`
                })}
                <td>
                  ${faultKinds(row.counts)
                    .map(([kind, count]) => `${kind} ${short(count)}`)
                    .join(", ")}
                </td>
              </tr>`
            : html`<tr>
                <th>${row.design}</th>
                <td colspan="${2 * COLUMNS.length + 1}" class="reason">${row.outcome}: ${row.reason}</td>
              </tr>`,
        )}
      </tbody>
    </table>
  </div>`

const section = (group: Group, i: number): Html => {
  const { arch, workload, rows } = group
  const any = rows.some(isMeasured)
  return html`<section>
    <h2>${workload.name} on ${arch}</h2>
    <p>${workload.text}: <code>${workload.lines.join("; ")}</code></p>
    ${
      any
        ? html`<div class="grid">
            ${plot(group, `w${i}`, "World switches and CR3 loads", ["world-switches", "cr3-loads"])}
            ${plot(group, `c${i}`, "Cycles (modelled)", CYCLES)}
          </div>`
        : undefined
    }
    ${table(group)}
  </section>`
}

const sources = ({ costs }: Bench): Html =>
  html`<section>
    <h2>Where the cycles come from</h2>
    <p>Every figure and its source. The C code of a real host has no price in any of them.</p>
    ${costs.map(
      ({ name, processor, figures }) =>
        html`<h3>${name}: ${processor}</h3>
          <div class="scroll">
            <table class="sources">
              <thead>
                <tr>
                  <th>event</th>
                  <th>cycles</th>
                  <th>source</th>
                </tr>
              </thead>
              <tbody>
                ${figures.map(
                  ({ event, cycles, assumption, source }) =>
                    html`<tr>
                      <th>${event}</th>
                      <td>${cycles}</td>
                      <td class="reason">${assumption ? "assumption: " : ""}${source}</td>
                    </tr>`,
                )}
              </tbody>
            </table>
          </div>`,
    )}
  </section>`

const OWN_STYLE = `
td.reason { text-align: left; white-space: normal; color: var(--soft); }
.key { margin-right: 14px; }
table.sources { margin-bottom: 16px; }`

export const page = (bench: Bench): string =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>lguest64: designs compared</title>
        <style>
          ${trusted(STYLE + OWN_STYLE)}
        </style>
      </head>
      <body>
        <header>
          <h1>${bench.designs.length} designs, the same guest</h1>
          <p>
            Counts are exact: a run with the workload minus one that only boots. Cycles are a model: counts times the
            figures of a cost table. Ratios are to the first design of the architecture. Seed ${bench.seed}, scale
            ${bench.scale}, ${bench.memoryBytes / 2 ** 20} MiB for the guest.
          </p>
        </header>
        <main>
          <section>
            <h2>The designs</h2>
            <div class="scroll">
              <table>
                <tbody>
                  ${bench.designs.map(
                    ({ name, choices: { arch }, title }) =>
                      html`<tr>
                        <th>${name}</th>
                        <td class="reason">${arch}</td>
                        <td class="reason">${title}</td>
                      </tr>`,
                  )}
                </tbody>
              </table>
            </div>
          </section>
          ${groupsOf(bench).map(section)}${sources(bench)}
        </main>
        <footer>
          <p>
            Made by <code>lguest64 designs bench</code> (lguest64 ${bench.lguest64}); see <code>docs/designs.md</code>.
          </p>
        </footer>
      </body>
    </html> `.text
