/*
 * Loaded into the simulator before it starts (NODE_OPTIONS): writes down, in order, what it writes to the disk image that
 * RECORD_DISK names, when it flushes it, and what it puts out. RECORD_TO is a file of records, each a line of JSON and
 * then `n` bytes.
 */
import fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"

const disk = process.env.RECORD_DISK
const { writeSync, openSync, fdatasyncSync } = fs
const log = openSync(process.env.RECORD_TO, "a")
const descriptors = new Set()

const record = (head, bytes) => {
  writeSync(log, Buffer.concat([Buffer.from(JSON.stringify({ ...head, n: bytes.length }) + "\n"), bytes]))
}

fs.openSync = (path, ...rest) => {
  const descriptor = openSync(path, ...rest)
  if (path === disk) descriptors.add(descriptor)
  return descriptor
}
fs.writeSync = (descriptor, bytes, offset, length, position) => {
  const n = writeSync(descriptor, bytes, offset, length, position)
  if (descriptors.has(descriptor))
    record({ kind: "write", at: position }, Buffer.from(bytes.subarray(offset, offset + n)))
  return n
}
fs.fdatasyncSync = (descriptor) => {
  fdatasyncSync(descriptor)
  if (descriptors.has(descriptor)) record({ kind: "flush" }, Buffer.alloc(0))
}
syncBuiltinESMExports()

const put = process.stdout.write.bind(process.stdout)
process.stdout.write = (bytes, ...rest) => {
  record({ kind: "text" }, Buffer.from(bytes))
  return put(bytes, ...rest)
}
