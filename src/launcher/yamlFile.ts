import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Document, parseDocument } from "yaml"
import { BadConfig } from "./errors.ts"

/* Files in YAML that people write: what is wrong with one is said with its line and key. */

export type KeyPath = ReadonlyArray<PropertyKey>

/** Where in the text the deepest part of `path` is that is there at all. */
const offsetOf = (document: Document, path: KeyPath): number => {
  let node = document.contents as Node | null | undefined
  let offset = node?.range?.[0] ?? 0
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document)
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key))
      if (pair === undefined) break
      offset = (pair.key as Node).range?.[0] ?? offset
      node = pair.value as Node | null
    } else if (isSeq(node)) {
      node = node.items[Number(key)] as Node | undefined
      offset = node?.range?.[0] ?? offset
    } else break
  }
  return offset
}

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, " ")

const formatter = SchemaIssue.makeFormatterStandardSchemaV1()

export class YamlFile {
  readonly file: string
  /** What is in it. */
  readonly value: unknown
  private readonly document: Document
  private readonly lines: LineCounter

  private constructor(file: string, value: unknown, document: Document, lines: LineCounter) {
    this.file = file
    this.value = value
    this.document = document
    this.lines = lines
  }

  static read(file: string, text: string): Effect.Effect<YamlFile, BadConfig> {
    return Effect.suspend(() => {
      const lines = new LineCounter()
      const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
      const bad = (offset: number, problem: string) =>
        Effect.fail(new BadConfig({ file, where: `:${lines.linePos(offset).line}`, problem: oneLine(problem) }))
      const [error] = document.errors
      if (error !== undefined) return bad(error.pos[0], error.message)
      try {
        return Effect.succeed(new YamlFile(file, document.toJS(), document, lines))
      } catch (thrown) {
        // Aliases that multiply.
        return bad(offsetOf(document, []), (thrown as Error).message)
      }
    })
  }

  /** ":LINE: KEY" */
  where(path: KeyPath): string {
    const { line } = this.lines.linePos(offsetOf(this.document, path))
    return `:${line}${path.length > 0 ? `: ${path.map(String).join(".")}` : ""}`
  }

  bad(path: KeyPath, problem: string): BadConfig {
    return new BadConfig({ file: this.file, where: this.where(path), problem })
  }

  /** `reworded`: Schema's words for what has a clearer name in this kind of file. */
  decode<S extends Schema.Top & { readonly DecodingServices: never }>(
    schema: S,
    reworded: (message: string, path: KeyPath) => string,
  ): Effect.Effect<S["Type"], BadConfig> {
    return Effect.suspend(() => {
      const decoded = Schema.decodeUnknownResult(schema)(this.value, { onExcessProperty: "error" })
      if (Result.isSuccess(decoded)) return Effect.succeed(decoded.success)
      const [issue] = formatter(decoded.failure.issue).issues
      const path = (issue?.path ?? []).map((part) => (typeof part === "object" ? part.key : part))
      return Effect.fail(this.bad(path, reworded(issue?.message ?? "is wrong", path)))
    })
  }
}
