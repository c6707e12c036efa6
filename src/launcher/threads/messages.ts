import type { LogCategory, Pending } from "../../host/index.ts"
import type { HostedShape, HostedShare, ModuleChoice } from "../../modules/index.ts"

/* What the launcher's thread and those of the tasks say to each other, besides what they share. */

/** What a thread is started with. */
export interface ThreadData {
  readonly choice: ModuleChoice
  readonly shape: HostedShape
  readonly share: HostedShare
  /** Its number in the host (TaskTable.thread). */
  readonly thread: number
  /** The virtual CPU whose thread it is; undefined: the one of the host's processes. */
  readonly vcpu: number | undefined
  readonly log: ReadonlyArray<LogCategory>
  /** One 32-bit word: 1 while the thread waits for the launcher's answer. */
  readonly waiting: SharedArrayBuffer
}

/** What a thread tells the launcher. */
export type ThreadMessage =
  /** The virtual CPU has something for the launcher, and its thread sleeps until that has been seen to. */
  | { readonly kind: "pending"; readonly vcpu: number; readonly pending: Pending }
  /** No processor had anything to do when the thread last looked. */
  | { readonly kind: "idle" }
  | { readonly kind: "log"; readonly line: string }

export const ANSWERED = 0
export const WAITING = 1
