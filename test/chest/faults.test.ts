import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { isDeepStrictEqual } from "node:util";
import { afterEach, describe, it } from "vitest";
import { native } from "../../ffi/load.ts";
import { Chest, type ChestOptions, folderTier, LimitError, OutcoreError } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempMemoryFolder } from "../support/temp.ts";

const seed = Number(process.env.OUTCORE_SEED ?? 1);
const PROGRAMS = process.env.OUTCORE_LONG ? 3000 : 60;
const EIO = 5;
const ENOSPC = 28;

/* What a chest asks of the system, through the library and through the runtime. */
const CALLS = "oc_dup oc_size oc_stat oc_pread oc_pwrite oc_truncate oc_allocate oc_sync oc_map oc_flush oc_copy_range";
const FUNCTIONS =
  "openSync fsyncSync renameSync rmSync readdirSync writeFileSync mkdtempSync statSync writeSync mkdirSync";
type AnyFunction = (...args: unknown[]) => unknown;
const calls = native().calls as unknown as Record<string, AnyFunction>;
const functions = fs as unknown as Record<string, AnyFunction>;
const own: readonly [Record<string, AnyFunction>, string, AnyFunction][] = [
  ...CALLS.split(" ").map((name) => [calls, name, calls[name]!] as [Record<string, AnyFunction>, string, AnyFunction]),
  ...FUNCTIONS.split(" ").map(
    (name) => [functions, name, functions[name]!] as [Record<string, AnyFunction>, string, AnyFunction],
  ),
];

/** Which call is to fail: that many succeed first. */
interface Fault {
  left: number;
  readonly errno: number;
  /** All others after it fail too. */
  readonly lasts: boolean;
  /** The calls that failed. */
  readonly hit: string[];
}

const none = (): Fault => ({ left: Number.POSITIVE_INFINITY, errno: 0, lasts: false, hit: [] });
let fault = none();

function isDue(name: string): boolean {
  if (fault.left-- > 0) return false;
  fault.hit.push(name);
  fault.left = fault.lasts ? 0 : Number.POSITIVE_INFINITY;
  return true;
}

function install(): void {
  for (const [target, name, call] of own)
    target[name] = (...args) => {
      if (!isDue(name)) return call(...args);
      /* Descriptors and mappings run out; disks fail or are full. */
      if (target === calls) return name === "oc_dup" ? -24 : name === "oc_map" ? -12 : -fault.errno;
      const code = name === "openSync" ? "EMFILE" : fault.errno === ENOSPC ? "ENOSPC" : "EIO";
      throw Object.assign(new Error(`${code}: ${name}`), { code });
    };
}

function uninstall(): void {
  fault = none();
  for (const [target, name, call] of own) target[name] = call;
}

let state = 1;
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

type Model = Map<string, unknown>;
type Any = Chest<string, unknown>;

/** Whether the chest has what the model has, however one looks. */
function has(chest: Any, model: Model): boolean {
  const pairs = [...chest];
  /* One that is empty is asked too. */
  if (chest.has("none")) return false;
  if (pairs.length !== model.size || chest.size !== model.size) return false;
  return (
    pairs.every(([key, value]) => model.has(key) && isDeepStrictEqual(value, model.get(key))) &&
    [...model].every(([key, value]) => isDeepStrictEqual(chest.get(key), value) && chest.has(key))
  );
}

function someValue(): unknown {
  const kind = random(4);
  if (kind === 0) return random(1e6);
  if (kind === 1) return "t".repeat(random(3000));
  return kind === 2 ? new Uint8Array(33_000 + random(90_000)).fill(random(256)) : { a: random(99) };
}

interface Operation {
  readonly name: string;
  readonly after: Model;
  readonly work: () => unknown;
  /** What is there when it has ended well is there after a crash. */
  readonly flushes: boolean;
}

/** One who reads while the chest is written to: each key has one of the values it had since it was last looked at. */
class Reader {
  readonly #options: ChestOptions<string, unknown>;
  readonly #had = new Map<string, unknown[]>();
  #chest: Any | undefined;

  constructor({ path: folder }: { path: string }) {
    this.#options = { path: folder, readOnly: true, budget: [0, 100_000][random(2)]! };
  }

  /** What may be there now, beside what was there before. */
  add(model: Model): void {
    for (const key of new Set([...this.#had.keys(), ...model.keys()])) {
      const had = this.#had.get(key) ?? [undefined];
      if (!isDeepStrictEqual(had.at(-1), model.get(key))) had.push(model.get(key));
      this.#had.set(key, had);
    }
  }

  look(told: string): void {
    if (random(6) === 0) this.close();
    this.#chest ??= new Chest<string, unknown>(this.#options);
    for (const key of this.#had.keys()) {
      const had = this.#had.get(key)!;
      const value = this.#chest.get(key);
      const at = had.findIndex((each) => isDeepStrictEqual(each, value));
      assert.ok(at >= 0, `${told}: a reader finds another value of ${key}`);
      had.splice(0, at);
    }
    const pairs = new Map(this.#chest);
    for (const [key, had] of this.#had) assert.deepEqual(pairs.get(key), had[0], `${told}: ${key} among all`);
    assert.deepEqual(this.#chest.damage, [], told);
  }

  close(): void {
    this.#chest?.close();
    this.#chest = undefined;
  }
}

/** One chest, and what it should hold. */
class Program {
  readonly options: ChestOptions<string, unknown> & { path: string };
  readonly isFolder: boolean;
  model: Model = new Map();
  /** What may be there after a crash. */
  allowed: Model[] = [new Map()];
  chest: Any;
  readonly reader: Reader | undefined;

  constructor(folder: string) {
    this.isFolder = random(4) === 0;
    this.options = {
      path: folder,
      budget: [0, 1000, 200_000, 1e8][random(4)]!,
      durability: (["none", "flush", "flush", "always"] as const)[random(4)]!,
      segmentSize: 2 ** 20,
      spill: random(2) === 0 ? "sync" : "async",
      ...(this.isFolder && { tier: folderTier({ sync: random(2) === 0 }) }),
    };
    this.chest = new Chest<string, unknown>(this.options);
    if (!this.isFolder && random(2) === 0) this.reader = new Reader(this.options);
  }

  next(): Operation {
    const { options, model, isFolder } = this;
    const key = `key${random(40)}`;
    const always = options.durability === "always";
    const after: Model = new Map(model);
    const value = someValue();
    const dice = random(17);
    const changed = (name: string, work: () => unknown, flushes = always): Operation => ({
      name,
      after,
      work,
      flushes,
    });
    if (dice < 5) {
      after.set(key, value);
      return changed("set", () => this.chest.set(key, value));
    }
    if (dice < 7) {
      const had = after.delete(key);
      return changed("delete", () => this.chest.delete(key), always && had);
    }
    if (dice < 9) {
      const steps = Array.from(
        { length: random(8) },
        () => [`key${random(40)}`, random(2) ? someValue() : undefined] as const,
      );
      for (const [each, to] of steps) to === undefined ? after.delete(each) : after.set(each, to);
      return changed("batch", () =>
        this.chest.batch((batch) => {
          for (const [each, to] of steps) to === undefined ? batch.delete(each) : batch.set(each, to);
        }),
      );
    }
    if (dice < 11) return changed("flush", () => this.chest.flush(), true);
    if (dice === 11) return changed("compact", () => (isFolder ? this.chest.flush() : this.chest.compact()), true);
    if (dice === 12) return changed("shrink", () => this.chest.shrink(0), false);
    if (dice === 13)
      return changed("get", () => assert.ok(isDeepStrictEqual(this.chest.get(key), model.get(key))), false);
    if (dice === 14) {
      after.set(key, value);
      return changed("mutate", () => this.chest.mutate(key, () => value));
    }
    if (dice === 15)
      return changed(
        "reopen",
        () => {
          this.chest.close();
          this.chest = new Chest<string, unknown>(options);
        },
        true,
      );
    return changed(
      "lease",
      () => {
        const lease = this.chest.lease(key);
        assert.ok(isDeepStrictEqual(lease?.value, model.get(key)));
        lease?.release();
        return this.chest.settled();
      },
      false,
    );
  }

  /** Gives the chest up, and opens what is there. */
  crash(): void {
    try {
      this.chest.abandon();
    } catch (error) {
      assert.ok(error instanceof OutcoreError, String(error));
    }
    this.chest = new Chest<string, unknown>(this.options);
    assert.deepEqual(this.chest.damage, []);
    const found = this.allowed.findLast((each) => has(this.chest, each));
    assert.ok(found !== undefined, `what is there is none of ${this.allowed.length} states`);
    this.model = new Map(found);
    this.allowed = [new Map(found)];
  }
}

async function run(start: number): Promise<Record<string, number>> {
  state = Math.imul(start, 0x9e3779b1) | 1;
  const hits: Record<string, number> = {};
  const program = new Program(path.join(tempMemoryFolder(), "chest"));
  for (let n = 0; n < 120; n++) {
    const { name, after, work, flushes } = program.next();
    const before = program.model;
    if (n > 5 && random(2) === 0)
      fault = { left: random(random(4) ? 6 : 40), errno: random(2) ? EIO : ENOSPC, lasts: random(3) === 0, hit: [] };
    let error: unknown;
    try {
      await work();
    } catch (cause) {
      error = cause;
    }
    const { hit } = fault;
    fault = none();
    const told = `program ${start}, ${name} ${n}, ${hit}: ${error}`;
    program.reader?.add(after);
    if (error !== undefined) program.reader?.add(before);
    if (random(3) === 0) program.reader?.look(told);
    for (const each of hit) hits[`${name} ${each}`] = (hits[`${name} ${each}`] ?? 0) + 1;
    if (error === undefined) {
      program.model = after;
      program.allowed.push(after);
      if (flushes) program.allowed = [after];
      if (hit.length > 0) assert.ok(has(program.chest, after), told);
      continue;
    }
    assert.ok(hit.length > 0 && error instanceof OutcoreError, told);
    program.allowed.push(before, after);
    let isDead = false;
    try {
      /* All of it or nothing, and that is told by whoever is asked. */
      if (has(program.chest, after)) program.model = after;
      else assert.ok(has(program.chest, before), told);
    } catch (cause) {
      assert.ok(cause instanceof OutcoreError, `${told}, then ${cause}`);
      isDead = true;
    }
    if (isDead || random(5) === 0) {
      program.crash();
      program.reader?.add(program.model);
    }
  }
  program.reader?.close();
  program.chest.close();
  program.chest = new Chest<string, unknown>(program.options);
  assert.ok(has(program.chest, program.model), `program ${start}`);
  assert.deepEqual(program.chest.damage, []);
  program.chest.close();
  return hits;
}

describe("a chest whose system calls fail", () => {
  cleanTempAfterEach();
  afterEach(uninstall);

  it(`at any place, once or from then on: typed errors, and each change is there or not (seed ${seed})`, async () => {
    const hits: Record<string, number> = {};
    install();
    for (let i = 0; i < PROGRAMS; i++)
      for (const [name, count] of Object.entries(await run(seed * 10_000 + i))) hits[name] = (hits[name] ?? 0) + count;
    console.log(`failed: ${JSON.stringify(hits)}`);
    assert.ok(Object.keys(hits).length > 20);
  }, 900_000);

  it("a batch is applied or not, whichever call within it fails", () => {
    install();
    for (let nth = 0; ; nth++) {
      const folder = path.join(tempMemoryFolder(), "chest");
      const open = (): Chest<string, Uint8Array> =>
        new Chest<string, Uint8Array>({ path: folder, budget: 0, segmentSize: 2 ** 20, durability: "none" });
      const bytes = (n: number): Uint8Array => new Uint8Array(40_000).fill(n);
      let chest = open();
      for (let i = 0; i < 60; i++) chest.set(`key${i}`, bytes(i));
      chest.set("timed", bytes(1), { timeToLive: 60_000 });
      chest.close();
      chest = open();
      const before = Array.from({ length: 60 }, (_, i) => [`key${i}`, bytes(i)] as const);
      /* Nothing of it is mapped or open yet. */
      fault = { left: nth, errno: EIO, lasts: nth % 2 === 0, hit: [] };
      let error: unknown;
      try {
        chest.batch((batch) => {
          for (let i = 0; i < 60; i += 2) batch.delete(`key${i}`).set(`key${i + 1}`, bytes(100 + i));
          batch.set("key2", bytes(7)).delete("key2").set("key4", bytes(8)).delete("timed").delete("none");
        });
      } catch (cause) {
        error = cause;
      }
      const { hit } = fault;
      fault = none();
      const odd = Array.from({ length: 30 }, (_, i) => [`key${2 * i + 1}`, bytes(100 + 2 * i)] as const);
      const check = (where: Chest<string, Uint8Array>): boolean => {
        const isBefore = where.has("key0");
        const expected = isBefore ? [...before, ["timed", bytes(1)]] : [...odd, ["key4", bytes(8)]];
        assert.deepEqual([...where], expected, `${nth}, ${hit}: ${error}`);
        assert.equal(where.size, expected.length);
        return isBefore;
      };
      const isBefore = check(chest);
      if (error === undefined) assert.ok(!isBefore);
      else assert.ok(error instanceof OutcoreError, String(error));
      chest.flush();
      chest.abandon();
      const again = open();
      assert.equal(check(again), isBefore);
      again.close();
      fs.rmSync(path.dirname(folder), { recursive: true });
      if (hit.length === 0) {
        assert.ok(nth > 5);
        break;
      }
    }
  }, 300_000);

  it("without a descriptor to sync the folder with a flush fails, and the next one does not", () => {
    const folder = path.join(tempMemoryFolder(), "chest");
    const chest = new Chest<string, number>({ path: folder, durability: "flush" });
    chest.set("a", 1);
    const { openSync } = fs;
    functions.openSync = (...args) => {
      if (args[0] === folder) throw Object.assign(new Error("EMFILE: openSync"), { code: "EMFILE" });
      return (openSync as AnyFunction)(...args);
    };
    try {
      assert.throws(() => chest.flush(), LimitError);
    } finally {
      functions.openSync = openSync as AnyFunction;
    }
    chest.set("b", 2).flush();
    chest.abandon();
    using again = new Chest<string, number>({ path: folder });
    assert.deepEqual([...again], Object.entries({ a: 1, b: 2 }));
  });
});
