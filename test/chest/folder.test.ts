import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import { Chest, type ChestOptions, folderTier, OutcoreError } from "../../src/chest/main.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const place = (): string => path.join(tempFolder(), "chest");
const INDEX = "chest.folder.json";

type Any = Chest<string, unknown>;
const open = (folder: string, options: ChestOptions<string, unknown> = {}): Any =>
  new Chest<string, unknown>({ path: folder, tier: folderTier({ sync: false }), ...options });

const FUNCTIONS = ["openSync", "writeSync", "renameSync", "rmSync", "mkdirSync"] as const;
const functions = Object.fromEntries(FUNCTIONS.map((name) => [name, fs[name]]));

/** The process dies at call number `nth` that changes the folder; returns what says whether it did. */
function dieAt(nth: number): () => boolean {
  let left = nth;
  for (const name of FUNCTIONS)
    (fs as unknown as Record<string, unknown>)[name] = (...args: unknown[]) => {
      /* And at every one after it. */
      if (left-- <= 0) throw Object.assign(new Error("EIO: dead"), { code: "EIO" });
      return (functions[name] as (...all: unknown[]) => unknown)(...args);
    };
  return () => left < 0;
}

describe("one value a file", () => {
  cleanTempAfterEach();
  afterEach(() => {
    Object.assign(fs, functions);
  });

  it("a commit that is cut off anywhere is there as a whole or not at all, for readers and the next writer", () => {
    const before: [string, unknown][] = [
      ["a", new Uint8Array([1, 2, 3, 4])],
      ["b", { text: "one" }],
      ["c", 1],
    ];
    const after: [string, unknown][] = [
      /* The same bytes as another type: only what the index says of them tells. */
      ["a", new Int8Array([1, 2, 3, 4])],
      ["b", { text: "two" }],
      ["d", 2],
    ];
    const outcomes = new Set<string>();
    for (let nth = 0; ; nth++) {
      const folder = place();
      const chest = open(folder);
      for (const [key, value] of before) chest.set(key, value);
      chest.flush();
      const reader = open(folder, { readOnly: true });
      assert.deepEqual([...reader], before);
      chest.batch((batch) => {
        for (const [key, value] of after) batch.set(key, value);
        batch.delete("c");
      });
      const isDead = dieAt(nth);
      let error: unknown;
      try {
        chest.flush();
      } catch (cause) {
        error = cause;
      }
      const wasCut = isDead();
      try {
        chest.abandon();
      } catch {
        /* It has no way to tidy up. */
      }
      Object.assign(fs, functions);
      fs.rmSync(path.join(folder, "chest.lock"), { force: true });
      const found = [...reader];
      const outcome = found.length === 3 && found[0]?.[1] instanceof Int8Array ? "after" : "before";
      outcomes.add(outcome);
      const expected = outcome === "after" ? after : before;
      assert.deepEqual(found, expected, `${nth}`);
      reader.close();
      const late = open(folder, { readOnly: true });
      assert.deepEqual([...late], expected, `${nth}`);
      late.close();
      const next = open(folder);
      assert.deepEqual([...next], expected, `${nth}`);
      next.set("a", 9).flush();
      assert.equal(next.get("a"), 9);
      next.close();
      const staged = fs.readdirSync(folder).filter((name) => name.includes("staged") || name.endsWith(".new"));
      assert.deepEqual(staged, []);
      if (!wasCut) {
        assert.equal(error, undefined);
        break;
      }
      assert.ok(error instanceof OutcoreError, String(error));
    }
    assert.deepEqual([...outcomes].sort(), ["after", "before"]);
  });

  it("a reader that looks in the middle of a commit sees all of it or nothing", () => {
    const folder = place();
    const chest = open(folder);
    const put = (n: number): void => {
      /* The same bytes in turns as another type. */
      const Type = n % 2 ? Uint8Array : Int8Array;
      chest.batch((batch) => {
        for (let i = 0; i < 5; i++) batch.set(`key${i}`, new Type([1, 2, 3]));
        batch.set("n", n);
      });
    };
    put(0);
    chest.flush();
    const reader = open(folder, { readOnly: true, budget: 0 });
    let looks = 0;
    let isInside = false;
    const look = (): void => {
      if (isInside) return;
      isInside = true;
      const Type = (reader.get("n") as number) % 2 ? Uint8Array : Int8Array;
      for (let i = 0; i < 5; i++) assert.ok(reader.get(`key${i}`) instanceof Type);
      looks++;
      isInside = false;
    };
    const rename = fs.renameSync;
    fs.renameSync = ((from: string, to: string) => {
      look();
      rename(from, to);
      look();
    }) as typeof fs.renameSync;
    for (let n = 1; n < 4; n++) {
      put(n);
      chest.flush();
      assert.equal(reader.get("n"), n);
    }
    assert.ok(looks >= 3 * 2 * 7);
    reader.close();
    chest.close();
  });

  it("an index of any other shape is refused, and nothing is changed", () => {
    const value = (...fields: unknown[]): string => JSON.stringify({ version: 1, next: 9, values: [fields] });
    const key = btoa("\x09a");
    const hostile = [
      "",
      "null",
      "[]",
      "{}",
      '{"version":1}',
      '{"version":1,"next":-1,"values":[]}',
      '{"version":1,"next":1e400,"values":[]}',
      '{"version":1,"next":1,"values":{}}',
      '{"version":1,"next":1,"values":[null]}',
      '{"version":2,"next":1,"values":[]}',
      value(),
      value("***", "a", 1, 0, 0, []),
      value(btoa("\x63"), "a", 1, 0, 0, []),
      value(key, "../a", 1, 0, 0, []),
      value(key, "/etc/passwd", 1, 0, 0, []),
      value(key, 5, 1, 0, 0, []),
      value(key, "a", 0.5, 0, 0, []),
      value(key, "a", 1, 256, 0, []),
      value(key, "a", 1, 0, "x", []),
      value(key, "a", 1, 0, 0, [1]),
      value(key, "a", 1, 0, 0, {}),
      value(key, "a", 1, 0, 0, [], "chest.lock"),
      value(key, "a", 1, 0, 0, [], "../chest.staged-1"),
      JSON.stringify({ version: 1, next: 9, values: [0, 1].map((n) => [key, `f${n}`, n, 0, 0, []]) }),
      JSON.stringify({ version: 1, next: 9, values: [0, 1].map((n) => [btoa(`\x09${n}`), "f", n, 0, 0, []]) }),
    ];
    for (const text of hostile) {
      const folder = place();
      fs.mkdirSync(folder);
      fs.writeFileSync(path.join(folder, INDEX), text);
      for (const readOnly of [false, true]) assert.throws(() => open(folder, { readOnly }), { code: "FORMAT" }, text);
      assert.equal(fs.readFileSync(path.join(folder, INDEX), "utf8"), text);
    }
  });

  it.skipIf(process.platform === "win32")("links and FIFOs in place of files lead nowhere and hang nothing", () => {
    const home = tempFolder();
    const folder = path.join(home, "chest");
    const secret = path.join(home, "secret");
    fs.mkdirSync(path.join(home, "out"));
    fs.writeFileSync(secret, '"secret"');
    const options = { codec: "json", tier: folderTier({ sync: false, name: (key) => `sub/${key}` }) } as const;
    const names = ["linked", "piped", "folder", "gone", "sound"];
    const first = open(folder, options);
    for (const name of names) first.set(name, name);
    first.close();
    for (const name of names.slice(0, -1)) fs.rmSync(path.join(folder, "sub", name));
    fs.symlinkSync(secret, path.join(folder, "sub", "linked"));
    assert.equal(spawnSync("mkfifo", [path.join(folder, "sub", "piped")]).status, 0);
    fs.mkdirSync(path.join(folder, "sub", "folder"));
    for (const readOnly of [true, false]) {
      const chest = open(folder, { ...options, readOnly });
      for (const name of names.slice(0, -1))
        assert.throws(() => chest.get(name), { code: "DAMAGED", path: path.join(folder, "sub", name) });
      assert.equal(chest.get("sound"), "sound");
      chest.abandon();
    }
    /* A link in the way of what is to be written, too. */
    fs.rmSync(path.join(folder, "sub"), { recursive: true });
    fs.symlinkSync(path.join(home, "out"), path.join(folder, "sub"));
    const chest = open(folder, options);
    chest.set("new", 1);
    assert.throws(() => chest.flush(), OutcoreError);
    assert.deepEqual(fs.readdirSync(path.join(home, "out")), []);
    assert.equal(chest.get("new"), 1);
    chest.abandon();
    const piped = path.join(home, "piped");
    fs.mkdirSync(piped);
    assert.equal(spawnSync("mkfifo", [path.join(piped, INDEX)]).status, 0);
    for (const readOnly of [true, false]) assert.throws(() => open(piped, { readOnly }), OutcoreError);
  });
});
