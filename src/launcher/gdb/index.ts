/*
 * gdb's remote serial protocol over the debugging of one run (src/launcher/debug). What comes over the connection is believed
 * as little as a guest: it can do to the guest what it likes, and to the simulator nothing.
 */
export { DebugSession } from "../debug/session.ts"
export { serveGdb } from "./server.ts"
