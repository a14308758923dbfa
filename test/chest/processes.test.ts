import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, it } from "vitest";
import { Chest, ClosedError, type Key, LockedError } from "../../src/chest/main.ts";
import { finish, fixture, line, start } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const place = (): string => path.join(tempFolder(), "chest");

const ROUNDS = process.env.OUTCORE_LONG ? 600 : 60;

/** Runs a command in a user namespace with a small tmpfs at a folder; undefined where the system forbids it. */
const canMount = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]).status === 0;

describe("chest between processes", () => {
  cleanTempAfterEach();

  it("readers see what is flushed, without opening again, also while it is compacted", async () => {
    const folder = place();
    const writer = new Chest<string, unknown>({ path: folder, segmentSize: 2 ** 20, durability: "none" });
    writer.set("a", 1).flush();
    const reader = new Chest<string, unknown>({ path: folder, readOnly: true });
    assert.equal(reader.get("a"), 1);
    writer.set("a", 2).set("b", new Uint8Array(50_000).fill(7));
    assert.equal(reader.get("a"), 1);
    assert.equal(reader.has("b"), false);
    writer.flush();
    assert.equal(reader.get("a"), 2);
    assert.deepEqual(reader.get("b"), new Uint8Array(50_000).fill(7));
    assert.equal(reader.size, 2);
    for (let round = 0; round < 60; round++) {
      writer.set("b", new Uint8Array(50_000).fill(round)).set(`c${round}`, round);
      writer.flush();
      if (round % 10 === 0) await writer.compact();
      assert.deepEqual(reader.get("b"), new Uint8Array(50_000).fill(round));
      assert.equal(reader.size, 3 + round);
    }
    assert.equal([...reader.keys()].length, reader.size);
    assert.throws(() => reader.set("a", 1), { code: "READ_ONLY" });
    reader.close();
    writer.close();
  });

  it("a reader is told of a head that was cut, again and again, and the next writer has all", () => {
    const folder = place();
    const writer = new Chest<string, number>({ path: folder });
    writer.set("a", 1).flush();
    const reader = new Chest<string, number>({ path: folder, readOnly: true });
    assert.equal(reader.get("a"), 1);
    fs.truncateSync(path.join(folder, "chest.head"), 0);
    for (let i = 0; i < 2; i++) assert.throws(() => reader.get("a"), { code: "TRUNCATED" });
    reader.close();
    assert.throws(() => writer.close(), { code: "TRUNCATED" });
    const again = new Chest<string, number>({ path: folder });
    assert.equal(again.get("a"), 1);
    again.close();
  });

  it("readers in other processes see whole values and no older ones while it is compacted all the time", async () => {
    const folder = place();
    const keys = 60;
    const writer = new Chest<number, Uint32Array>({ path: folder, segmentSize: 2 ** 20, durability: "none" });
    const put = (key: number, round: number): unknown =>
      writer.set(key, new Uint32Array(key % 3 ? 10 : 9000).fill(round));
    for (let key = 0; key < keys; key++) put(key, 1);
    writer.flush();
    const children = [1, 2].map(() => start(fixture("chest-reader.ts"), [folder, String(keys)]));
    const ends = children.map((child) => finish(child, 120_000));
    await Promise.race([Promise.all(children.map((child) => line(child, "reading"))), ...ends]);
    for (let round = 2; round < ROUNDS + 2; round++) {
      for (let key = 0; key < keys; key++) if ((key + round) % 4 !== 0) put(key, round);
      writer.flush();
      if (round % 2 === 0) await writer.compact();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const child of children) child.stdin?.end();
    for (const { code, stderr, stdout } of await Promise.all(ends)) {
      assert.equal(code, 0, stderr);
      assert.match(stdout, /[1-9]\d* reads/);
    }
    writer.close();
  }, 300_000);

  it("a writer waits for another one, and a dead one's lock is gone", async () => {
    const folder = place();
    const steps = path.join(path.dirname(folder), "steps");
    const child = start(fixture("chest-writer.ts"), [folder, "none", steps]);
    await line(child, "flushed 1");
    const error = await Chest.open({ path: folder }, 20).catch((reason: unknown) => reason);
    assert.ok(error instanceof LockedError);
    assert.match(error.holder ?? "", new RegExp(String(child.pid)));
    const ended = finish(child);
    const waiting = Chest.open({ path: folder }, 20_000);
    child.kill("SIGKILL");
    await ended;
    (await waiting).close();
  });

  it("a snapshot and a backup stay as they were while the chest goes on", async () => {
    const folder = place();
    const chest = new Chest<string, unknown>({ path: folder, segmentSize: 2 ** 20, durability: "none" });
    for (let i = 0; i < 100; i++) chest.set(`k${i}`, new Uint8Array(20_000 + i * 300).fill(i));
    chest.flush();
    const snapshot = chest.snapshot();
    const backup = path.join(path.dirname(folder), "backup");
    const saved = chest.backup(backup);
    for (let i = 0; i < 100; i++) chest.set(`k${i}`, i);
    chest.flush();
    await chest.compact();
    await saved;
    const check = (get: (key: string) => unknown): void => {
      for (let i = 0; i < 100; i++) assert.deepEqual(get(`k${i}`), new Uint8Array(20_000 + i * 300).fill(i));
    };
    check((key) => snapshot.get(key));
    assert.equal(snapshot.size, 100);
    assert.equal([...snapshot].length, 100);
    snapshot.close();
    assert.throws(() => snapshot.get("k1"), ClosedError);
    for (let i = 0; i < 100; i++) assert.equal(chest.get(`k${i}`), i);
    chest.close();
    const copy = new Chest<string, unknown>({ path: backup });
    check((key) => copy.get(key));
    copy.close();
  });

  it.skipIf(!canMount)("a full disk: the call throws, nothing is lost, and with room again it goes on", async () => {
    const folder = place();
    fs.mkdirSync(folder, { recursive: true });
    const child = start(fixture("chest-full.ts"), [folder]);
    child.stdin?.end();
    const { stdout, stderr, code } = await finish(child, 60_000);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /all is there/);
  });
});

describe("chest and bad input", () => {
  cleanTempAfterEach();

  it("keys of wrong types, values over the budget, use after close", () => {
    const chest = new Chest<Key, unknown>({ budget: 10_000 });
    for (const bad of [{}, () => 1, Symbol("s"), new Map(), [{}]] as unknown as Key[]) {
      assert.throws(() => chest.set(bad, 1), { code: "INVALID_ARGUMENT" });
      assert.throws(() => chest.get(bad), { code: "INVALID_ARGUMENT" });
      assert.throws(() => chest.delete(bad), { code: "INVALID_ARGUMENT" });
    }
    const large = new Float64Array(100_000).fill(3);
    chest.set("large", large);
    assert.deepEqual(chest.get("large"), large);
    assert.ok(chest.memoryUsage <= 10_000);
    const lease = chest.lease("large");
    const view = lease?.value as Float64Array;
    assert.equal(view[99_999], 3);
    view[0] = 99;
    lease?.release();
    assert.deepEqual(chest.get("large"), large);
    const held = chest.lease("large")?.value as Float64Array;
    chest.close();
    assert.equal(held.length, 0);
    chest.close();
    assert.throws(() => chest.get("large"), ClosedError);
    assert.throws(() => chest.set("a", 1), ClosedError);
    assert.throws(() => [...chest.keys()], ClosedError);
  });

  it("a folder that is missing, not writable, or deleted while open", () => {
    assert.throws(() => new Chest({ path: place(), readOnly: true }), { code: "NOT_FOUND" });
    const file = path.join(tempFolder(), "file");
    fs.writeFileSync(file, "");
    assert.throws(() => new Chest({ path: path.join(file, "chest") }));
    const folder = place();
    const chest = new Chest<string, number>({ path: folder, durability: "none" });
    chest.set("a", 1).flush();
    fs.rmSync(folder, { recursive: true });
    assert.equal(chest.get("a"), 1);
    chest.set("b", 2);
    chest.flush();
    chest.abandon();
    assert.ok(!fs.existsSync(folder));
  });

  it("time to live, tags, memoize with a stampede guard, batch that fails", async () => {
    const folder = place();
    const chest = new Chest<string, unknown>({ path: folder });
    chest.set("short", 1, { timeToLive: 5 }).set("long", 2, { timeToLive: 60_000, tags: ["a", "b"] });
    chest.set("tagged", 3, { tags: ["b"] }).set("plain", 4);
    await new Promise((resolve) => setTimeout(resolve, 15));
    assert.equal(chest.get("short"), undefined);
    chest.shrink(0);
    assert.equal(chest.get("long"), 2);
    assert.equal(chest.deleteTagged("b"), 2);
    assert.deepEqual([...chest.keys()], ["plain"]);
    let calls = 0;
    const make = async (): Promise<number> => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return ++calls;
    };
    const made = await Promise.all(Array.from({ length: 10 }, () => chest.memoize("made", make)));
    assert.deepEqual([calls, ...new Set(made)], [1, 1]);
    assert.throws(() => chest.batch((batch) => batch.set("x", 1).set("y", () => 1)), { code: "CODEC" });
    assert.equal(chest.has("x"), false);
    chest.close();
  });

  it("asynchronous spill holds back through settled", async () => {
    const chest = new Chest<number, Uint8Array>({ budget: 100_000, spill: "async" });
    for (let i = 0; i < 100; i++) {
      chest.set(i, new Uint8Array(10_000).fill(i));
      assert.ok(chest.memoryUsage < 250_000);
      if (i % 5 === 0) await chest.settled();
    }
    await chest.settled();
    assert.ok(chest.memoryUsage <= 100_000);
    for (let i = 0; i < 100; i++) assert.equal(chest.get(i)?.[0], i);
    chest.close();
  });

  it("settled does not wait for what cannot leave: pinned, or not to be encoded", async () => {
    for (const bad of [() => 1, new Uint8Array(20_000)]) {
      const chest = new Chest<string, unknown>({ budget: 5000, spill: "async" });
      chest.set("stays", bad);
      if (typeof bad !== "function") chest.pin("stays");
      else for (let i = 0; i < 20; i++) chest.set(`bad${i}`, { text: "x".repeat(500), bad });
      for (let i = 0; i < 5; i++) chest.set(`k${i}`, new Uint8Array(1000));
      await chest.settled();
      assert.ok(chest.isResident("stays"));
      chest.abandon();
    }
  });

  it("pinned values stay, and a disk limit is kept", () => {
    const chest = new Chest<string, Uint8Array>({ budget: 5000 });
    chest.set("a", new Uint8Array(3000));
    assert.ok(chest.pin("a"));
    for (let i = 0; i < 10; i++) chest.set(`k${i}`, new Uint8Array(3000));
    assert.ok(chest.isResident("a"));
    chest.unpin("a");
    assert.equal(chest.pin("none"), false);
    chest.close();
    const options = { path: place(), diskLimit: 2 ** 20, segmentSize: 2 ** 20 };
    const limited = new Chest<number, Uint8Array>({ ...options, whenFull: "evict" });
    for (let i = 0; i < 40; i++) limited.set(i, new Uint8Array(60_000).fill(i));
    limited.flush();
    assert.ok(limited.diskUsage <= 2 ** 20 && limited.size > 0 && !limited.has(0));
    limited.close();
  });
});
