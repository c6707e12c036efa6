/*
 * What the core is given: this processor's area, and the bus. Everything else it knows is in memory (state.ts).
 */

/** WebAssembly address of this processor's area. */
// @ts-ignore: decorator
@external("env", "cpu")
export declare const cpu: usize;

/** Throws through the frames of the core; a fault has been recorded. Never returns. */
// @ts-ignore: decorator
@external("env", "unwind")
export declare function busUnwind(): void;

// @ts-ignore: decorator
@external("env", "portIn")
export declare function busPortIn(cpu: u32, port: u32, size: u32): u32;

// @ts-ignore: decorator
@external("env", "portOut")
export declare function busPortOut(cpu: u32, port: u32, size: u32, value: u32): void;

// @ts-ignore: decorator
@external("env", "mmioRead")
export declare function busMmioRead(cpu: u32, address: u32, size: u32): u32;

// @ts-ignore: decorator
@external("env", "mmioWrite")
export declare function busMmioWrite(cpu: u32, address: u32, size: u32, value: u32): void;

/** An event has been delivered while WATCHED is set: RIP still says where, NEXT_RIP the handler. */
// @ts-ignore: decorator
@external("env", "delivered")
export declare function busDelivered(vector: u32, error: u32): void;

/** The vector of the interrupt that is accepted, or -1: nothing to deliver. */
// @ts-ignore: decorator
@external("env", "interruptAcknowledge")
export declare function busInterruptAcknowledge(cpu: u32): i32;
