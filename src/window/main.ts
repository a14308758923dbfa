export * from "../errors.ts";
export type { Advice } from "../memory/advice.ts";
export type { DataFileHandle, FileIdentity, FileSource } from "../memory/data-file.ts";
export { Lease } from "../memory/lease.ts";
export { WindowBuffer } from "./buffer.ts";
export { WindowCursor, type WindowRegion } from "./cursor.ts";
export { LruPolicy } from "./lru.ts";
export {
  type OpenOptions,
  openWindows,
  WindowManager,
  type WindowManagerOptions,
  type WindowStats,
} from "./manager.ts";
export type { EvictionPolicy, PolicyChoice } from "./policy.ts";
export type { WindowCounters } from "./residency.ts";
export type { ChunkOptions, LineOptions } from "./scan.ts";
export { SievePolicy } from "./sieve.ts";
export type { StreamOptions } from "./stream.ts";
export { WindowFile, type WindowFileHandle } from "./window-file.ts";
