import { native } from "../../ffi/load.ts";
import { environment } from "../../ffi/locate.ts";
import { builtin } from "../builtins.ts";

/** An owner of system resources that was made known with `trackLeak`. */
export type Tracked = object;

/** An address range as the registry remembers it: numbers only, so that it keeps no buffer alive. */
export interface LeakedRange {
  readonly address: number;
  readonly length: number;
  readonly guard: number;
}

/** What an owner holds. Mutable: an owner that grows adds ranges. It must never refer to the owner or its buffers. */
export interface Holding {
  readonly what: string;
  descriptor?: number;
  ranges?: LeakedRange[];
  /** Where it was opened, when reports are on. */
  openedAt?: string | undefined;
  /** An owner's part that reports nothing of its own. */
  quiet?: boolean;
}

/** Undefined until the first open, which reads the environment: nothing does while a module loads. */
let reports: boolean | undefined;
let leaked = 0;

/** Told of everything that was collected without having been closed. */
let onLeak = (message: string): void => builtin("process").emitWarning(message, "OutcoreLeakWarning");

/**
 * Turns reports of forgotten mappings and files on or off; `OUTCORE_DEBUG=leaks` turns them on from outside. Each open
 * then also records its stack (some microseconds). A report comes after a garbage collection and never at exit.
 * `report` receives the text instead of `process.emitWarning`.
 */
export function reportLeaks(on: boolean, report?: (message: string) => void): void {
  reports = on;
  if (report !== undefined) onLeak = report;
}

/** How many owners were collected in this thread without having been closed. */
export function leakCount(): number {
  return leaked;
}

/*
 * When an owner is collected so are all buffers that were handed out (each keeps its owner alive, see BufferSet), but
 * the user may have moved one elsewhere: so the range is buried, never unmapped.
 */
const registry = new FinalizationRegistry<Holding>((holding) => {
  const { calls } = native();
  if (holding.quiet !== true) leaked++;
  for (const range of holding.ranges ?? []) {
    calls.oc_bury(range.address, range.length);
    calls.oc_guard_remove(range.guard, 0);
  }
  if (holding.descriptor !== undefined) calls.oc_close(holding.descriptor, 0);
  if (reporting() && holding.quiet !== true)
    onLeak(
      `${holding.what} was never closed${holding.openedAt === undefined ? "" : `; opened at\n${holding.openedAt}`}`,
    );
});

function reporting(): boolean {
  reports ??= environment("OUTCORE_DEBUG")?.split(",").includes("leaks") ?? false;
  return reports;
}

/** Watches over an owner until `forgetLeak`. */
export function trackLeak(owner: Tracked, holding: Holding): void {
  if (reporting() && holding.quiet !== true)
    holding.openedAt = new Error("opened").stack?.split("\n").slice(2).join("\n") ?? "";
  registry.register(owner, holding, owner);
}

/** The owner closed what it held. */
export function forgetLeak(owner: Tracked): void {
  registry.unregister(owner);
}
