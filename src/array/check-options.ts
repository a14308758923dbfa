import { InvalidArgumentError } from "../errors.ts";
import type { Durability } from "./engine.ts";
import type { StoreOptions } from "./store-options.ts";

/** Options that are numbers, and the least each may be; those of bytes are integers. */
const least: Readonly<Record<string, number>> = {
  segmentBytes: 1,
  logLimit: 0,
  directBytes: 0,
  gatheredBytes: 0,
  reserve: 0,
  spillBytes: 0,
  lockTimeout: 0,
  maxSnapshotAge: 0,
  checkpointDelay: 0,
  spillInterval: 0,
};

/** Options that are one of a few words. */
const words: Readonly<Record<string, readonly unknown[]>> = {
  durability: ["full", "none"],
  dirtyWay: ["scan", "pagemap", "compare"],
  create: [true, false],
};

/** @throws {InvalidArgumentError} unless it is a durability. */
export function checkDurability(durability: unknown): asserts durability is Durability | undefined {
  if (durability !== undefined && durability !== "full" && durability !== "none")
    throw new InvalidArgumentError(`durability is "full" or "none", not ${String(durability)}`);
}

/**
 * The options without those that are undefined.
 * @throws {InvalidArgumentError} for a value that an option cannot have.
 */
export function checkOptions(options: StoreOptions): StoreOptions {
  if (typeof options !== "object" || options === null) throw new InvalidArgumentError("options are an object");
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  for (const [name, value] of given) {
    const low = least[name];
    if (low !== undefined) {
      const isBytes = /Bytes$|^reserve$/.test(name);
      const fits = typeof value === "number" && value >= low;
      if (!fits || (isBytes && value !== Number.POSITIVE_INFINITY && !Number.isSafeInteger(value)))
        throw new InvalidArgumentError(`${name} is a number from ${low} on, not ${String(value)}`);
    }
    const allowed = words[name];
    if (allowed !== undefined && !allowed.includes(value))
      throw new InvalidArgumentError(`${name} is one of ${allowed.join(", ")}, not ${String(value)}`);
    if (name === "at" && typeof value !== "string") throw new InvalidArgumentError("at is the name of a snapshot");
  }
  return Object.fromEntries(given) as StoreOptions;
}
