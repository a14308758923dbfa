import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import { Table } from "../../src/chest/log/table.ts";
import { Chest, type Durability } from "../../src/chest/main.ts";
import { NotFoundError } from "../../src/errors.ts";
import { DataFile } from "../../src/memory/data-file.ts";
import { hookSteps, type Mutant, type Step, unhookSteps } from "../support/chest-steps.ts";
import { cleanTempAfterEach, tempMemoryFolder } from "../support/temp.ts";

const seed = Number(process.env.OUTCORE_SEED ?? 1);
/** Looks at each kind of step, at least; a tenth would take minutes where the machine is busy. */
const LOOKS = process.env.OUTCORE_LONG ? 100 : 2;
const OPERATIONS = process.env.OUTCORE_LONG ? 3000 : 150;
/** What a writer does to its folder; none may be left out. */
const ALL = [
  "segment header",
  "append",
  "extent",
  "segment end",
  "truncate",
  "sync",
  "sync folder",
  "index put",
  "index remove",
  "index grow",
  "index discard",
  "index seal",
  "head",
  "head index",
  "head closed",
  "head sync",
  "remove segment",
];

let state = seed | 1;
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

type Model = Map<string, number>;

function madeOf(n: number): unknown {
  if (n % 4 === 0) return new Float64Array(6000).fill(n);
  return n % 4 === 1 ? n : { n, text: "x".repeat(n % 300) };
}

function isMadeOf(value: unknown, n: number | undefined): boolean {
  if (n === undefined || n % 4 === 1) return value === n;
  if (n % 4 === 0) return value instanceof Float64Array && value.length === 6000 && value.every((each) => each === n);
  const found = value as { n: number; text: string } | undefined;
  return found?.n === n && found.text === "x".repeat(n % 300);
}

/** What is wrong with a folder that must hold one of the models; undefined when nothing is. */
function wrong(folder: string, allowed: readonly Model[], readOnly: boolean): string | undefined {
  let chest: Chest<string, unknown>;
  try {
    chest = new Chest<string, unknown>({ path: folder, readOnly });
  } catch (error) {
    /* It was being made. */
    const isUnborn = readOnly && error instanceof NotFoundError && allowed.some(({ size }) => size === 0);
    return isUnborn ? undefined : `it does not open: ${error}`;
  }
  try {
    if (chest.damage.length > 0) return `it reports damage: ${JSON.stringify(chest.damage)}`;
    const pairs = [...chest];
    const equal = (model: Model): boolean =>
      model.size === pairs.length &&
      chest.size === pairs.length &&
      pairs.every(([key, value]) => model.has(key) && isMadeOf(value, model.get(key)));
    if (allowed.some(equal)) return undefined;
    return `${pairs.length} keys of ${chest.size} are those of no commit: ${allowed.map(({ size }) => size)} were`;
  } catch (error) {
    return String(error);
  } finally {
    chest.abandon();
  }
}

interface Explored {
  readonly violations: string[];
  readonly hits: Record<string, number>;
}

/** Works on a chest, and looks at what a kill would leave behind after steps of every kind. */
async function explore(
  durability: Durability,
  operations: number,
  looks: number,
  mutant: Mutant = {},
): Promise<Explored> {
  const home = tempMemoryFolder();
  const folder = path.join(home, "chest");
  const copy = path.join(home, "copy");
  const model: Model = new Map();
  let committed: Model = new Map();
  let isCommitting = false;
  const violations: string[] = [];
  const hits: Record<string, number> = {};
  const seen: Record<string, number> = {};
  const look = ({ name }: Step): void => {
    const count = (seen[name] ?? 0) + 1;
    seen[name] = count;
    if (count > looks && random(count) >= looks) return;
    hits[name] = (hits[name] ?? 0) + 1;
    fs.rmSync(copy, { recursive: true, force: true });
    fs.mkdirSync(copy);
    for (const each of fs.readdirSync(folder))
      if (each !== "chest.lock") fs.copyFileSync(path.join(folder, each), path.join(copy, each));
    const allowed = isCommitting ? [committed, new Map(model)] : [committed];
    for (const readOnly of [true, false]) {
      const what = wrong(copy, allowed, readOnly);
      if (what !== undefined) violations.push(`${readOnly ? "read" : "opened"} after "${name}" ${count}: ${what}`);
    }
  };
  const torn = (step: Step): void => {
    if (step.kind !== "write" || step.bytes === undefined || random(20) > 0) return;
    /* Killed while the system was writing: half of it is there. */
    const file = path.join(folder, step.file);
    const fd = fs.openSync(file, "r+");
    fs.writeSync(fd, step.bytes, 0, step.bytes.length >> 1, step.offset);
    fs.closeSync(fd);
    look({ ...step, name: `half of ${step.name}` });
  };
  const committing = async (work: () => unknown): Promise<void> => {
    isCommitting = true;
    await work();
    isCommitting = false;
    committed = new Map(model);
  };
  const options = { path: folder, budget: 100_000, segmentSize: 2 ** 20, durability } as const;
  let n = 0;
  hookSteps(folder, look, torn, mutant);
  try {
    let chest = new Chest<string, unknown>(options);
    /* Enough keys for the index to grow. */
    const keys = 1200;
    for (let i = 0; i < keys; i++) {
      const key = `key${i}`;
      model.set(key, 1);
      if (durability === "always") {
        await committing(() => chest.set(key, madeOf(1)));
        if (i > 20) break;
      } else chest.set(key, madeOf(1));
    }
    await committing(() => chest.flush());
    for (n = 2; n <= operations && violations.length < 5; n++) {
      const key = `key${random(random(3) === 0 ? keys : 40)}`;
      const change = (): void => {
        if (random(5) === 0) {
          model.delete(key);
          chest.delete(key);
        } else {
          model.set(key, n);
          chest.set(key, madeOf(n));
        }
      };
      if (durability === "always") await committing(change);
      else change();
      const dice = random(60);
      if (dice < 8) await committing(() => chest.flush());
      else if (dice === 8) await committing(() => chest.compact());
      else if (dice === 9) {
        await committing(() => chest.close());
        chest = new Chest<string, unknown>(options);
      }
    }
    /* Whatever the seed: something of every kind. */
    for (let round = 1; round <= 3; round++) {
      for (let i = 0; i < 40; i++) {
        model.set(`key${i}`, 4 * round);
        const change = (): unknown => chest.set(`key${i}`, madeOf(4 * round));
        if (durability === "always") await committing(change);
        else change();
      }
      await committing(() => chest.flush());
    }
    model.delete("key1");
    await committing(() => {
      chest.delete("key1");
      chest.flush();
    });
    await committing(() => chest.compact());
    await committing(() => chest.close());
  } catch (error) {
    /* Mutants break the chest itself too. */
    violations.push(String(error));
  } finally {
    unhookSteps();
  }
  return { violations, hits };
}

describe("a chest that is killed after any step of its protocol", () => {
  cleanTempAfterEach();
  afterEach(unhookSteps);

  for (const durability of ["none", "flush", "always"] as const)
    it(`${durability}: has what was flushed and nothing else (seed ${seed})`, async () => {
      state = seed | 1;
      const { violations, hits } = await explore(durability, OPERATIONS, LOOKS);
      console.log(`${durability}: looked after ${JSON.stringify(hits)}`);
      assert.deepEqual(violations, []);
      if (durability === "flush")
        assert.deepEqual(
          ALL.filter((name) => hits[name] === undefined),
          [],
        );
    }, 900_000);

  it("the mutant that changes index and head before it writes the log is caught", async () => {
    state = 1;
    const { write } = DataFile.prototype;
    const late: (() => void)[] = [];
    const mutant: Mutant = {
      write(this: DataFile, offset, source) {
        const bytes = source.slice();
        if (offset === 0) write.call(this, offset, bytes);
        else late.push(() => write.call(this, offset, bytes));
      },
      afterHead: () => {
        for (const each of late.splice(0)) each();
      },
    };
    assert.ok((await explore("none", 100, 3, mutant)).violations.length > 0);
  }, 300_000);

  it("the mutant whose head is ahead of its index is caught", async () => {
    state = 1;
    const { put } = Table.prototype;
    const late: (() => void)[] = [];
    const mutant: Mutant = {
      put(this: Table, h1, tag, position, before) {
        late.push(() => put.call(this, h1, tag, position, before));
        return true;
      },
      afterHead: () => {
        for (const each of late.splice(0)) each();
      },
    };
    assert.ok((await explore("none", 100, 3, mutant)).violations.length > 0);
  }, 300_000);
});
