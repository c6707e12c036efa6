import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { HEADER, LDT, MAGIC, REGIONS, RESULT, TEST, initialBytes, protection } from "./layout.ts"

/* The real processor: compiles the harness and hands it batches of cases. */

const source = fileURLToPath(new URL("./harness.c", import.meta.url))

/** Why this machine cannot be the oracle, or undefined if it can. */
export const unavailable = (): string | undefined => {
  if (process.platform !== "linux" || process.arch !== "x64") return "needs Linux on x86-64"
  if (spawnSync("cc", ["--version"]).status !== 0) return "needs a C compiler (cc)"
  const native = new Native()
  try {
    native.run(new Uint8Array(0), 0)
    return undefined
  } catch (thrown) {
    return `needs a Linux that lets it map memory and segments (${thrown instanceof Error ? thrown.message : thrown})`
  } finally {
    native.close()
  }
}

export class Native {
  private readonly directory = mkdtempSync(join(tmpdir(), "silicon-"))
  private readonly harness = join(this.directory, "harness")

  constructor() {
    execFileSync("cc", [
      ...["-O2", "-Wall", "-nostdlib", "-static", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie"],
      // Away from what the cases map, and from the addresses that they are likely to touch.
      ...["-fcf-protection=none", "-Wl,-Ttext-segment=0x60000000", "-Wl,--build-id=none"],
      ...["-o", this.harness, source],
    ])
  }

  /** Runs `count` cases (TEST records) and returns as many RESULT records. */
  run(tests: Uint8Array, count: number, timeout = 60_000): Uint8Array {
    const header = new DataView(new ArrayBuffer(HEADER.size))
    const put = (field: { offset: number }, value: number) => header.setUint32(field.offset, value, true)
    put(HEADER.fields.magic, MAGIC)
    put(HEADER.fields.cases, count)
    put(HEADER.fields.regions, REGIONS.length)
    put(HEADER.fields.descriptors, LDT.length)
    put(HEADER.fields.testBytes, TEST.size)
    put(HEADER.fields.resultBytes, RESULT.size)
    const regions = Uint32Array.from(REGIONS.flatMap((r) => [r.address, r.bytes, protection(r), 0]))
    const input = Buffer.concat([
      new Uint8Array(header.buffer),
      new Uint8Array(regions.buffer),
      new Uint8Array(BigUint64Array.from(LDT).buffer),
      ...REGIONS.map(initialBytes),
      tests.subarray(0, count * TEST.size),
    ])
    const { status, signal, stdout, stderr } = spawnSync(this.harness, [], {
      input,
      maxBuffer: count * RESULT.size + 4096,
      timeout,
    })
    if (status !== 0 || stdout.length !== count * RESULT.size)
      throw new Error(`the native harness failed (status ${status}, signal ${signal}): ${stderr.toString().trim()}`)
    // Copied so that it is aligned.
    return Uint8Array.from(stdout)
  }

  close(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }
}
