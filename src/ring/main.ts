export * from "../errors.ts";
export type { Absence, Delivery, RingHeader, SyncWaitOptions, WaitOptions } from "./client.ts";
export { RingClient } from "./client.ts";
export type { ControlMessage } from "./control.ts";
export {
  dtypeToString,
  type ElementArrays,
  type ElementType,
  elementTypes,
  fromBf16,
  fromF16,
  layoutToString,
  type StreamArray,
  type StreamLayout,
  toBf16,
} from "./element.ts";
export { Frame, type FramePart } from "./frame.ts";
export {
  collectRings,
  inspectRing,
  listRings,
  type RingEntry,
  RingInspector,
  type RingRegion,
  type RingReport,
  ringRoom,
  type SlotInfo,
} from "./inspector.ts";
export { type CreateRingOptions, createRing, type OpenRingOptions, openRing } from "./ring.ts";
export {
  createStreamSpec,
  type FrameInput,
  frameCapacity,
  type Schema,
  type StreamDeclaration,
  type StreamInput,
  type StreamOf,
  type StreamSpec,
} from "./schema.ts";
export { type BeginOptions, type Loan, type ReaderInfo, RingServer } from "./server.ts";
