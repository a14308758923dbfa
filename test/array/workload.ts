import { rmSync } from "node:fs";
import { type ArrayStore, openStore, type StoreOptions, type Transaction } from "../../src/array/main.ts";
import { DiskFullError, OutcoreError } from "../../src/errors.ts";
import { randomFrom } from "../support/random.ts";
import { DEAD, type Fault, Recorder, type Step } from "./disk.ts";

/** Every array at one state. */
export type State = ReadonlyMap<string, readonly number[]>;

/** A commit that was begun: which transaction it was to be, and what is then to be seen. */
export interface Attempt {
  readonly txid: number;
  readonly state: State;
}

/** What a random workload did to the disk; its marks are "attempt I", "failed I" and "durable TXID". */
export interface History {
  /** What failed. */
  readonly hit: readonly string[];
  readonly steps: readonly Step[];
  readonly attempts: readonly Attempt[];
  /** What was wrong already without any power loss. */
  readonly wrong: readonly string[];
}

export const options: StoreOptions = {
  segmentBytes: 2 ** 17,
  directBytes: 2 ** 14,
  gatheredBytes: 2 ** 13,
  reserve: 2 ** 22,
};
export const PAGE = 512; // elements of f64 in 4 KiB

export function stateOf(store: ArrayStore): State {
  return new Map(store.names.map((name) => [name, Array.from(store.array(name, "f64").typed())]));
}

/** Where two states differ, or undefined. */
export function difference(found: State, expected: State): string | undefined {
  if (found.size !== expected.size) return `arrays ${[...found.keys()]}, not ${[...expected.keys()]}`;
  for (const [name, values] of expected) {
    const other = found.get(name) ?? [];
    if (other.length !== values.length) return `${name} has ${other.length} elements, not ${values.length}`;
    for (let i = 0; i < values.length; i++)
      if (other[i] !== values[i]) return `${name}[${i}] is ${other[i]}, not ${values[i]}`;
  }
  return undefined;
}

/** Two connections that change arrays at random; one of them reads an old snapshot at times, and either may fail. */
class Workload {
  readonly attempts: Attempt[] = [];
  readonly wrong: string[] = [];
  readonly recorder = new Recorder();
  readonly #random: (limit: number) => number;
  readonly #stores: ArrayStore[] = [];
  readonly #folder: string;
  #value = 0;
  #reading: { transaction: Transaction; state: State } | undefined;

  constructor(folder: string, seed: number) {
    this.#folder = folder;
    this.#random = randomFrom(seed);
  }

  async run(transactions: number): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
    this.attempts.push({ txid: 0, state: new Map() });
    this.recorder.start(this.#folder);
    try {
      this.#stores.push(openStore(this.#folder, options), openStore(this.#folder, options));
      for (let i = 0; i < transactions; i++) {
        await this.#surviving(0, () => this.#readAtTimes());
        const at = this.#reading === undefined ? this.#random(2) : 0;
        await this.#surviving(at, () => this.#transaction(this.#stores[at] as ArrayStore));
        this.#checkReader();
        if (this.#random(4) === 0) await this.#surviving("both", () => this.#idle());
        if (this.#random(6) === 0) await this.#surviving(at, () => this.#checkpoint(this.#stores[at] as ArrayStore));
        this.#checkReader();
      }
      for (const store of this.#stores) store.engine[Symbol.dispose]();
    } finally {
      this.recorder.stop();
    }
  }

  /** The timers of the stores have their turn. */
  async #idle(): Promise<void> {
    if (this.#random(3) === 0) this.recorder.fail(this.#fault(), this.#random(12));
    await new Promise((resolve) => setImmediate(resolve));
    /* What fails there is told by the next call. */
    if (this.recorder.dead || this.#stores.some(({ engine }) => engine.poisoned)) throw DEAD;
  }

  /** Does something with a store; where its disk fails, or it dies, it is opened again. */
  async #surviving(at: number | "both", work: () => unknown): Promise<void> {
    try {
      await work();
      this.recorder.fail(undefined);
    } catch (error) {
      this.recorder.fail(undefined);
      if (this.recorder.hit.length === 0 || !(error instanceof OutcoreError || error === DEAD)) throw error;
      /* The other is poisoned with it when home files are in doubt; at times nobody is left. */
      const all = at === "both" || this.#random(3) === 0;
      const gone = this.#stores.map(({ engine }, i) => all || i === at || engine.poisoned);
      for (const [i, { engine }] of this.#stores.entries()) if (gone[i]) engine[Symbol.dispose]();
      for (const i of gone.keys()) if (gone[i]) this.#stores[i] = openStore(this.#folder, options);
      if (gone[1]) this.#reading = undefined;
      const next = at === "both" ? 0 : at;
      await this.#surviving(next, () => this.#settleWith(this.#stores[next] as ArrayStore));
    }
  }

  /** A record that the dead has left comes true now, so that the next attempt has its number. */
  #settleWith(store: ArrayStore): unknown {
    /* Where no page was ever written there is nothing to verify, and the log is not read. */
    const isWritten = store.engine.catalogue.arrays.some(({ highWater }) => highWater > 0);
    if (!isWritten || this.#random(2) === 0) return this.#checkpoint(store);
    if (this.#random(3) === 0) this.recorder.fail(this.#fault(), this.#random(12));
    return store.engine.verify();
  }

  async #checkpoint(store: ArrayStore): Promise<void> {
    const fault = this.#random(3) === 0 ? "ENOSPC" : this.#fault();
    if (this.#random(2) === 0) this.recorder.fail(fault, this.#random(12));
    try {
      await store.checkpoint();
    } catch (error) {
      if (!(error instanceof DiskFullError)) throw error;
      await store.checkpoint();
    }
  }

  #fault(): Fault {
    return (["EIO", "death", "kill"] as const)[this.#random(3)] as Fault;
  }

  #readAtTimes(): void {
    const store = this.#stores[1] as ArrayStore;
    if (this.#reading === undefined && this.#random(4) === 0) {
      const transaction = store.begin();
      this.#reading = { transaction, state: stateOf(store) };
    } else if (this.#reading !== undefined && this.#random(3) === 0) {
      this.#reading.transaction.abort();
      this.#reading = undefined;
    }
  }

  #checkReader(): void {
    if (this.#reading === undefined) return;
    const problem = difference(stateOf(this.#stores[1] as ArrayStore), this.#reading.state);
    if (problem !== undefined) this.wrong.push(`a reader of ${this.#reading.transaction.snapshot}: ${problem}`);
  }

  #change(store: ArrayStore, transaction: Transaction): void {
    const random = this.#random;
    const name = `a${random(2)}`;
    if (!store.names.includes(name)) store.create(name, { dtype: "f64", shape: PAGE * (1 + random(4)) });
    const array = store.array(name, "f64");
    const what = random(12);
    if (what === 0) array.resize(1 + random(8 * PAGE));
    else if (what === 1 || what === 2)
      array.append(Float64Array.from({ length: PAGE * (4 + random(4)) }, () => ++this.#value));
    else if (what === 3 && array.size > 1) {
      const savepoint = transaction.savepoint();
      array.typed()[0] = ++this.#value;
      transaction.rollback(savepoint);
    } else if (what === 4 && store.names.length > 1) {
      store.drop(name);
      return;
    } else if (what === 5) {
      if (Object.hasOwn(store.snapshots, "kept")) store.dropSnapshot("kept");
      else if (random(3) === 0) store.keepSnapshot("kept");
    }
    if (random(6) === 0) store.setAttributes(name, { text: String(++this.#value).repeat(1 + random(500)) });
    if (array.size > 2 ** 14) array.resize(100);
    for (let k = random(5); k >= 0; k--) if (array.size > 0) array.typed()[random(array.size)] = ++this.#value;
    if (what === 6) transaction.spill();
  }

  async #transaction(store: ArrayStore): Promise<void> {
    const transaction = store.begin();
    this.#change(store, transaction);
    if (this.#random(6) === 0) return transaction.abort();
    const state = stateOf(store);
    const durability = this.#random(5) === 0 ? "none" : "full";
    let fault: Fault | undefined;
    if (this.#random(6) === 0) fault = this.#random(2) === 0 ? "ENOSPC" : this.#fault();
    for (;;) {
      const number = this.attempts.length;
      this.recorder.mark(`attempt ${number}`);
      this.attempts.push({ txid: store.engine.newest() + 1, state });
      this.recorder.fail(fault, this.#random(8));
      try {
        const txid = await transaction.commit({ durability });
        this.recorder.fail(undefined);
        if (txid !== this.attempts[number]?.txid) throw new Error(`transaction ${txid}`);
        if (durability === "full") this.recorder.mark(`durable ${txid}`);
        return;
      } catch (error) {
        if (!(error instanceof DiskFullError)) throw error;
        this.recorder.mark(`failed ${number}`);
        fault = undefined;
        const problem = difference(stateOf(store), state);
        if (problem !== undefined) this.wrong.push(`after ENOSPC: ${problem}`);
        if (this.#random(2) === 0) return transaction.abort();
      }
    }
  }
}

/** Changes arrays at random, one transaction after the other, and remembers each state. */
export async function workload(folder: string, seed: number, transactions: number): Promise<History> {
  const work = new Workload(folder, seed);
  await work.run(transactions);
  return { hit: work.recorder.hit, steps: work.recorder.steps, attempts: work.attempts, wrong: work.wrong };
}
