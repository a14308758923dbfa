import { rmSync } from "node:fs";
import path from "node:path";
import { type ArrayStore, openStore, type StoreOptions } from "../../src/array/main.ts";
import { type Disk, lay, lose, Recorder, randomFrom, type Step } from "./disk.ts";

/** Every array at one committed state. */
type State = ReadonlyMap<string, readonly number[]>;

interface History {
  readonly steps: readonly Step[];
  readonly states: readonly State[];
}

const options: StoreOptions = { segmentBytes: 2 ** 17, directBytes: 2 ** 14, reserve: 2 ** 22 };
const PAGE = 512; // elements of f64 in 4 KiB

function stateOf(store: ArrayStore): State {
  return new Map(store.names.map((name) => [name, Array.from(store.array(name, "f64").typed())]));
}

/** Changes arrays at random, one transaction after the other, and remembers each state. */
async function workload(folder: string, seed: number, transactions: number): Promise<History> {
  const random = randomFrom(seed);
  rmSync(folder, { recursive: true, force: true });
  const recorder = new Recorder();
  recorder.start();
  const states: State[] = [new Map()];
  try {
    const store = openStore(folder, options);
    let value = 1;
    for (let i = 0; i < transactions; i++) {
      const transaction = store.begin();
      const name = `a${random(2)}`;
      if (!store.names.includes(name)) store.create(name, { dtype: "f64", shape: PAGE * (1 + random(4)) });
      const array = store.array(name, "f64");
      const what = random(8);
      if (what === 0) array.resize(1 + random(8 * PAGE));
      else if (what === 1) array.append(Float64Array.from({ length: PAGE * (4 + random(4)) }, () => ++value));
      else if (what === 2 && array.size > 1) {
        const savepoint = transaction.savepoint();
        array.typed()[0] = ++value;
        transaction.rollback(savepoint);
      }
      if (array.size > 2 ** 14) array.resize(100);
      for (let k = random(5); k >= 0; k--) array.typed()[random(array.size)] = ++value;
      if (random(6) === 0) {
        transaction.abort();
        continue;
      }
      const state = stateOf(store);
      recorder.mark(`attempt ${states.length}`);
      states.push(state);
      const durability = random(5) === 0 ? "none" : "full";
      const txid = await transaction.commit({ durability });
      if (txid !== states.length - 1) throw new Error(`transaction ${txid}, not ${states.length - 1}`);
      if (durability === "full") recorder.mark(`durable ${txid}`);
      if (random(7) === 0) await store.checkpoint();
    }
    store.engine[Symbol.dispose]();
  } finally {
    recorder.stop();
  }
  return { steps: recorder.steps, states };
}

/** What nobody committed must not come back when the arrays grow over its place. */
async function goOn(store: ArrayStore): Promise<string | undefined> {
  const sizes = new Map(store.names.map((name) => [name, store.array(name).size]));
  const transaction = store.begin();
  for (const [name, size] of sizes) {
    const array = store.array(name, "f64");
    array.resize(size + 24 * PAGE);
    array.typed()[array.size - 1] = -1;
  }
  await transaction.commit();
  for (const [name, size] of sizes) {
    const values = store.array(name, "f64").typed();
    const at = values.subarray(size, -1).findIndex((value) => value !== 0);
    if (at >= 0) return `${name}[${size + at}] came back as ${values[size + at]}`;
  }
  return undefined;
}

/** What is wrong with a recovered store, or undefined. */
async function judge(
  folder: string,
  history: History,
  durable: number,
  attempted: number,
): Promise<string | undefined> {
  let store: ArrayStore;
  try {
    store = openStore(folder, options);
  } catch (error) {
    return `cannot be opened: ${(error as Error).message}`;
  }
  try {
    const { snapshot } = store;
    const [bad] = store.engine.verify();
    if (bad !== undefined) return `state ${snapshot}: ${bad.message}`;
    if (snapshot < durable) return `state ${snapshot}, but ${durable} was durable`;
    if (snapshot > attempted) return `state ${snapshot}, but only ${attempted} was attempted`;
    const expected = history.states[snapshot] as State;
    const found = stateOf(store);
    if (found.size !== expected.size) return `state ${snapshot} has arrays ${[...found.keys()]}`;
    for (const [name, values] of expected) {
      const other = found.get(name) ?? [];
      const at = values.findIndex((value, i) => other[i] !== value);
      if (at >= 0 || other.length !== values.length)
        return `state ${snapshot}: ${name}[${at}] is ${other[at]}, not ${values[at]} (${other.length} elements)`;
    }
    return await goOn(store);
  } finally {
    store.engine[Symbol.dispose]();
  }
}

function known(steps: readonly Step[], cut: number, word: string): number {
  let found = 0;
  for (let i = 0; i < cut; i++) {
    const step = steps[i] as Step;
    if (step.kind === "mark" && step.name.startsWith(word)) found = Number(step.name.split(" ")[1]);
  }
  return found;
}

/** Power losses in `histories` places of random workloads; the violations. Recovery itself loses power at times. */
export async function explore(folder: string, seed: number, histories: number): Promise<string[]> {
  const random = randomFrom(seed);
  const wrong: string[] = [];
  const perWorkload = 50;
  for (let done = 0; done < histories && wrong.length < 5; ) {
    const workSeed = random(2 ** 31);
    const history = await workload(path.join(folder, `w${seed}-${done}`), workSeed, 12);
    const { steps } = history;
    const first = steps.findIndex(({ kind, name }) => kind === "mark" && name === "attempt 1");
    for (let i = 0; i < perWorkload && done < histories; i++, done++) {
      const cut = first + random(steps.length + 1 - first);
      const durable = known(steps, cut, "durable");
      const attempted = known(steps, cut, "attempt");
      let disk: Disk = lose(new Map(), steps, cut, random);
      const crash = path.join(folder, "crash");
      lay(disk, crash);
      if (random(3) === 0) {
        const recorder = new Recorder();
        recorder.start();
        try {
          openStore(crash, options).engine[Symbol.dispose]();
        } catch {
          /* Told by the judge. */
        } finally {
          recorder.stop();
        }
        disk = lose(disk, recorder.steps, random(recorder.steps.length + 1), random);
        lay(disk, crash);
      }
      const problem = await judge(crash, history, durable, attempted);
      if (problem !== undefined) wrong.push(`workload ${workSeed}, cut ${cut} of ${steps.length}: ${problem}`);
    }
  }
  return wrong;
}
