import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { npyHeader } from "../../cli/npy.ts";
import { openStore } from "../../src/array/main.ts";
import { type RunResult, root, run } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

cleanTempAfterEach();

const cli = (...args: string[]): Promise<RunResult> =>
  run(path.join(root, "cli", "main.ts"), ["array", ...args], { env: { NO_COLOR: "1" }, timeout: 60_000 });

describe("outcore array", () => {
  it("exports and imports .npy and raw, and tells what is there", async () => {
    const folder = tempFolder();
    const [store, npy, raw] = ["store", "a.npy", "a.raw"].map((name) => path.join(folder, name)) as [
      string,
      string,
      string,
    ];
    const made = openStore(store);
    await made.transact(() => {
      made
        .create("a", { dtype: "i16", shape: [3, 4], order: "F" })
        .typed()
        .set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    });
    made.close();
    for (const args of [
      ["export", store, "a", npy],
      ["export", store, "a", raw],
      ["import", store, "b", npy],
      ["import", store, "c", raw, "--dtype", "i16"],
      ["check", store],
      ["checkpoint", store],
      ["info", store],
    ]) {
      const { code, stdout, stderr } = await cli(...args);
      assert.equal(code, 0, `${args[0]}: ${stdout}${stderr}`);
      if (args[0] === "info") assert.match(stdout, /b +i16 +\[3, 4\] +F/);
    }
    assert.deepEqual([fs.statSync(npy).size, fs.statSync(raw).size], [128 + 24, 24]);
    const again = openStore(store);
    assert.deepEqual(again.array("b").view().toNested(), again.array("a").view().toNested());
    assert.deepEqual([...again.array("c", "i16").typed()], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    again.close();
  });

  it("exports an array as it was at a named snapshot", async () => {
    const folder = tempFolder();
    const [store, then, now] = ["store", "then.raw", "now.raw"].map((name) => path.join(folder, name)) as [
      string,
      string,
      string,
    ];
    const made = openStore(store);
    await made.transact(() => made.create("a", { dtype: "u8", shape: 3 }).fill(1));
    await made.transact(() => made.keepSnapshot("old"));
    await made.transact(() => {
      made.array("a").resize(4);
      made.array("a").fill(2);
    });
    made.close();
    assert.equal((await cli("export", store, "a", then, "--at", "old")).code, 0);
    assert.equal((await cli("export", store, "a", now)).code, 0);
    assert.deepEqual(
      [[...fs.readFileSync(then)], [...fs.readFileSync(now)]],
      [
        [1, 1, 1],
        [2, 2, 2, 2],
      ],
    );
    const none = await cli("export", store, "a", path.join(folder, "none"), "--at", "never");
    assert.equal(none.code, 1);
    assert.match(none.stdout, /snapshot "never".*NOT_FOUND/);
    assert.equal(fs.existsSync(path.join(folder, "none")), false);
  });

  it("imports what it exported, byte for byte, in any type and order, and empty arrays too", async () => {
    const folder = tempFolder();
    const store = path.join(folder, "store");
    const made = openStore(store);
    const types = ["i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "f32", "f64", "bool"] as const;
    await made.transact(() => {
      for (const dtype of types) {
        const array = made.create(dtype, { dtype, shape: [3, 5, 7], order: dtype.length % 2 === 0 ? "C" : "F" });
        const bytes = array.typed();
        new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength).forEach((_, i, all) => {
          all[i] = i % 2;
        });
      }
      made.create("empty", { dtype: "f64", shape: [0, 3] });
    });
    made.close();
    for (const name of [types[2], types[9], "empty"]) {
      const [one, two] = ["one", "two"].map((part) => path.join(folder, `${name}-${part}.npy`)) as [string, string];
      for (const args of [
        ["export", store, name, one],
        ["import", store, `${name}-again`, one],
        ["export", store, `${name}-again`, two],
      ]) {
        const { code, stdout, stderr } = await cli(...args);
        assert.equal(code, 0, stdout + stderr);
      }
      assert.deepEqual(fs.readFileSync(one), fs.readFileSync(two));
      assert.equal(fs.readFileSync(one).toString("latin1", 1, 6), "NUMPY");
    }
  });

  it("check verifies every checksum, names array and page, and fails", async () => {
    const store = path.join(tempFolder(), "store");
    const made = openStore(store);
    await made.transact(() => made.create("prices", { dtype: "f64", shape: 5000 }).fill(1));
    for (let i = 0; i < 3; i++) await made.transact(() => made.array("prices").set([3 * 512], i + 2));
    made.engine[Symbol.dispose]();
    const log = path.join(store, "log.1");
    const bytes = fs.readFileSync(log);
    const last = bytes.lastIndexOf("OCPLREC1");
    const record = bytes.subarray(0, last).lastIndexOf("OCPLREC1");
    bytes[record + 4096 + 10] = 99;
    fs.writeFileSync(log, bytes);
    const { code, stdout, stderr } = await cli("check", store);
    assert.equal(code, 1, stderr);
    assert.match(stdout, /page 3 of array "prices"/);
    assert.equal(stdout.trim().split("\n").length, 1);
  });

  it("check says what it looked at, and names a page of a home file that does not hold", async () => {
    const store = path.join(tempFolder(), "store");
    const made = openStore(store);
    await made.transact(() => made.create("prices", { dtype: "f64", shape: 5000 }).fill(1));
    made.close();
    const { code, stdout, stderr } = await cli("check", store);
    assert.equal(code, 0, stderr);
    assert.equal(stdout.trim(), "every checksum of superblock, log and home files holds; 1 array");
    const home = path.join(store, "a1.dat");
    const bytes = fs.readFileSync(home);
    bytes[2 * 4096 + 10] = 99;
    fs.writeFileSync(home, bytes);
    const damaged = await cli("check", store);
    assert.equal(damaged.code, 1, damaged.stderr);
    assert.match(damaged.stdout, /page 2 of array "prices".*\n1 error\n$/);
  });

  it("leaves nothing out, overwrites nothing, and says in one line what is wrong", async () => {
    const folder = tempFolder();
    const [store, raw, npy] = ["store", "a.raw", "bad.npy"].map((name) => path.join(folder, name)) as [
      string,
      string,
      string,
    ];
    openStore(store).close();
    fs.writeFileSync(raw, new Uint8Array(18));
    fs.writeFileSync(npy, "no numpy");
    const good = path.join(folder, "good.npy");
    fs.writeFileSync(good, npyHeader("u8", [0], "C"));
    const torn = path.join(folder, "torn.npy");
    fs.writeFileSync(
      torn,
      Buffer.from(npyHeader("u8", [0], "C"))
        .toString("latin1")
        .replace("(0,)", "(x,)"),
      "latin1",
    );
    const cases: [string[], RegExp][] = [
      [["import", store, "a", raw, "--dtype", "f64"], /INVALID_ARGUMENT/],
      [["import", store, "a", raw, "--dtype", "u8", "--shape", "3,5"], /18 bytes.*takes 15/],
      [["import", store, "a", raw, "--dtype", "u9"], /INVALID_ARGUMENT/],
      [["import", store, "a", raw, "--dtype", "f64"], /18 bytes are no whole number of f64/],
      [["import", store, "a", raw, "--dtype", "u8", "--shape", "3,x"], /--shape is lengths.*not 3,x/],
      [["import", store, "a", raw, "--dtype", "u8", "--shape", "3,,6"], /--shape is lengths/],
      [["import", store, "a", raw, "--dtype", "u8", "--shape=-3,-6"], /--shape is lengths/],
      [["import", store, "a", good, "--dtype", "foo"], /leave --dtype out/],
      [["import", store, "a", good, "--shape", "0"], /leave --shape out/],
      [["import", store, "a", good, "--order", "C"], /leave --order out/],
      [["import", store, "a", torn], /\(x,\) is no shape/],
      [["import", store, "a", raw], /needs --dtype/],
      [["import", store, "a", npy], /not a \.npy/],
      [["import", store, "a", path.join(folder, "none")], /NOT_FOUND/],
      [["export", store, "a", path.join(folder, "out")], /NOT_FOUND/],
    ];
    for (const [args, message] of cases) {
      const { code, stdout, stderr } = await cli(...args);
      assert.equal(code, 1, stdout + stderr);
      assert.match(stdout, message);
      assert.equal(stdout.trim().split("\n").length, 1, stdout);
    }
    assert.equal(fs.existsSync(path.join(folder, "out")), false);
    assert.equal((await cli("import", store, "a", raw, "--dtype", "u16", "--shape", "3,3", "--order", "F")).code, 0);
    const again = await cli("import", store, "a", raw, "--dtype", "u16");
    assert.match(again.stdout, /NAME_IN_USE/);
    assert.match((await cli("export", store, "a", raw)).stdout, /NAME_IN_USE/);
    assert.equal(fs.statSync(raw).size, 18);
  });

  it("says in one line what is wrong", async () => {
    const { code, stdout } = await cli("info", path.join(tempFolder(), "none"));
    assert.equal(code, 1);
    assert.match(stdout, /^outcore: .*does not exist \(NOT_FOUND\)\n$/);
  });
});

describe("the tour's chapter on arrays", () => {
  it("counts, takes back, is killed, and proves it, in 80 columns", async () => {
    const folder = tempFolder();
    fs.writeFileSync(path.join(folder, "text"), "abababab".repeat(5000));
    fs.writeFileSync(path.join(folder, "one"), "x");
    const { code, stdout, stderr } = await run(
      path.join(root, "cli", "main.ts"),
      ["tour", folder, "--chapter", "arrays"],
      {
        env: { NO_COLOR: "1" },
        timeout: 120_000,
      },
    );
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /most frequent +a b, 20000 times/);
    assert.match(stdout, /processes killed in a commit +8/);
    assert.match(stdout, /After every kill there were whole transactions only/);
    assert.deepEqual(
      stdout.split("\n").filter((line) => line.length > 80 && !line.startsWith("/")),
      [],
    );
  }, 120_000);
});
