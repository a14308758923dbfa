import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { Chest, folderTier } from "../../src/chest/main.ts";
import { type RunResult, root, run } from "../support/run.ts";
import { cleanTempAfterEach, tempFolder } from "../support/temp.ts";

const cli = (...args: string[]): Promise<RunResult> =>
  run(path.join(root, "cli", "main.ts"), ["chest", ...args], { env: { NO_COLOR: "1" }, timeout: 60_000 });

function make(): string {
  const folder = path.join(tempFolder(), "chest");
  const chest = new Chest<string | number, unknown>({ path: folder });
  for (let i = 0; i < 50; i++) chest.set(i % 2 ? i : `key${i}`, i % 10 === 0 ? new Float64Array(5000).fill(i) : { i });
  chest.close();
  return folder;
}

describe("outcore chest", () => {
  cleanTempAfterEach();

  it("info, compact, export and import", async () => {
    const folder = make();
    const info = await cli("info", folder);
    assert.equal(info.code, 0, info.stderr);
    assert.match(info.stdout, /keys +50/);
    assert.equal((await cli("compact", folder)).code, 0);
    const file = path.join(path.dirname(folder), "export");
    assert.equal((await cli("export", folder, file)).code, 0);
    const copy = path.join(path.dirname(folder), "copy");
    const imported = await cli("import", copy, file);
    assert.match(imported.stdout, /50 pairs/);
    const a = new Chest({ path: folder });
    const b = new Chest({ path: copy });
    assert.deepEqual([...b], [...a]);
    a.close();
    b.close();
    fs.writeFileSync(file, "../../etc/passwd what");
    assert.equal((await cli("import", copy, file)).code, 1);
  }, 60_000);

  it("check names damaged values and salvages the rest", async () => {
    const folder = make();
    assert.equal((await cli("check", folder)).code, 0);
    const log = path.join(folder, "00000001.log");
    const bytes = fs.readFileSync(log);
    bytes[4096 + 100]! ^= 1;
    fs.writeFileSync(log, bytes);
    const saved = path.join(path.dirname(folder), "saved");
    const { code, stdout } = await cli("check", folder, "--salvage", saved);
    assert.equal(code, 1);
    assert.match(stdout, /00000001\.log is damaged at \d+/);
    assert.match(stdout, /49 values are intact, 1 places are damaged/);
    const chest = new Chest({ path: saved });
    assert.equal(chest.size, 49);
    chest.close();
  }, 60_000);

  it("time to live and tags go through export, import and salvage; what has expired is left out", async () => {
    const home = tempFolder();
    const folder = path.join(home, "chest");
    const later = Date.now() + 3_600_000;
    const chest = new Chest<string, unknown>({ path: folder });
    chest.set("plain", 1).set("tagged", new Float64Array(9000), { tags: ["a b", "\u00e9"] });
    chest.set("both", { x: 1 }, { expires: later, tags: ["a"] }).set("timed", 2, { expires: later });
    chest.set("over", 3, { expires: 1 }).set("ever", 4, { timeToLive: Number.POSITIVE_INFINITY, tags: ["e"] });
    assert.deepEqual(chest.about("both"), { expires: later, tags: ["a"] });
    assert.equal(chest.about("over"), undefined);
    assert.throws(() => chest.set("bad", 1, { expires: Number.NaN }), { code: "INVALID_ARGUMENT" });
    chest.flush();
    chest.shrink(0);
    const expected = {
      plain: { expires: 0, tags: [] },
      tagged: { expires: 0, tags: ["a b", "\u00e9"] },
      both: { expires: later, tags: ["a"] },
      timed: { expires: later, tags: [] },
      ever: { expires: Number.POSITIVE_INFINITY, tags: ["e"] },
    };
    const abouts = (from: Chest<string, unknown>): object => {
      const found = Object.fromEntries([...from.keys()].map((key) => [key, from.about(key)]));
      from.close();
      return found;
    };
    assert.deepEqual(abouts(chest), expected);
    assert.deepEqual(abouts(new Chest<string, unknown>({ path: folder, readOnly: true })), expected);
    const file = path.join(home, "export");
    assert.equal((await cli("export", folder, file)).code, 0);
    const lines = fs.readFileSync(file, "utf8").trimEnd().split("\n");
    assert.deepEqual([lines[0], lines.length, lines.at(-1)], ["outcore chest export 2", 7, "end 5"]);
    assert.equal((await cli("import", path.join(home, "copy"), file)).code, 0);
    assert.deepEqual(abouts(new Chest<string, unknown>({ path: path.join(home, "copy") })), {
      ...expected,
      ever: { expires: 0, tags: ["e"] },
    });
    assert.equal((await cli("check", folder, "--salvage", path.join(home, "saved"))).code, 0);
    assert.deepEqual(abouts(new Chest<string, unknown>({ path: path.join(home, "saved") })), expected);

    const base64 = (text: string): string => Buffer.from(text).toString("base64");
    const pair = lines[1]!.split(" ").slice(0, 2).join(" ");
    const imported = async (name: string, ...text: string[]): Promise<object | number | null> => {
      fs.writeFileSync(file, `${text.join("\n")}\n`);
      const target = path.join(home, name);
      const { code, stdout } = await cli("import", target, file);
      if (code !== 0) return code;
      assert.match(stdout, /pairs imported/);
      return abouts(new Chest<string, unknown>({ path: target }));
    };
    assert.deepEqual(await imported("old", "outcore chest export 1", pair, "end 1"), { plain: expected.plain });
    assert.deepEqual(await imported("over", lines[0]!, `${pair} 5 ${base64("[]")}`, "end 1"), {});
    const hostile = [
      `${pair} ${later}`,
      `${pair} -1 ${base64("[]")}`,
      `${pair} 1e999 ${base64("[]")}`,
      `${pair} 0 ${base64("[1]")}`,
      `${pair} 0 ${base64("[[[[")}`,
      `${pair} 0 []`,
      `${pair} 0 ${base64("[]")} 0`,
    ];
    for (const [i, line] of hostile.entries())
      assert.equal(await imported(`hostile${i}`, lines[0]!, line, "end 1"), 1, line);
    const withAbout = `${pair} 0 ${base64("[]")}`;
    assert.equal(await imported("mixed", "outcore chest export 1", withAbout, "end 1"), 1);
  }, 300_000);

  it("import takes nothing on trust: no path, no length, no half of an export", async () => {
    const folder = make();
    const home = path.dirname(folder);
    const file = path.join(home, "export");
    assert.equal((await cli("export", folder, file)).code, 0);
    const whole = fs.readFileSync(file, "utf8");
    const lines = whole.trimEnd().split("\n");
    assert.equal(lines.at(-1), "end 50");
    const base64 = (...numbers: number[]): string => Buffer.from(numbers).toString("base64");
    const hostile: Record<string, string> = {
      "cut short": lines.slice(0, -1).join("\n"),
      "no base64": [lines[0], "../../etc/passwd x", "end 1"].join("\n"),
      "a key that is none": [lines[0], `${base64(99, 1)} ${base64(1)}`, "end 1"].join("\n"),
      "a value with a length of terabytes": [
        lines[0],
        `${base64(4, 1)} ${base64(13, 255, 255, 255, 255, 255, 7)}`,
        "end 1",
      ].join("\n"),
      "a value nested without end": [lines[0], `${base64(4, 1)} ${Buffer.alloc(30_000, 13).toString("base64")}`].join(
        "\n",
      ),
    };
    const before = fs.readdirSync(home).sort();
    for (const [name, text] of Object.entries(hostile)) {
      const target = path.join(home, "target");
      fs.writeFileSync(path.join(home, "hostile"), text);
      const { code, stdout, stderr } = await cli("import", target, path.join(home, "hostile"));
      assert.equal(code, 1, `${name}: ${stdout}${stderr}`);
      const chest = new Chest({ path: target });
      assert.equal(chest.size, 0, name);
      chest.close();
      fs.rmSync(target, { recursive: true });
      fs.rmSync(path.join(home, "hostile"));
    }
    assert.deepEqual(fs.readdirSync(home).sort(), before);
    /* A name that looks like a path is a key like any other. */
    const evil = new Chest<string, unknown>({ path: path.join(home, "evil") });
    evil.set("../../etc/passwd", { ["__proto__"]: { polluted: 1 } });
    evil.close();
    assert.equal((await cli("export", path.join(home, "evil"), path.join(home, "evil.export"))).code, 0);
    assert.equal((await cli("import", path.join(home, "copy"), path.join(home, "evil.export"))).code, 0);
    const copy = new Chest<string, unknown>({ path: path.join(home, "copy") });
    assert.deepEqual([...copy.keys()], ["../../etc/passwd"]);
    assert.equal((copy.get("../../etc/passwd") as { polluted?: number }).polluted, undefined);
    copy.close();
  }, 300_000);

  it("one value a file, and values of a codec of the program's own, are looked after too", async () => {
    const home = tempFolder();
    const files = path.join(home, "files");
    const first = new Chest<string, unknown>({ path: files, tier: folderTier(), codec: "json" });
    first.set("a", [1]).set("b", "two");
    first.close();
    const info = await cli("info", files);
    assert.match(info.stdout, /keys +2/, info.stderr);
    assert.match((await cli("check", files)).stdout, /2 values are intact, 0 places/);
    assert.equal((await cli("compact", files)).code, 0);
    assert.ok(!fs.existsSync(path.join(files, "chest.head")));
    assert.equal((await cli("export", files, path.join(home, "export"))).code, 0);
    assert.equal((await cli("import", path.join(home, "copy"), path.join(home, "export"))).code, 0);
    const copy = new Chest<string, unknown>({ path: path.join(home, "copy") });
    assert.deepEqual([...copy], [...Object.entries({ a: [1], b: "two" })]);
    copy.close();
    const codec = {
      encode: (value: unknown): Uint8Array => new TextEncoder().encode(String(value)),
      decode: (bytes: Uint8Array): unknown => new TextDecoder().decode(bytes),
    };
    const own = path.join(home, "own");
    const second = new Chest<string, unknown>({ path: own, codec, compression: "gzip" });
    second.set("a", "x".repeat(1000), { tags: ["t"] }).set("b", "y");
    second.close();
    const saved = path.join(home, "saved");
    const check = await cli("check", own, "--salvage", saved);
    assert.match(check.stdout, /2 values are intact, 0 places/, check.stderr);
    const back = new Chest<string, unknown>({ path: saved, codec });
    assert.deepEqual([...back], [...Object.entries({ a: "x".repeat(1000), b: "y" })]);
    assert.deepEqual(back.about("a")?.tags, ["t"]);
    back.close();
    const exported = await cli("export", own);
    assert.equal(exported.code, 1);
    assert.match(exported.stderr, /key "a": the value is of a codec of a program's own/);
  }, 120_000);

  it("what cannot be done is one line, and makes nothing", async () => {
    const folder = make();
    const home = path.dirname(folder);
    const nowhere = path.join(home, "nowhere");
    const file = path.join(home, "file");
    fs.writeFileSync(file, "text");
    const before = fs.readdirSync(home).sort();
    for (const args of [
      ["info", nowhere],
      ["check", nowhere],
      ["check", nowhere, "--salvage", path.join(home, "saved")],
      ["check", folder, "--salvage", folder],
      ["compact", nowhere],
      ["export", nowhere, path.join(home, "export")],
      ["export", folder, file],
      ["import", path.join(home, "target"), nowhere],
      ["info", file],
    ]) {
      const { code, stdout, stderr } = await cli(...args);
      assert.equal(code, 1, args.join(" "));
      assert.match(`${stdout}${stderr}`, /^outcore: [^\n]*\([A-Z_]+\)\n$/, args.join(" "));
    }
    assert.deepEqual(fs.readdirSync(home).sort(), before);
    assert.equal(fs.readFileSync(file, "utf8"), "text");
  }, 120_000);

  it("the examples run", async () => {
    const memoize = await run(path.join(root, "examples", "chest-memoize.ts"), [], {});
    assert.equal(memoize.stdout, "30 answers, 10 worked out\n", memoize.stderr);
    const vectors = await run(path.join(root, "examples", "chest-vectors.ts"), ["300"], {});
    assert.equal(vectors.stdout, "nearest to 0.5 is vector 150 of 300\n", vectors.stderr);
  }, 60_000);
});
