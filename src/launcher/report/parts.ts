import { html, type Html, trusted } from "./html.ts"

/* What sections are made of: tables, legends, figures. */

/** A colour of ours (`style.ts`), never a file's. */
export const swatch = (color: string): Html => html`<span class="swatch" style="--swatch:${color}"></span>`

export type Cell = string | Html

const cell = (content: Cell): Html => (typeof content === "string" ? html`${content}` : content)

export interface Table {
  readonly caption: string
  readonly head: ReadonlyArray<Cell>
  readonly rows: ReadonlyArray<ReadonlyArray<Cell>>
  /** The last row is the sum of those above. */
  readonly total?: boolean
}

export const table = ({ caption, head, rows, total }: Table): Html =>
  html` <div class="scroll" tabindex="0" role="region" aria-label="${caption}">
    <table>
      <thead>
        <tr>
          ${head.map((h) => html`<th scope="col">${cell(h)}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ([first, ...rest], i) =>
            html`<tr${trusted(total === true && i === rows.length - 1 ? ' class="total"' : "")}><th scope="row">${cell(first!)}</th>${rest.map((c) => html`<td>${cell(c)}</td>`)}</tr>
`,
        )}
      </tbody>
    </table>
  </div>`

export interface Figure {
  readonly title: Cell
  readonly text?: Cell
  readonly plot: Html
  readonly table: Html
  readonly beside?: true
}

export const figure = ({ title, text, plot, table, beside }: Figure): Html => html`
<figure${trusted(beside === true ? ' class="beside"' : "")}><figcaption><h3>${cell(title)}</h3>${
  text === undefined ? undefined : html`<p>${cell(text)}</p>`
}</figcaption><div>${plot}</div>${table}</figure>`

/** Nothing if there is nothing to show. */
export const section = (title: string, text: Cell, figures: ReadonlyArray<Html>): Html =>
  figures.length === 0
    ? html``
    : html`<section>
        <h2>${title}</h2>
        <p>${cell(text)}</p>
        ${figures}
      </section>`
