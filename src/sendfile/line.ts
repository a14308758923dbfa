import type { SendTarget } from "./target.ts";

/** The transfers to one target that have not ended. */
interface Line {
  count: number;
  /** When all of them have ended. */
  ended: Promise<void>;
}

const lineOfObject = new WeakMap<object, Line>();
const lineOfDescriptor = new Map<number, Line>();

interface Lines {
  get(target: SendTarget): Line | undefined;
  set(target: SendTarget, line: Line): unknown;
  delete(target: SendTarget): unknown;
}

const linesOf = (target: SendTarget): Lines =>
  (typeof target === "number" ? lineOfDescriptor : lineOfObject) as unknown as Lines;

/** Whether a transfer to the target has not ended. */
export function isBusy(target: SendTarget): boolean {
  return linesOf(target).get(target) !== undefined;
}

/** One transfer's place behind those to the same target that were asked for before. */
export interface LinePlace {
  /** When those have ended; undefined when there are none. */
  readonly ahead: Promise<void> | undefined;
  /** Whoever leaves before it is its turn lets nobody overtake those ahead. */
  leave(): void;
}

export function joinLine(target: SendTarget): LinePlace {
  const lines = linesOf(target);
  let line = lines.get(target);
  const ahead = line?.ended;
  let leaving: () => void = () => undefined;
  const left = new Promise<void>((resolve) => (leaving = resolve));
  const ended = ahead === undefined ? left : ahead.then(() => left);
  if (line === undefined) {
    line = { count: 0, ended };
    lines.set(target, line);
  }
  const mine = line;
  mine.count++;
  mine.ended = ended;
  let inside = true;
  return {
    ahead,
    leave() {
      if (!inside) return;
      inside = false;
      if (--mine.count === 0) lines.delete(target);
      leaving();
    },
  };
}
