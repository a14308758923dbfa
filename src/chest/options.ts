import { InvalidArgumentError } from "../errors.ts";
import { checkFunction, checkInteger, checkOption } from "../memory/check.ts";
import type { Codec, CodecName, Compression } from "./codec/codec.ts";
import type { PolicyName } from "./policy.ts";
import type { ColdTier } from "./tier.ts";

/**
 * What `flush` waits for. `none`: nothing (a crash of the process loses nothing that was flushed, one of the machine may);
 * `flush`: the disk; `always`: the disk, and every change flushes.
 */
export type Durability = "none" | "flush" | "always";

/** How a chest is opened. All of it is optional. */
export interface ChestOptions<K = unknown, V = unknown> {
  /** The folder. Without one a temporary folder is made, and removed at close or when the process ends. */
  path?: string | undefined;
  /** Bytes that values may take in memory. Default 256 MiB. */
  budget?: number;
  /** Default "lru". */
  policy?: PolicyName;
  /** Default "structured". */
  codec?: CodecName | Codec<V>;
  /** Default "none". */
  compression?: Compression;
  /** Default "flush"; "none" for a temporary chest. */
  durability?: Durability;
  /** Opens what is there, beside its writer and other readers; nothing can be changed. Default false. */
  readOnly?: boolean;
  /**
   * `sync`: a value that does not fit is written while `set` runs. `async`: later, in slices of a few milliseconds; await
   * `settled()` to hold back. Beyond twice the budget `set` writes all the same. Default "sync".
   */
  spill?: "sync" | "async";
  /** A spill goes on until this part of the budget is free, so that not every `set` spills. Default 0. */
  hysteresis?: number;
  /** Milliseconds that values live unless `set` says otherwise. Default: for ever. */
  timeToLive?: number;
  /** Bytes on the disk. Default: no limit. */
  diskLimit?: number;
  /** What a flush does beyond the limit: throw a LimitError, or remove the oldest keys. Default "throw". */
  whenFull?: "throw" | "evict";
  /**
   * Values that were changed in place are noticed and stored when they leave memory, at flush and at close, by encoding
   * them again. Default true.
   */
  detectChanges?: boolean;
  /** Bytes of memory of a value, in place of the estimate. */
  weigh?: (value: V, key: K) => number;
  /** Told of every `get` whose value was not in memory but is stored. */
  onMiss?: (key: K) => void;
  /** Told of every value that leaves memory because it does not fit. */
  onSpill?: (key: K) => void;
  /** Bytes of a log segment, 1 MiB to 128 MiB. Default 64 MiB. */
  segmentSize?: number;
  /** Longest encoded value, in bytes; longer ones are refused, and never decompressed. Default 4 GiB. */
  largestValue?: number;
  /** Compacts by itself, a few milliseconds at each flush, when half of the log is dead. Default true. */
  autoCompact?: boolean;
  /** Where values lie when not in memory; see `folderTier`. Default: a log in `path`. */
  tier?: (folder: string, settings: { readonly readOnly: boolean }) => ColdTier;
}

const MIB = 2 ** 20;
const known = new Set(
  "path budget policy codec compression durability readOnly spill hysteresis timeToLive diskLimit whenFull detectChanges weigh onMiss onSpill segmentSize largestValue autoCompact tier".split(
    " ",
  ),
);

export interface Settings {
  readonly budget: number;
  readonly policy: PolicyName;
  readonly durability: Durability;
  readonly spill: "sync" | "async";
  readonly hysteresis: number;
  readonly timeToLive: number;
  readonly diskLimit: number;
  readonly whenFull: "throw" | "evict";
  readonly detectChanges: boolean;
  readonly segmentSize: number;
  readonly largestValue: number;
  readonly autoCompact: boolean;
}

/** @throws {InvalidArgumentError} for options that do not exist, and values that they cannot have. */
export function checkOptions<K, V>(options: ChestOptions<K, V>): Settings {
  const unknown = Object.keys(options).find((name) => !known.has(name));
  if (unknown !== undefined)
    throw new InvalidArgumentError(
      `a chest has no option "${unknown}"; the entries of an object go in as Object.entries(object)`,
    );
  const settings: Settings = {
    budget: options.budget ?? 256 * MIB,
    policy: options.policy ?? "lru",
    durability: options.durability ?? (options.path === undefined ? "none" : "flush"),
    spill: options.spill ?? "sync",
    hysteresis: options.hysteresis ?? 0,
    timeToLive: options.timeToLive ?? 0,
    diskLimit: options.diskLimit ?? Number.MAX_SAFE_INTEGER,
    whenFull: options.whenFull ?? "throw",
    detectChanges: options.detectChanges ?? true,
    segmentSize: options.segmentSize ?? 64 * MIB,
    largestValue: options.largestValue ?? 2 ** 32,
    autoCompact: options.autoCompact ?? true,
  };
  for (const name of ["weigh", "onMiss", "onSpill", "tier"] as const)
    if (options[name] !== undefined) checkFunction(name, options[name]);
  for (const name of ["timeToLive", "diskLimit"] as const)
    if (typeof settings[name] !== "number" || !(settings[name] >= 0))
      throw new InvalidArgumentError(`${name} must be a number from 0 on`);
  if (options.path !== undefined && typeof options.path !== "string")
    throw new InvalidArgumentError("path must be text");
  checkInteger("budget", settings.budget);
  checkInteger("segmentSize", settings.segmentSize);
  checkInteger("largestValue", settings.largestValue);
  checkOption("policy", settings.policy, ["lru", "sieve", "fifo"]);
  checkOption("durability", settings.durability, ["none", "flush", "always"]);
  checkOption("spill", settings.spill, ["sync", "async"]);
  checkOption("whenFull", settings.whenFull, ["throw", "evict"]);
  if (settings.segmentSize < MIB || settings.segmentSize > 128 * MIB)
    throw new InvalidArgumentError("segmentSize must be from 1 MiB to 128 MiB");
  if (typeof settings.hysteresis !== "number" || !(settings.hysteresis >= 0 && settings.hysteresis < 1))
    throw new InvalidArgumentError("hysteresis must be at least 0 and less than 1");
  return settings;
}
