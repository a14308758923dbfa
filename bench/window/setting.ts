import path from "node:path";
import { type WindowFile, WindowManager } from "../../src/window/main.ts";
import type { Context } from "../area.ts";
import { randomIntegers, shuffled } from "../random.ts";

export const WINDOW: number = 2 ** 20;

/** The file that the cases read, and its geometry. */
export interface Setting {
  readonly file: string;
  readonly size: number;
  /** Bytes: 1/16 of the file. */
  readonly budget: number;
  /** Windows of the file, and how many fit into the budget. */
  readonly windows: number;
  readonly slots: number;
}

export function settingOf({ prepared }: Context): Setting {
  const size = Number(prepared.size);
  const budget = size / 16;
  return { file: String(prepared.file), size, budget, windows: size / WINDOW, slots: budget / WINDOW };
}

export function managerFor({ budget }: Setting): WindowManager {
  return new WindowManager({ windowSize: WINDOW, budget });
}

/** An offset in a window such that `length` bytes from there stay inside. */
function within(window: number, length: number, random: (limit: number) => number): number {
  return window * WINDOW + random(WINDOW - length + 1);
}

export type Pattern = (count: number, length: number, seed: number) => Float64Array;

/** Every place is as likely as any other; reads may cross windows. */
export function uniform({ size }: Setting): Pattern {
  return (count, length, seed) => {
    const random = randomIntegers(seed);
    return Float64Array.from({ length: count }, () => random(size - length + 1));
  };
}

/** Nine of ten reads go to windows that fill 3/4 of the budget, the others to the rest of the file. */
export function hot({ windows, slots }: Setting): Pattern {
  return (count, length, seed) => {
    /* Which windows are hot does not depend on the seed: a warm-up and what follows it agree. */
    const order = shuffled(windows, randomIntegers(1));
    const warm = Math.floor(slots * 0.75);
    const random = randomIntegers(seed);
    return Float64Array.from({ length: count }, () => {
      const place = random(10) < 9 ? random(warm) : warm + random(windows - warm);
      return within(order[place] ?? 0, length, random);
    });
  };
}

/** The window of rank r is read in proportion to 1/r. */
export function zipf({ windows }: Setting): Pattern {
  return (count, length, seed) => {
    const order = shuffled(windows, randomIntegers(1));
    const sums: number[] = [];
    for (let rank = 1; rank <= windows; rank++) sums.push((sums.at(-1) ?? 0) + 1 / rank);
    const total = sums.at(-1) ?? 1;
    const random = randomIntegers(seed);
    return Float64Array.from({ length: count }, () => {
      const mark = (random(2 ** 40) / 2 ** 40) * total;
      let low = 0;
      for (let high = windows - 1; low < high; ) {
        const middle = (low + high) >> 1;
        if ((sums[middle] ?? 0) > mark) high = middle;
        else low = middle + 1;
      }
      return within(order[low] ?? 0, length, random);
    });
  };
}

/** Random places in the first `count` windows only. */
export function inWindows(windows: number): Pattern {
  return (count, length, seed) => {
    const random = randomIntegers(seed);
    return Float64Array.from({ length: count }, () => within(random(windows), length, random));
  };
}

/** The same few places again and again, eight in each of the first `windows` windows: what is read is in the caches. */
export function fewPlaces(windows: number): Pattern {
  return (count, length, seed) => {
    const random = randomIntegers(seed);
    const places = Array.from({ length: windows * 8 }, (_, index) => within(index % windows, length, random));
    return Float64Array.from({ length: count }, (_, index) => places[index % places.length] ?? 0);
  };
}

/** Makes the first `count` windows resident. */
export function settle(file: WindowFile, count: number): void {
  for (let window = 0; window < count; window++) {
    file.lease(window * WINDOW, 1).release();
    const bytes = file.read(window * WINDOW, WINDOW);
    if (bytes.length !== WINDOW) throw new Error("a window is missing");
  }
  if (file.residentWindows !== count) throw new Error(`${file.residentWindows} windows are resident, not ${count}`);
}

/** Where a case puts its offsets for the peers. */
export function offsetsPath({ folder }: Context, name: string): string {
  return path.join(folder, `${name}.offsets`);
}
