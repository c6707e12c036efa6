import { availableParallelism } from "node:os"
import { parentPort, workerData } from "node:worker_threads"
import { TaskThread } from "../../host/taskThread.ts"
import { EventLog } from "../../host/index.ts"
import { bootHost } from "../../modules/index.ts"
import { ANSWERED, type ThreadData, type ThreadMessage, WAITING } from "./messages.ts"

/*
 * L:150 The other end of each of those threads. It has the same objects over the same memory, and a core of its own;
 * when its virtual CPU wants a device, it posts a letter to the Launcher and sleeps until the answer is there.
 *
 * The thread of one virtual CPU (or of the host's processes): a worker that attaches to the machine which the
 * launcher's thread has made, with a core of its own over the same memory, and drives the processors that it is given.
 */

const { choice, shape, share, thread, vcpu, log, waiting } = workerData as ThreadData
const port = parentPort!
const say = (message: ThreadMessage): void => port.postMessage(message)
const words = new Int32Array(waiting)

const host = await bootHost(choice, {
  ...shape,
  core: share.machine.core,
  share,
  log: new EventLog(new Set(log), (line) => say({ kind: "log", line })),
})

host.kernel.cores = availableParallelism()

/** Takes what the virtual CPU has for the launcher there, and waits for the answer. */
const asked = (): void => {
  if (vcpu === undefined) return
  const pending = host.device.serve(vcpu)
  if (pending === undefined) return
  Atomics.store(words, 0, WAITING)
  say({ kind: "pending", vcpu, pending })
  while (Atomics.load(words, 0) !== ANSWERED) Atomics.wait(words, 0, WAITING)
  host.device.goOn()
}

new TaskThread(host.kernel, thread, { asked, idle: () => say({ kind: "idle" }) }).run()
