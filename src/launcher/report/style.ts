/*
 * The page's looks. Plots are drawn with these variables, so that one drawing serves light, dark and paper. The colours of the
 * series are told apart by people who do not see red or green, as they differ in lightness as well.
 */

const LIGHT = `
  --page: #f7f7f5; --surface: #ffffff; --ink: #1b1d22; --soft: #5c6370; --line: #dfe1e6; --accent: #0b62c4;
  --s0: #0b62c4; --s1: #e08a00; --s2: #14806a; --s3: #b8488f; --s4: #54b2e8; --s5: #c4421a; --s6: #6a51c7; --s7: #7b8190;
  --p-ring3: #4f8fe6; --p-ring2: #a7c9f5; --p-ring1: #88b6f2; --p-ring0: #1d4f91;
  --p-systemCalls: #14806a; --p-pageFaults: #e08a00; --p-exceptions: #c4421a; --p-interrupts: #8a5fc9;
  --p-tlbMisses: #e3c02f; --p-cr3Loads: #b8488f; --p-invlpg: #7b8190;`

const DARK = `
  --page: #14161a; --surface: #1d2026; --ink: #e8eaee; --soft: #a0a7b4; --line: #363b45; --accent: #6fb1ff;
  --s0: #5aa2f5; --s1: #f2ae49; --s2: #3fbf9f; --s3: #e07fbd; --s4: #9ad7fa; --s5: #f0784f; --s6: #a793f5; --s7: #a3a9b6;
  --p-ring3: #5aa2f5; --p-ring2: #c4ddfa; --p-ring1: #9cc6f7; --p-ring0: #3568b0;
  --p-systemCalls: #3fbf9f; --p-pageFaults: #f2ae49; --p-exceptions: #f0784f; --p-interrupts: #b394ee;
  --p-tlbMisses: #ecd35e; --p-cr3Loads: #e07fbd; --p-invlpg: #a3a9b6;`

export const STYLE = `
:root { color-scheme: light dark; ${LIGHT} }
@media screen and (prefers-color-scheme: dark) { :root { ${DARK} } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main, header, footer { max-width: 1180px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 32px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 40px 0 4px; letter-spacing: -0.005em; }
h3 { font-size: 14px; margin: 0 0 8px; font-weight: 600; overflow-wrap: anywhere; }
p { margin: 0 0 12px; color: var(--soft); max-width: 78ch; }
code { font: 12.5px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
.runs { display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 12px; margin: 20px 0; }
.card, figure { background: var(--surface); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; margin: 0; }
.card { border-top: 3px solid var(--swatch); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: 0; font-size: 13.5px; }
dt { color: var(--soft); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
figure { margin: 12px 0; display: grid; grid-template-columns: minmax(0, 1fr); gap: 8px 28px; }
figure.beside { grid-template-columns: minmax(0, 1.6fr) minmax(0, 1fr); align-items: start; }
figcaption { grid-column: 1 / -1; }
figcaption p { margin: 0; font-size: 13.5px; }
figure svg { display: block; width: 100%; height: auto; }
svg text { font-family: system-ui, sans-serif; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(460px, 100%), 1fr)); gap: 12px; margin: 12px 0; }
.grid figure { margin: 0; align-content: start; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 8px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td:last-child, th:last-child { padding-right: 0; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 400; }
tbody tr:last-child > * { border-bottom: 0; }
tr.total > * { font-weight: 600; }
td.ratio { color: var(--soft); padding-left: 0; }
.swatch { display: inline-block; width: 10px; height: 10px; border-radius: 2px; background: var(--swatch); margin-right: 8px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
details { font-size: 13px; }
summary { cursor: pointer; color: var(--accent); }
footer { padding-top: 24px; padding-bottom: 40px; font-size: 13px; }
@media (max-width: 820px) { figure.beside { grid-template-columns: minmax(0, 1fr); } main, header, footer { padding: 0 14px; } }
@media print {
  :root { --page: #fff; --line: #bbb; } body { font-size: 11px; } h2 { break-after: avoid; }
  figure, .card, tr { break-inside: avoid; } .scroll { overflow: visible; }
  svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`
/** Colours of runs, and how their lines are broken, for paper without colours. */
export const runColor = (i: number): string => `var(--s${i % 8})`
export const runDash = (i: number): "solid" | "dashed" | "dotted" => (["solid", "dashed", "dotted"] as const)[i % 3]!
export const partColor = (part: string): string => `var(--p-${part})`
/** Colours of things that have no order among them. */
export const plainColor = (i: number): string => `var(--s${i % 8})`
