/* What comes of an attack. */

export type Verdict =
  /** It ran to its end, or went on for ever, and nothing was gained. */
  | { readonly kind: "withstood"; readonly note?: string | undefined }
  /** The module ended the guest, and nothing else has changed. */
  | { readonly kind: "killed"; readonly reason: string }
  /** A line for each thing that was read, written or broken. */
  | { readonly kind: "breached"; readonly gains: ReadonlyArray<string> }

/** Several runs of one attack: the worst of them. */
export const worst = (verdicts: Iterable<Verdict>): Verdict => {
  let result: Verdict = { kind: "withstood" }
  for (const verdict of verdicts) {
    if (verdict.kind === "breached") return verdict
    if (verdict.kind === "killed" && result.kind === "withstood") result = verdict
  }
  return result
}
