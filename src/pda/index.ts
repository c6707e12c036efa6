import { at, struct } from "../machine/layout.ts"

/*
 * S:060 What the comparison looked at. The per-CPU data area: what the entry code of a processor finds at %gs:0 after
 * SWAPGS. The VCPU field is the whole of the proposal's change to the host: NULL unless a guest runs here, tested by
 * one comparison on every entry from user mode. The host's context switch sets it from the task that it switches to, so
 * it is right at any time that user code (of a host process or a guest) can be running. (On hosts that look elsewhere,
 * S:031, the field stays NULL.)
 */
export const PDA = struct("pda", "PDA", 0x1000, "per-CPU data area", {
  self: at(0x00, 8, "its own address"),
  vcpu: at(0x08, 8, "the VCPU descriptor of the guest that runs here, or NULL"),
  userRsp: at(0x10, 8, "%rsp of the code that made SYSCALL, while the stub has no stack yet"),
  kernelStack: at(0x18, 8, "top of the current task's kernel stack"),
  current: at(0x20, 8, "the current task"),
  tss: at(0x28, 8, "this processor's TSS, as the host maps it for writing"),
  hostCr3: at(0x30, 8, "the host's own page tables: what an NMI goes to, whatever it interrupts"),
  needResched: at(0x38, 4, "set by gates: another task should run"),
  cpu: at(0x3c, 4, "index of this processor"),
  idt: at(0x40, 8, "this processor's IDT"),
  gdtr: at(0x48, 1, "the host's GDT on this processor (limit, base), for who has changed it", 10),
  idtr: at(0x58, 1, "and its IDT", 10),
})
