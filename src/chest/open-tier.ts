import { LogStore } from "./log/store.ts";
import type { ChestOptions, Settings } from "./options.ts";
import { LARGE_BUDGET } from "./spiller.ts";
import type { ColdTier } from "./tier.ts";

/** Within a large budget; else beside it, where with a writer's buffers it makes 8 MiB at most. */
function mappedLimit(budget: number, readOnly: boolean): number {
  if (budget >= LARGE_BUDGET) return budget / 2;
  return readOnly ? 7 * 2 ** 20 : Math.max(4 * 2 ** 20, budget / 4);
}

/** That part of a large budget is left to what nobody counts: what allocators keep, and the engine's young objects. */
const UNCOUNTED: number = 1 / 8;

/** Opens what a chest's options name as its cold tier. `used`: what values take of the budget now. */
export function openTier<K, V>(
  path: string,
  options: ChestOptions<K, V>,
  settings: Settings,
  used: () => number,
): ColdTier {
  const readOnly = options.readOnly ?? false;
  if (options.tier !== undefined) return options.tier(path, { readOnly });
  const { budget, durability, segmentSize } = settings;
  return LogStore.open(path, {
    readOnly,
    sync: durability !== "none",
    segmentSize: Math.min(segmentSize, Math.max(2 ** 20, 2 ** Math.floor(Math.log2(Math.max(1, budget))))),
    mappedLimit: mappedLimit(budget, readOnly),
    ...(budget >= LARGE_BUDGET && { spare: () => budget * (1 - UNCOUNTED) - used() }),
  });
}
