/*
 * Loaded into the simulator before it starts (NODE_OPTIONS): once the guest has said "FAIL FLUSHES", the system's next flush of
 * a disk fails, and later ones succeed, as Linux does it with pages that it could not write.
 */
import fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"

const { fdatasyncSync } = fs
let said = ""
let fail = false

fs.fdatasyncSync = (descriptor) => {
  if (!fail) return fdatasyncSync(descriptor)
  fail = false
  throw Object.assign(new Error("EIO: i/o error, fdatasync"), { code: "EIO", errno: -5, syscall: "fdatasync" })
}
syncBuiltinESMExports()

const put = process.stdout.write.bind(process.stdout)
process.stdout.write = (bytes, ...rest) => {
  said += Buffer.from(bytes).toString("latin1")
  if (said.includes("\nFAIL FLUSHES")) {
    fail = true
    said = ""
  }
  return put(bytes, ...rest)
}
