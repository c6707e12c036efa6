/* A bar on a terminal for what takes minutes; nothing where standard error is something else. */

export interface Progress {
  /** `done` of `total` are done, and this one is being worked on. */
  readonly show: (done: number, total: number, what: string) => void
  /** Takes the bar away. */
  readonly done: () => void
}

const BAR = 24
/** Carriage return, and erase to the end of the line (ECMA-48, CR and EL). */
const REDRAW = "\r\x1b[K"

/** "[######------]  5/20  proposal, fork-bench" in at most so many columns. */
export const barText = (done: number, total: number, what: string, columns: number): string => {
  const full = total === 0 ? BAR : Math.floor((done / total) * BAR)
  const width = String(total).length
  const text = `[${"#".repeat(full)}${"-".repeat(BAR - full)}]  ${String(done).padStart(width)}/${total}  ${what}`
  return text.slice(0, Math.max(0, columns - 1))
}

export const progressOn = (stream: NodeJS.WriteStream): Progress =>
  stream.isTTY === true
    ? {
        show: (done, total, what) => stream.write(REDRAW + barText(done, total, what, stream.columns || 80)),
        done: () => stream.write(REDRAW),
      }
    : { show: () => undefined, done: () => undefined }
