import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fs from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { Chest } from "../../src/chest/main.ts";
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

  it("the examples run", async () => {
    const memoize = await run(path.join(root, "examples", "chest-memoize.ts"), [], {});
    assert.equal(memoize.stdout, "30 answers, 10 worked out\n", memoize.stderr);
    const vectors = await run(path.join(root, "examples", "chest-vectors.ts"), ["300"], {});
    assert.equal(vectors.stdout, "nearest to 0.5 is vector 150 of 300\n", vectors.stderr);
  }, 60_000);
});
