import { native } from "../../ffi/load.ts";
import type { BackendName } from "../../ffi/native.ts";
import { builtin } from "../builtins.ts";
import { pathBytes } from "./check.ts";
import { processCounts } from "./mapped-range.ts";

/** Numbers as in c/outcore.h. */
const features: Readonly<Record<SystemFeature, number>> = {
  ofdLocks: 0,
  populateRead: 1,
  pagemapScan: 2,
  openat2: 3,
  memfd: 4,
  fallocate: 5,
};
const limits: Readonly<Record<SystemLimit, number>> = {
  descriptors: 0,
  descriptorsOpen: 1,
  addressSpace: 2,
  maps: 3,
  mapsUsed: 4,
  locked: 5,
  memory: 6,
  memoryAvailable: 7,
  resident: 8,
};

/** A feature that kernels may lack. */
export type SystemFeature = "ofdLocks" | "populateRead" | "pagemapScan" | "openat2" | "memfd" | "fallocate";

/** A limit or level of the process or the machine. */
export type SystemLimit =
  | "descriptors"
  | "descriptorsOpen"
  | "addressSpace"
  | "maps"
  | "mapsUsed"
  | "locked"
  | "memory"
  | "memoryAvailable"
  | "resident";

/** Whether the kernel has a feature; what lacks is done another way or refused. */
export type SystemFeatures = Readonly<Record<SystemFeature, boolean>>;

/**
 * Limits and levels of this process and machine: bytes for `addressSpace`, `locked`, `memory`, `memoryAvailable` and
 * `resident`, else counts. Infinity: no limit. Undefined: the system does not tell.
 */
export type SystemLimits = Readonly<Record<SystemLimit, number | undefined>>;

/** Where outcore runs, and what it finds there. */
export interface SystemInfo {
  /** Name and version of the runtime, such as "bun 1.4.5". */
  readonly runtime: string;
  /** Which foreign function interface carries the calls. */
  readonly backend: BackendName;
  /** Operating system and processor, such as "linux x64". */
  readonly platform: string;
  /** Where the C library was loaded from. */
  readonly libraryPath: string;
  /** Version of the interface to the C library. */
  readonly abi: number;
  /** Bytes of a page of memory. */
  readonly pageSize: number;
  /** What offsets of file mappings are multiples of, bytes. */
  readonly mapGranularity: number;
  /** What the kernel has. */
  readonly features: SystemFeatures;
  /** What it allows. */
  readonly limits: SystemLimits;
  /** Mappings of this process that outcore holds and may hold, and bytes of address space it can never give back. */
  readonly mappings: { readonly held: number; readonly most: number; readonly buriedBytes: number };
  /** Room for shared memory objects, bytes; undefined where they have no file system of their own. */
  readonly sharedMemory: { readonly free: number; readonly total: number } | undefined;
}

function map<Name extends string, T>(
  table: Readonly<Record<Name, number>>,
  get: (which: number) => T,
): Record<Name, T> {
  const entries = Object.entries<number>(table).map(([name, which]) => [name, get(which)]);
  return Object.fromEntries(entries) as Record<Name, T>;
}

function limitOf(which: number): number | undefined {
  const value = native().calls.oc_limit(which);
  if (value < 0) return undefined;
  return value === Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : value;
}

/** One of `SystemInfo.limits`. */
export function systemLimit(name: SystemLimit): number | undefined {
  return limitOf(limits[name]);
}

function sharedMemory(): SystemInfo["sharedMemory"] {
  if (builtin("process").platform !== "linux") return undefined;
  const room = new Float64Array(3);
  if (native().calls.oc_room(pathBytes("/dev/shm"), room) < 0) return undefined;
  return { free: room[0] ?? 0, total: room[1] ?? 0 };
}

/**
 * What outcore runs on, asked anew at each call (under a millisecond).
 * @throws what loading the library throws: `LibraryNotFoundError`, `AbiMismatchError`, `FfiPermissionError`, ...
 */
export function systemInfo(): SystemInfo {
  const { runtime, backend, libraryPath, calls } = native();
  const { maps, mostMaps, buriedMiB } = processCounts();
  return {
    runtime,
    backend,
    platform: `${builtin("process").platform} ${builtin("process").arch}`,
    libraryPath,
    abi: calls.oc_abi(),
    pageSize: calls.oc_page_size(),
    mapGranularity: calls.oc_map_granularity(),
    features: map(features, (which) => calls.oc_feature(which) > 0),
    limits: map(limits, limitOf),
    mappings: { held: maps, most: mostMaps, buriedBytes: buriedMiB * 2 ** 20 },
    sharedMemory: sharedMemory(),
  };
}
