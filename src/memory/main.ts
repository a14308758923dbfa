export type { BackendName } from "../../ffi/native.ts";
export type { Advice } from "./advice.ts";
export type { DataFileHandle, FileIdentity, FileSource } from "./data-file.ts";
export { leakCount, reportLeaks } from "./leaks.ts";
export { Lease } from "./lease.ts";
export { type AcquireOptions, FileLock, type LockOptions } from "./lock.ts";
export { Mapping } from "./mapping.ts";
export type { Access, MapOptions, MappingHandle, ObjectOptions } from "./mapping-options.ts";
export { unlinkObject } from "./object.ts";
export {
  type SystemFeature,
  type SystemFeatures,
  type SystemInfo,
  type SystemLimit,
  type SystemLimits,
  systemInfo,
} from "./system.ts";
export type { ElementArray, ElementName, ElementTypes } from "./typed.ts";
