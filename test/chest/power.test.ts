import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "vitest";
import { shortChecksum } from "../../src/chest/bytes.ts";
import { RecordFields } from "../../src/chest/log/record.ts";
import { Chest } from "../../src/chest/main.ts";
import { hookSteps, type Step, unhookSteps } from "../support/chest-steps.ts";
import { count } from "../support/counts.ts";
import { cleanTempAfterEach, tempMemoryFolder } from "../support/temp.ts";

const seed = Number(process.env.OUTCORE_SEED ?? 1);
/* A tenth would take minutes of six runtimes. */
const CRASHES = count({ long: 2000, usual: 10, brief: 4 });
const SECTOR = 512;

type Recorded = Pick<Step, "kind" | "file" | "offset" | "size"> & { readonly bytes: Uint8Array };

/** What the mapped files held at a moment: any mixture of such pages may be on the disk. */
interface Moment {
  readonly at: number;
  readonly files: Map<string, Uint8Array>;
}

/** Everything that was written to the log, in order, and what the chest should hold after each flush. */
class Recording {
  readonly steps: Recorded[] = [];
  readonly moments: Moment[] = [];
  /** Number of steps when a flush began, when it had ended, and the contents from then on. */
  readonly flushes: { began: number; ended: number; model: Map<string, number> }[] = [
    { began: 0, ended: 0, model: new Map() },
  ];
  readonly folder: string;
  isClosing = false;

  constructor(folder: string) {
    this.folder = folder;
  }

  snap(): void {
    const files = new Map<string, Uint8Array>();
    for (const name of fs.readdirSync(this.folder))
      if (!name.endsWith(".log") && name !== "chest.lock")
        files.set(name, new Uint8Array(fs.readFileSync(path.join(this.folder, name))));
    this.moments.push({ at: this.steps.length, files });
  }
}

const { intact, isExtent } = RecordFields.prototype;

/** How a chest may be wrong about the disk. */
type Mutant = "none" | "never waits" | "folder never synced" | "closed before synced" | "removes before synced";

/** Puts the recording layer under the chest. What a mutant does not wait for is left out, or comes too late. */
function record(recording: Recording, mutant: Mutant): void {
  const { steps } = recording;
  const kinds: readonly string[] = ["write", "truncate", "sync", "remove", "sync folder"];
  hookSteps(recording.folder, ({ kind, file, offset, size, bytes }) => {
    if (!kinds.includes(kind)) return;
    const step: Recorded = { kind, file, offset, size, bytes: bytes?.slice() ?? new Uint8Array(0) };
    if (mutant === "never waits" && kind === "sync") return;
    if (mutant === "folder never synced" && kind === "sync folder") return;
    if (mutant === "closed before synced" && recording.isClosing && kind === "sync") return;
    let at = steps.length;
    if (mutant === "removes before synced" && kind === "remove")
      while (at > 0 && (steps[at - 1]!.kind === "sync" || steps[at - 1]!.kind === "sync folder")) at--;
    steps.splice(at, 0, step);
  });
}

function restore(): void {
  unhookSteps();
  Object.assign(RecordFields.prototype, { intact, isExtent });
}

let state = seed | 1;
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

/** Sets, deletes, flushes and compacts, with values small and in extents, spills, and closing now and then. */
async function work(recording: Recording, durability: "flush" | "always"): Promise<void> {
  const model = new Map<string, number>();
  const options = { path: recording.folder, budget: 100_000, segmentSize: 2 ** 20, durability } as const;
  let chest = new Chest<string, Float64Array>(options);
  const flushed = (began: number): void => {
    recording.flushes.push({ began, ended: recording.steps.length, model: new Map(model) });
    recording.snap();
  };
  for (let n = 1; n <= 120; n++) {
    const key = `key${random(25)}`;
    const began = recording.steps.length;
    if (random(5) === 0) {
      chest.delete(key);
      model.delete(key);
    } else {
      chest.set(key, new Float64Array(random(3) === 0 ? 12_000 : 3).fill(n));
      model.set(key, n);
    }
    if (durability === "always") flushed(began);
    if (random(8) === 0) {
      const start = recording.steps.length;
      chest.flush();
      flushed(start);
    }
    if (random(12) === 0) {
      const start = recording.steps.length;
      await chest.compact();
      flushed(start);
    }
    if (random(30) === 0) {
      const start = recording.steps.length;
      recording.isClosing = true;
      chest.close();
      recording.isClosing = false;
      flushed(start);
      chest = new Chest(options);
      recording.snap();
    }
  }
  chest.abandon();
}

/** Says that another run of the system wrote the head: memory did not survive. */
function ofAnotherBoot(head: Uint8Array): Uint8Array {
  const bytes = head.slice();
  const view = new DataView(bytes.buffer);
  bytes.fill(120, 128, 164);
  const checked = bytes.slice(0, 168);
  checked.fill(0, 12, 16);
  view.setUint32(168, shortChecksum(checked, 0, 168), true);
  return bytes;
}

/** One state that the disk may be in after the power failed when `at` steps were done. */
function crash(recording: Recording, at: number, target: string): void {
  fs.mkdirSync(target, { recursive: true });
  const files = new Map<string, Uint8Array>();
  const resize = (file: string, size: number): Uint8Array => {
    const old = files.get(file) ?? new Uint8Array(0);
    const bytes = new Uint8Array(size);
    bytes.set(old.subarray(0, size));
    files.set(file, bytes);
    return bytes;
  };
  const lastSync = new Map<string, number>();
  let folderSync = -1;
  const created = new Map<string, number>();
  for (const [i, step] of recording.steps.slice(0, at).entries()) {
    if (step.kind === "sync") lastSync.set(step.file, i);
    else if (step.kind === "sync folder") folderSync = i;
    else if (step.kind === "write" && !created.has(step.file)) created.set(step.file, i);
  }
  for (const [i, step] of recording.steps.slice(0, at).entries()) {
    const synced = i < (lastSync.get(step.file) ?? -1);
    if (step.kind === "truncate") {
      if (synced || random(2) === 0) resize(step.file, step.size);
    } else if (step.kind === "remove") {
      /* Names come and go with the folder. */
      if (i < folderSync || random(2) === 0) {
        files.delete(step.file);
        created.delete(step.file);
      }
    } else if (step.kind === "write") {
      const size = Math.max(files.get(step.file)?.length ?? 0, step.offset + step.bytes.length);
      /* Sector by sector: the disk writes each whole or not, in any order. */
      const style = synced ? 0 : random(3);
      if (style === 2) continue;
      const bytes = resize(step.file, size);
      for (let from = 0; from < step.bytes.length; ) {
        const length = Math.min(SECTOR - ((step.offset + from) % SECTOR), step.bytes.length - from);
        if (style === 0 || random(2) === 0) bytes.set(step.bytes.subarray(from, from + length), step.offset + from);
        from += length;
      }
    }
  }
  for (const [name, bytes] of files)
    if ((created.get(name) ?? at) < folderSync || random(2) === 0) fs.writeFileSync(path.join(target, name), bytes);
  const past = recording.moments.filter((moment) => moment.at <= at);
  const moment = past.at(-1 - random(Math.min(past.length, 2)));
  const other = past.at(-1 - random(Math.min(past.length, 2)));
  for (const [name, bytes] of moment?.files ?? []) {
    const mixed = bytes.slice();
    const second = other?.files.get(name);
    if (name.endsWith(".index") && second?.length === mixed.length)
      for (let page = 0; page < mixed.length; page += 4096)
        if (random(2) === 0) mixed.set(second.subarray(page, page + 4096), page);
    /* The head is written to the disk before the log goes on behind a clean close, and when it is closed. */
    const now = past.at(-1)?.files.get(name);
    const head = name === "chest.head" ? ofAnotherBoot(now ?? mixed) : mixed;
    fs.writeFileSync(path.join(target, name), head);
  }
}

/** What is wrong with the state after a crash; undefined when nothing is. */
function verify(recording: Recording, at: number, folder: string): string | undefined {
  let last = 0;
  for (const [i, { ended }] of recording.flushes.entries()) if (ended <= at) last = i;
  const allowed = recording.flushes.filter(({ began }, i) => i >= last && began < at).concat(recording.flushes[last]!);
  let found: Map<string, number>;
  try {
    const chest = new Chest<string, Float64Array>({ path: folder });
    found = new Map([...chest].map(([key, value]) => [key, value.every((each) => each === value[0]) ? value[0]! : -1]));
    const { damage } = chest;
    chest.abandon();
    if (damage.length > 0) return `damage is reported: ${JSON.stringify(damage[0])}`;
  } catch (error) {
    return last === 0 && !(error instanceof TypeError) ? undefined : `it does not open: ${error}`;
  }
  const same = allowed.some(
    ({ model }) => model.size === found.size && [...model].every(([key, n]) => found.get(key) === n),
  );
  return same ? undefined : `${found.size} keys are those of no flush from ${last} on`;
}

async function explore(durability: "flush" | "always", crashes: number, mutant: Mutant = "none"): Promise<string[]> {
  const home = tempMemoryFolder();
  const folder = path.join(home, "chest");
  const recording = new Recording(folder);
  record(recording, mutant);
  await work(recording, durability);
  unhookSteps();
  const violations: string[] = [];
  for (let i = 0; i < crashes; i++) {
    const at = random(recording.steps.length + 1);
    const target = path.join(home, "crash");
    crash(recording, at, target);
    const wrong = verify(recording, at, target);
    if (wrong !== undefined) violations.push(`after ${at} of ${recording.steps.length} steps: ${wrong}`);
    fs.rmSync(target, { recursive: true, force: true });
  }
  fs.rmSync(home, { recursive: true, force: true });
  return violations;
}

/** Whether a mutant shows within some hundred states; the same ones in every run. */
async function isCaught(mutant: Mutant): Promise<boolean> {
  state = 1;
  for (let attempt = 0; attempt < 20; attempt++) if ((await explore("flush", 40, mutant)).length > 0) return true;
  return false;
}

describe("a chest whose machine loses power", () => {
  cleanTempAfterEach();
  afterEach(restore);

  for (const durability of ["flush", "always"] as const)
    it(`${durability}: no state that the disk may be in is wrong (seed ${seed})`, async () => {
      for (let done = 0; done < CRASHES; done += 100)
        assert.deepEqual(await explore(durability, Math.min(100, CRASHES - done)), []);
    }, 900_000);

  for (const mutant of ["never waits", "folder never synced", "closed before synced", "removes before synced"] as const)
    it(`the mutant is caught: ${mutant}`, async () => {
      assert.ok(await isCaught(mutant));
    }, 900_000);

  it("the mutant without checksums is caught", async () => {
    Object.assign(RecordFields.prototype, { intact: () => true, isExtent: () => true });
    assert.ok(await isCaught("none"));
  }, 900_000);
});
