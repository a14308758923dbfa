import type { Case, Context, Figures, Target } from "../area.ts";
import { hot, managerFor, type Pattern, type Setting, settingOf, WINDOW, zipf } from "./setting.ts";

/** Misses of true LRU with `slots` places over the windows of the offsets, counted from `from` on. */
function lruMisses(offsets: Float64Array, slots: number, from: number): number {
  const recent = new Set<number>();
  let misses = 0;
  offsets.forEach((offset, i) => {
    const window = Math.floor(offset / WINDOW);
    if (!recent.delete(window)) {
      if (i >= from) misses++;
      if (recent.size >= slots) recent.delete(recent.values().next().value as number);
    }
    recent.add(window);
  });
  return misses;
}

/** Share of reads that find their window not resident, after a warm-up; the same sequence under true LRU. */
function rate(context: Context, pattern: (setting: Setting) => Pattern): Figures {
  const setting = settingOf(context);
  const warmup = context.quick ? 50_000 : 100_000;
  const counted = 2 * warmup;
  const offsets = pattern(setting)(warmup + counted, 1024, 7);
  const manager = managerFor(setting);
  try {
    const file = manager.open(setting.file);
    const target = new Uint8Array(1024);
    for (let i = 0; i < warmup; i++) file.readInto(offsets[i] as number, target);
    const before = manager.stats;
    for (let i = warmup; i < offsets.length; i++) file.readInto(offsets[i] as number, target);
    const after = manager.stats;
    const hits = after.hits - before.hits;
    const misses = after.misses - before.misses;
    if (hits + misses !== counted) throw new Error(`${hits} hits and ${misses} misses of ${counted} reads`);
    return { ours: misses / counted, peers: { lru: lruMisses(offsets, setting.slots, warmup) / counted } };
  } finally {
    manager.close();
  }
}

function rateCase(name: string, pattern: (setting: Setting) => Pattern, target: Target): Case {
  return { name, unit: "rate", target, run: async (context) => rate(context, pattern) };
}

export const rateCases: readonly Case[] = [
  rateCase("hot-miss-rate", hot, { atMost: 0.105 }),
  rateCase("zipf-miss-rate", zipf, { peer: "lru", atMost: 1 }),
];
