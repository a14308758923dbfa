import { Buffer } from "node:buffer";
import path from "node:path";
import { type ArrayStore, openStore, type Savepoint, type Transaction } from "../../src/array/main.ts";
import { mutations } from "../../src/array/mutations.ts";
import { SharedState } from "../../src/array/shared-state.ts";
import {
  ClosedError,
  ConflictError,
  DiskFullError,
  LockedError,
  NotFoundError,
  TransactionError,
} from "../../src/errors.ts";
import { type DirtyWay, PrivateView } from "../../src/memory/private-view.ts";
import { diskError, observeDisk } from "../../src/memory/store-file.ts";
import { randomFrom } from "../support/random.ts";
import { observeFolder } from "./disk.ts";
import { type Arrays, copyOf, type Deed, merged, PAGE, resized, verdict } from "./model.ts";

/** What a running transaction has done so far. */
interface Work {
  arrays: Arrays;
  pages: Map<string, Set<number>>;
  zeros: Map<string, Set<number>>;
  tails: Map<string, Set<number>>;
  shaped: Map<string, number>;
  created: Set<string>;
  dropped: Set<string>;
  snapshots: boolean;
}

interface Connection {
  readonly number: number;
  store: ArrayStore;
  transaction: Transaction | undefined;
  snapshot: number;
  work: Work;
  savepoint: { point: Savepoint; work: Work } | undefined;
  /** Written to outside a transaction. */
  stray: boolean;
  /** The store's part of what connections tell one another. */
  shared: SharedState | undefined;
}

const cloneMap = (map: Map<string, Set<number>>): Map<string, Set<number>> =>
  new Map([...map].map(([name, set]) => [name, new Set(set)]));

function cloneWork(work: Work): Work {
  return {
    arrays: copyOf(work.arrays),
    pages: cloneMap(work.pages),
    zeros: cloneMap(work.zeros),
    tails: cloneMap(work.tails),
    shaped: new Map(work.shaped),
    created: new Set(work.created),
    dropped: new Set(work.dropped),
    snapshots: work.snapshots,
  };
}

function freshWork(arrays: Arrays): Work {
  return {
    arrays: copyOf(arrays),
    pages: new Map(),
    zeros: new Map(),
    tails: new Map(),
    shaped: new Map(),
    created: new Set(),
    dropped: new Set(),
    snapshots: false,
  };
}

const { open: openShared } = SharedState;
const { tryCommitLock } = SharedState.prototype;

const NAMES = ["a", "b", "c"];
const bytesOf = (values: Float64Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

function ways(): DirtyWay[] {
  const best = PrivateView.way();
  return best === "scan" ? ["scan", "pagemap", "compare"] : best === "pagemap" ? ["pagemap", "compare"] : ["compare"];
}

/** Several connections to one store, whose operations come in a random order, beside a model of snapshot isolation. */
class Interleaving {
  readonly #folder: string;
  readonly #random: (limit: number) => number;
  readonly #states: Arrays[] = [new Map()];
  readonly #deeds: (Deed | undefined)[] = [undefined];
  readonly #connections: Connection[] = [];
  readonly #ways = ways();
  #value = 0;
  /** Those that have committed in between, in a turn of the event loop that is not over. */
  readonly #sneaked = new Set<Connection>();
  #sneaking = false;
  /** How many attempts to take the lock will fail. */
  #refusals = 0;
  /** Checkpoints that are waited for in the end only: they may wait for the lock while something else is done. */
  readonly #late: Promise<unknown>[] = [];
  #wrong: unknown;
  #opened: SharedState | undefined;
  /** The last operations, for a report. */
  readonly trace: string[] = [];

  constructor(folder: string, seed: number) {
    this.#folder = folder;
    this.#random = randomFrom(seed);
  }

  get #newest(): Arrays {
    return this.#states.at(-1) as Arrays;
  }

  #open(at?: string): ArrayStore {
    const dirtyWay = this.#ways[this.#random(this.#ways.length)] as DirtyWay;
    return openStore(this.#folder, {
      /* Small ones at times: then each turn of the event loop may make a checkpoint. */
      segmentBytes: 2 ** (this.#random(2) === 0 ? 17 : 14),
      directBytes: 2 ** 14,
      reserve: 2 ** 19,
      lockTimeout: 50,
      dirtyWay,
      ...(at === undefined ? {} : { at }),
    });
  }

  async run(operations: number): Promise<void> {
    const interleaving = this;
    SharedState.open = (...args) => {
      this.#opened = openShared.apply(SharedState, args);
      return this.#opened;
    };
    SharedState.prototype.tryCommitLock = function (this: SharedState): boolean {
      interleaving.#beforeLock(this);
      return !interleaving.#isTaken() && tryCommitLock.call(this);
    };
    try {
      for (let number = 0; number < 4; number++)
        this.#connections.push({
          number,
          store: this.#open(),
          shared: this.#opened,
          transaction: undefined,
          snapshot: 0,
          work: freshWork(new Map()),
          savepoint: undefined,
          stray: false,
        });
      for (let i = 0; i < operations; i++) {
        const connection = this.#pick();
        if (connection.transaction === undefined) await this.#idle(connection);
        else await this.#active(connection, connection.transaction);
        this.#check(this.#pick());
        /* Upkeep happens between turns of the event loop. */
        if (this.#sneaked.size > 0 || this.#random(4) === 0) await new Promise<void>((done) => setImmediate(done));
        this.#sneaked.clear();
      }
      for (const connection of this.#connections) this.#check(connection);
      await Promise.all(this.#late);
      if (this.#wrong !== undefined) throw this.#wrong;
    } finally {
      observeDisk(undefined);
      SharedState.open = openShared;
      SharedState.prototype.tryCommitLock = tryCommitLock;
      for (const { store } of this.#connections) store.close();
    }
  }

  /** Whether somebody elsewhere has the commit lock for a moment. */
  #isTaken(): boolean {
    if (this.#sneaking) return false;
    if (this.#refusals > 0) this.#refusals--;
    else if (this.#random(40) > 0) return false;
    return true;
  }

  /** Before somebody takes the commit lock another may have it, and be done. */
  #beforeLock(shared: SharedState): void {
    if (this.#sneaking || this.#random(6) > 0) return;
    const one = this.#connections.find((each) => each.shared === shared);
    if (one === undefined) return;
    this.#sneaking = true;
    if (this.#random(3) > 0) this.#sneak(one);
    const others = this.#connections.filter((each) => each !== one && !this.#isBusy(each));
    const other = others[this.#random(others.length)];
    if (other !== undefined && this.#random(3) > 0) {
      this.#note(other, "checkpoint in between");
      void other.store.checkpoint();
      this.#sneaked.add(other);
    }
    this.#sneaking = false;
  }

  #isBusy(connection: Connection): boolean {
    return connection.transaction !== undefined || connection.stray || this.#sneaked.has(connection);
  }

  /**
   * What another does while one is about to take the commit lock, or, in a mutant without the gate, between reading the
   * head and saying so: a commit.
   */
  #sneak(one: Connection): void {
    const other = this.#connections.find((each) => each !== one && !this.#isBusy(each));
    if (other === undefined || this.#newest.size === 0) return;
    const { lateSlot } = mutations;
    mutations.lateSlot = undefined;
    const isInner = this.#sneaking;
    this.#sneaking = true;
    this.#sneaked.add(other);
    this.#begin(other);
    this.#note(other, "commit in between");
    if (this.#write(other)) {
      void other.transaction?.commit();
      this.#remember(other);
    } else other.transaction?.abort();
    other.transaction = undefined;
    this.#sneaking = isInner;
    mutations.lateSlot = lateSlot;
  }

  #remember({ work, snapshot }: Connection): void {
    this.#states.push(merged(this.#newest, work.arrays, work, this.#deeds.slice(snapshot + 1) as Deed[]));
    this.#deeds.push(cloneWork(work));
  }

  #pick(): Connection {
    return this.#connections[this.#random(this.#connections.length)] as Connection;
  }

  #note({ number }: Connection, what: string): void {
    this.trace.push(`${number}: ${what}`);
  }

  async #idle(connection: Connection): Promise<void> {
    const what = this.#random(12);
    const { store } = connection;
    if (what === 0 && !connection.stray) {
      this.#note(connection, "checkpoint");
      if (this.#random(3) === 0) this.#refusals = this.#random(8);
      const done = store.checkpoint().catch((error) => {
        const isUsual = [ClosedError, DiskFullError, LockedError].some((each) => error instanceof each);
        if (!isUsual) this.#wrong = error;
      });
      if (this.#refusals === 0) await done;
      else this.#late.push(done);
    } else if (what === 3) this.#named(connection);
    else if (what === 1) {
      this.#note(connection, "open again");
      store.close();
      connection.store = this.#open();
      connection.shared = this.#opened;
      connection.stray = false;
    } else if (what === 2 && store.snapshot === this.#states.length - 1 && this.#newest.size > 0) {
      connection.snapshot = store.snapshot;
      if (!connection.stray) connection.work = freshWork(this.#newest);
      this.#note(connection, "write outside");
      connection.stray = this.#write(connection) || connection.stray;
    } else this.#begin(connection);
  }

  /** Whoever opens the named snapshot sees the state that it stands at. */
  #named(connection: Connection): void {
    this.#note(connection, "open the named snapshot");
    try {
      const store = this.#open("kept");
      try {
        this.#compare(connection.number, store, this.#states[store.snapshot] as Arrays);
      } finally {
        store.close();
      }
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
    }
  }

  #begin(connection: Connection): void {
    const newest = this.#states.length - 1;
    if (connection.stray && connection.snapshot !== newest) {
      this.#note(connection, "discard");
      try {
        connection.store.begin();
      } catch (error) {
        if (!(error instanceof TransactionError)) throw error;
        connection.store.discard();
        connection.stray = false;
        return;
      }
      throw new Error("what was written outside a transaction went into a later state");
    }
    this.#note(connection, `begin at ${newest}`);
    if (mutations.lateSlot !== undefined) mutations.lateSlot = () => this.#sneak(connection);
    try {
      connection.transaction = connection.store.begin();
    } catch (error) {
      const isOvertaken = connection.stray && this.#states.length - 1 > newest;
      if (!(error instanceof TransactionError && isOvertaken)) throw error;
      this.#note(connection, "discard, for another has committed in between");
      connection.store.discard();
      connection.stray = false;
      return;
    }
    const { snapshot } = connection.transaction;
    /* Others may have committed in between. */
    if (snapshot < newest || snapshot >= this.#states.length) throw new Error(`snapshot ${snapshot}`);
    connection.snapshot = snapshot;
    if (!connection.stray) connection.work = freshWork(this.#states[snapshot] as Arrays);
    connection.stray = false;
    connection.savepoint = undefined;
  }

  #dirty({ work }: Connection, name: string, first: number, end: number): void {
    const pages = work.pages.get(name) ?? new Set();
    for (let page = Math.floor(first / PAGE); page * PAGE < end; page++) pages.add(page);
    work.pages.set(name, pages);
  }

  /** Whether it wrote anything. */
  #write(connection: Connection): boolean {
    const { store, work } = connection;
    const names = [...work.arrays.keys()];
    const name = names[this.#random(names.length)];
    const mine = name === undefined ? undefined : work.arrays.get(name);
    if (name === undefined || mine === undefined || mine.length === 0) return false;
    const view = store.array(name, "f64").typed();
    if (this.#random(4) === 0) {
      const first = this.#random(mine.length);
      const end = Math.min(mine.length, first + this.#random(3 * PAGE));
      view.fill(++this.#value, first, end);
      mine.fill(this.#value, first, end);
      if (end > first) this.#dirty(connection, name, first, end);
      return end > first;
    }
    for (let i = this.#random(4); i >= 0; i--) {
      const at = this.#random(mine.length);
      view[at] = mine[at] = ++this.#value;
      this.#dirty(connection, name, at, at + 1);
    }
    return true;
  }

  #resize(connection: Connection): void {
    const { store, work } = connection;
    const names = [...work.arrays.keys()];
    const name = names[this.#random(names.length)];
    const mine = name === undefined ? undefined : work.arrays.get(name);
    if (name === undefined || mine === undefined) return;
    const before = mine.length;
    const append = this.#random(2) === 0 && before < 10 * PAGE;
    const after = append ? before + 1 + this.#random(6 * PAGE) : this.#random(10 * PAGE);
    this.#note(connection, `${name} from ${before} to ${after}`);
    if (append) store.array(name).append(new Float64Array(after - before).fill(++this.#value));
    else store.array(name).resize(after);
    const next = resized(mine, after);
    if (append) next.fill(this.#value, before);
    work.arrays.set(name, next);
    if (!work.created.has(name)) work.shaped.set(name, after);
    if (append) this.#dirty(connection, name, before, after);
    if (after >= before) return;
    /* The tail of the last page is zeroed; whole pages behind it are gone. */
    const tails = work.tails.get(name) ?? new Set();
    if (after % PAGE !== 0) work.tails.set(name, tails.add(Math.floor(after / PAGE)));
    const pages = work.pages.get(name);
    const zeros = work.zeros.get(name) ?? new Set();
    for (let page = Math.ceil(after / PAGE); page * PAGE < before; page++) {
      zeros.add(page);
      pages?.delete(page);
    }
    work.zeros.set(name, zeros);
  }

  #createOrDrop(connection: Connection): void {
    const { store, work } = connection;
    const name = NAMES[this.#random(NAMES.length)] as string;
    if (work.arrays.has(name)) {
      if (this.#random(4) > 0 || work.created.has(name)) return;
      this.#note(connection, `drop ${name}`);
      store.drop(name);
      work.arrays.delete(name);
      for (const map of [work.pages, work.zeros, work.tails]) map.delete(name);
      work.shaped.delete(name);
      work.dropped.add(name);
    } else if (!work.dropped.has(name)) {
      const length = 1 + this.#random(6 * PAGE);
      this.#note(connection, `create ${name} of ${length}`);
      store.create(name, { dtype: "f64", shape: length });
      work.arrays.set(name, new Float64Array(length));
      work.created.add(name);
    }
  }

  async #active(connection: Connection, transaction: Transaction): Promise<void> {
    const what = this.#random(16);
    const { store, work } = connection;
    if (what < 5) {
      this.#note(connection, "write");
      this.#write(connection);
    } else if (what === 5) this.#resize(connection);
    else if (what === 6) this.#createOrDrop(connection);
    else if (what === 7) {
      this.#note(connection, "savepoint");
      connection.savepoint = { point: transaction.savepoint(), work: cloneWork(work) };
    } else if (what === 8 && connection.savepoint !== undefined) {
      this.#note(connection, "rollback");
      transaction.rollback(connection.savepoint.point);
      connection.work = cloneWork(connection.savepoint.work);
    } else if (what === 9) {
      this.#note(connection, "spill");
      transaction.spill();
    } else if (what === 10 && this.#random(3) === 0) {
      this.#note(connection, "snapshot");
      if (Object.hasOwn(store.snapshots, "kept")) store.dropSnapshot("kept");
      else store.keepSnapshot("kept");
      work.snapshots = true;
    } else if (what === 11) {
      this.#note(connection, "abort");
      transaction.abort();
      connection.transaction = undefined;
    } else await this.#commit(connection, transaction);
  }

  #verdict({ work, snapshot }: Connection): "conflict" | "either" | "none" {
    let result: "conflict" | "either" | "none" = "none";
    for (let txid = snapshot + 1; txid < this.#states.length; txid++) {
      const one = verdict(work, this.#deeds[txid] as Deed, this.#states[snapshot] as Arrays);
      if (one === "conflict") return one;
      if (one === "either") result = one;
    }
    return result;
  }

  async #commit(connection: Connection, transaction: Transaction): Promise<void> {
    const { work } = connection;
    const empty =
      [work.pages, work.zeros, work.tails].every((map) => [...map.values()].every((set) => set.size === 0)) &&
      work.shaped.size + work.created.size + work.dropped.size === 0 &&
      !work.snapshots;
    let left = this.#random(6) === 0 ? this.#random(4) : -1;
    if (left >= 0)
      observeFolder(this.#folder, ({ kind, path: file }) => {
        if (!this.#sneaking && (kind === "write" || kind === "sync") && left-- === 0)
          throw diskError("ENOSPC", kind, file);
        return undefined;
      });
    const durability = this.#random(3) === 0 ? "none" : "full";
    this.#note(connection, `commit ${durability}${left >= 0 ? ", failing" : ""}: ${this.#verdict(connection)}`);
    try {
      const txid = await transaction.commit({ durability });
      observeDisk(undefined);
      connection.transaction = undefined;
      if (!empty && this.#verdict(connection) === "conflict")
        throw new Error(`transaction ${txid} should have been a conflict`);
      if (txid === this.#states.length) this.#remember(connection);
      else if (!empty) throw new Error(`transaction ${txid}, after ${this.#states.length - 1}`);
    } catch (error) {
      observeDisk(undefined);
      if (error instanceof DiskFullError || error instanceof LockedError) {
        this.#check(connection);
        /* Another transaction grows the same array, and goes on only when this one does not wait for it. */
        if (!(error instanceof LockedError)) return;
        this.#note(connection, "abort, for another grows what this one has grown");
        transaction.abort();
        connection.transaction = undefined;
        return;
      }
      if (!(error instanceof ConflictError)) throw error;
      if (this.#verdict(connection) === "none") throw new Error(`a conflict that is none: ${error.message}`);
      connection.transaction = undefined;
    }
  }

  #check({ number, store, transaction, work }: Connection): void {
    if (this.#random(40) === 0) {
      const [wrong] = store.engine.verify();
      if (wrong !== undefined) throw new Error(`connection ${number}: ${wrong.message}`);
    }
    if (transaction !== undefined) this.#compare(number, store, work.arrays);
  }

  #compare(number: number, store: ArrayStore, arrays: Arrays): void {
    const names = store.names.sort().join();
    const expected = [...arrays.keys()].sort().join();
    if (names !== expected) throw new Error(`connection ${number} has arrays ${names}, not ${expected}`);
    for (const [name, values] of arrays) {
      const found = store.array(name, "f64").typed();
      if (found.length === values.length && bytesOf(found).equals(bytesOf(values))) continue;
      const at = found.findIndex((value, i) => value !== values[i]);
      throw new Error(
        `connection ${number}: ${name}[${at}] is ${found[at]} of ${found.length}, not ${values[at]} of ${values.length}`,
      );
    }
  }
}

/** Runs random interleavings; what was wrong, with the last operations before it. */
export async function interleave(
  folder: string,
  seed: number,
  count: number,
  tell: (done: number) => void = () => {},
): Promise<string[]> {
  const random = randomFrom(seed);
  const wrong: string[] = [];
  for (let done = 0; done < count && wrong.length < 3; done++) {
    const one = random(2 ** 31);
    const interleaving = new Interleaving(path.join(folder, `i${seed}-${done}`), one);
    try {
      await interleaving.run(100);
    } catch (error) {
      wrong.push(`interleaving ${one}: ${(error as Error).message}\n  ${interleaving.trace.slice(-30).join("\n  ")}`);
    }
    if (done % 100 === 99) tell(done + 1);
  }
  return wrong;
}
