type Method = (...args: unknown[]) => unknown;

/** A call that is held back: what its caller gets at once, and what is done later, perhaps not all at once. */
export interface HeldCall {
  readonly answer: unknown;
  readonly call: () => unknown;
}

/** How each method of a target is held back. */
export type Holding = Readonly<Record<string, (original: Method, args: unknown[]) => HeldCall>>;

/** The turn of one transfer among the calls of a target's methods. */
export interface HeldTurn {
  /** When all calls and transfers before it were made; undefined when there are none. */
  readonly ahead: Promise<void> | undefined;
  /** The method itself, for the transfer. */
  original(name: string): Method;
  /** Whether calls wait behind it. */
  isFollowed(): boolean;
  /** Makes the calls that came since. */
  leave(): void;
}

/** A call, or the place of a transfer: `reached` when it is its turn. */
type Entry = (() => unknown) | { left: boolean; reached: () => void };

/**
 * Calls of some methods of one target, and transfers to it, each in its turn: while there is a transfer the methods are
 * shadowed on the object itself, and what they are called for is done after it.
 */
class HeldCalls {
  readonly #target: Record<string, unknown>;
  readonly #originals = new Map<string, Method>();
  readonly #shadows = new Map<string, { mine: Method; own: PropertyDescriptor | undefined }>();
  readonly #finished: (() => void) | undefined;
  /** The first is being done. */
  readonly #entries: Entry[] = [];

  constructor(target: object, holding: Holding, finished: (() => void) | undefined) {
    this.#target = target as Record<string, unknown>;
    this.#finished = finished;
    for (const [name, hold] of Object.entries(holding)) {
      const method = this.#target[name];
      if (typeof method !== "function") continue;
      const original: Method = (...args) => method.apply(target, args);
      const mine: Method = (...args) => {
        if (this.#entries.length === 0) return original(...args);
        const { answer, call } = hold(original, args);
        this.#entries.push(call);
        return answer;
      };
      this.#originals.set(name, original);
      this.#shadows.set(name, { mine, own: Object.getOwnPropertyDescriptor(target, name) });
      this.#target[name] = mine;
    }
  }

  enter(): HeldTurn {
    const entry = { left: false, reached: (): void => undefined };
    const ahead = this.#entries.length === 0 ? undefined : new Promise<void>((resolve) => (entry.reached = resolve));
    this.#entries.push(entry);
    return {
      ahead,
      original: (name) => this.#originals.get(name) ?? (() => undefined),
      isFollowed: () => this.#entries.slice(this.#entries.indexOf(entry)).some((each) => typeof each === "function"),
      leave: () => {
        entry.left = true;
        if (this.#entries[0] === entry) this.#goOn();
      },
    };
  }

  /** Goes on behind the first entry, which is done. */
  #goOn(): void {
    for (;;) {
      this.#entries.shift();
      const [next] = this.#entries;
      if (next === undefined) break;
      if (typeof next === "object") {
        if (next.left) continue;
        next.reached();
        return;
      }
      const done = next();
      if (!(done instanceof Promise)) continue;
      const goOn = (): void => this.#goOn();
      done.then(goOn, goOn);
      return;
    }
    heldOf.delete(this.#target);
    for (const [name, { mine, own }] of this.#shadows) {
      if (this.#target[name] !== mine) continue;
      if (own === undefined) delete this.#target[name];
      else Object.defineProperty(this.#target, name, own);
    }
    this.#finished?.();
  }
}

const heldOf = new WeakMap<object, HeldCalls>();

/**
 * Takes a turn among the calls of a target's methods.
 * @param holding what is made of them meanwhile.
 * @param finished called when nothing is held back any more.
 */
export function enterHeld(target: object, holding: () => Holding, finished?: () => void): HeldTurn {
  let held = heldOf.get(target);
  if (held === undefined) {
    held = new HeldCalls(target, holding(), finished);
    heldOf.set(target, held);
  }
  return held.enter();
}
