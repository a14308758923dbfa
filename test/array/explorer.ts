import path from "node:path";
import { type ArrayStore, openStore } from "../../src/array/main.ts";
import { randomFrom } from "../support/random.ts";
import { type Disk, lay, lose, Recorder, type Step } from "./disk.ts";
import { difference, type History, options, PAGE, stateOf, workload } from "./workload.ts";

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
    for (let i = size; i < values.length - 1; i++)
      if (values[i] !== 0) return `${name}[${i}] came back as ${values[i]}`;
  }
  return undefined;
}

/** What was known before a step: the newest durable transaction, and what attempts may be seen. */
interface Known {
  readonly durable: number;
  readonly possible: readonly number[];
}

function knownAt(steps: readonly Step[], cut: number): Known {
  let durable = 0;
  const possible = new Set([0]);
  for (let i = 0; i < cut; i++) {
    const step = steps[i] as Step;
    if (step.kind !== "mark") continue;
    const [word, number] = step.name.split(" ");
    if (word === "durable") durable = Number(number);
    else if (word === "attempt") possible.add(Number(number));
    else possible.delete(Number(number));
  }
  return { durable, possible: [...possible] };
}

/** What is wrong with what a recovered store's named snapshot shows, or undefined. */
function judgeNamed(store: ArrayStore, history: History, possible: readonly number[]): string | undefined {
  const { kept } = store.snapshots;
  if (kept === undefined) return undefined;
  const old = openStore(store.folder, { ...options, at: "kept" });
  try {
    const found = stateOf(old);
    const then = possible.map((number) => history.attempts[number]).filter((attempt) => attempt?.txid === kept);
    const problems = then.map((attempt) => attempt && difference(found, attempt.state));
    if (problems.includes(undefined)) return undefined;
    return `named snapshot ${kept}: ${problems[0] ?? "which nobody tried to commit"}`;
  } catch (error) {
    return `named snapshot ${kept} cannot be opened: ${(error as Error).message}`;
  } finally {
    old.engine[Symbol.dispose]();
  }
}

/** What is wrong with a recovered store, or undefined. */
async function judge(folder: string, history: History, { durable, possible }: Known): Promise<string | undefined> {
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
    const found = stateOf(store);
    let problem: string | undefined = "which nobody tried to commit";
    for (const number of possible) {
      const attempt = history.attempts[number];
      if (attempt?.txid !== snapshot) continue;
      problem = difference(found, attempt.state);
      if (problem === undefined) break;
    }
    if (problem !== undefined) return `state ${snapshot}: ${problem}`;
    problem = judgeNamed(store, history, possible) ?? (await goOn(store));
    if (problem !== undefined) return problem;
    await store.checkpoint();
    return judgeNamed(store, history, possible);
  } finally {
    store.engine[Symbol.dispose]();
  }
}

/** Opens a store that stood without power, and loses power again in the middle of it. */
function loseInRecovery(disk: Disk, folder: string, random: (limit: number) => number): Disk {
  const recorder = new Recorder();
  recorder.start(folder);
  try {
    openStore(folder, options).engine[Symbol.dispose]();
  } catch {
    /* Told by the judge. */
  } finally {
    recorder.stop();
  }
  return lose(disk, recorder.steps, random(recorder.steps.length + 1), random);
}

/** Power losses before each step of a history, or its `last` ones, `times` each; the first thing that is wrong. */
export async function exploreEvery(
  folder: string,
  history: History,
  times: number,
  last: number = Number.POSITIVE_INFINITY,
): Promise<string[]> {
  const random = randomFrom(1);
  const { steps } = history;
  for (let cut = Math.max(0, steps.length - last); cut <= steps.length; cut++)
    for (let i = 0; i < times; i++) {
      const crash = path.join(folder, "crash");
      lay(lose(new Map(), steps, cut, random), crash);
      const problem = await judge(crash, history, knownAt(steps, cut));
      if (problem !== undefined) return [`cut ${cut} of ${steps.length}: ${problem}`];
    }
  return [];
}

const PER_WORKLOAD = 50;

/**
 * Power losses in `histories` places of random workloads; the violations. Recovery itself loses power at times, once or
 * twice.
 */
export async function explore(
  folder: string,
  seed: number,
  histories: number,
  tell: (done: number) => void = () => {},
): Promise<string[]> {
  const random = randomFrom(seed);
  const wrong: string[] = [];
  const crash = path.join(folder, "crash");
  for (let done = 0; done < histories && wrong.length < 5; ) {
    const workSeed = random(2 ** 31);
    const history = await workload(path.join(folder, "work"), workSeed, 12);
    wrong.push(...history.wrong.map((problem) => `workload ${workSeed}: ${problem}`));
    const { steps } = history;
    for (let i = 0; i < PER_WORKLOAD && done < histories; i++, done++) {
      const cut = random(steps.length + 1);
      let disk: Disk = lose(new Map(), steps, cut, random);
      lay(disk, crash);
      for (let again = random(3); again === 0; again = random(3)) {
        disk = loseInRecovery(disk, crash, random);
        lay(disk, crash);
      }
      const problem = await judge(crash, history, knownAt(steps, cut));
      if (problem !== undefined) wrong.push(`workload ${workSeed}, cut ${cut} of ${steps.length}: ${problem}`);
    }
    tell(done);
  }
  return wrong;
}
