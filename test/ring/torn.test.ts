/**
 * Frames whose every word tells which frame they are of, from writers that never pause: what a reader accepts is whole.
 * With OUTCORE_LONG a million accepted frames of 4 KiB from each writer and number of slots; else 20,000, which makes a
 * tenth of a million together.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { Mapping } from "../../src/memory/main.ts";
import { createRing, openRing } from "../../src/ring/main.ts";
import { F, H } from "../../src/ring/native-layout.ts";
import { openWith } from "../../src/ring/ring.ts";
import { count } from "../support/counts.ts";
import {
  cleanRingsAfterAll,
  exists,
  freshName,
  here,
  long,
  type Peer,
  peer,
  plant,
  program,
  start,
  unplant,
} from "./helpers.ts";

cleanRingsAfterAll();

const schema = { number: { type: "u32" }, words: { type: "u32", capacity: 1024 } } as const;
const wanted = count({ long: 1_000_000, usual: 20_000, brief: 4000 });
const patience = count({ long: 1_200_000, usual: 4000, brief: 1500 });

interface Writer {
  readonly name: string;
  readonly title: string;
  start(name: string, slots: number): Promise<Peer>;
}

/** A segment as SHMX would have created it: ours, without our marks. */
function foreignSegment(slots: number): Uint8Array {
  const name = freshName("model");
  const server = createRing(name, { schema, wire: "shmx", slots, frameBytes: 8192 });
  const bytes = new Uint8Array(readFileSync(`/dev/shm/${name}`));
  server.close();
  for (const at of [20, 100, 124]) bytes.fill(0, at, at + 4);
  return bytes;
}

let built: string | undefined;

const writers: Writer[] = [
  ...(["native", "shmx"] as const).map((wire) => ({
    name: wire,
    title: `a server of wire ${wire}`,
    start: async (name: string, slots: number) => peer(here(), "flood", name, wire, String(slots)),
  })),
  {
    name: "c",
    title: "a C writer that follows the SHMX protocol to the letter",
    start: async (name, slots) => {
      built ??= program("shmx-writer");
      plant(name, foreignSegment(slots));
      return start([built, `/dev/shm/${name}`]);
    },
  },
];

async function withWriter(writer: Writer, slots: number, use: (name: string) => void): Promise<void> {
  const name = freshName("torn");
  const running = await writer.start(name, slots);
  try {
    assert.equal(await running.line(), "ready");
    use(name);
  } finally {
    running.kill();
    await running.exit;
    unplant(name);
  }
  assert.equal(exists(name), false);
}

const copy = new Uint32Array(1024);

function isTorn(words: Uint32Array, frame: number): boolean {
  const first = Math.imul(frame, 0x9e3779b1);
  for (let i = 0; i < words.length; i++) if (words[i] !== (first ^ Math.imul(i, 0x85ebca6b)) >>> 0) return true;
  return false;
}

/** Takes frames until enough were accepted, or until one is torn when the checks are off. */
function read(name: string, unchecked: boolean): { accepted: number; refused: number; torn: number } {
  const options = { schema, delivery: "latest", history: 0, observe: unchecked, keepAlive: false, unchecked } as const;
  const client = unchecked ? openWith<typeof schema>(name, options) : openRing(name, { schema });
  const until = performance.now() + (unchecked ? 60_000 : patience);
  const result = { accepted: 0, refused: 0, torn: 0 };
  while (result.accepted < (unchecked ? Number.POSITIVE_INFINITY : wanted) && performance.now() < until) {
    const frame = client.take();
    if (frame === undefined || (unchecked && !(frame.has("number") && frame.has("words")))) {
      assert.ok(unchecked || ["overwritten", "seen", "none"].includes(client.absence), client.absence);
      if (client.absence === "overwritten") result.refused++;
      continue;
    }
    const words = frame.get("words");
    if (words.length !== copy.length && unchecked) continue;
    assert.equal(words.length, copy.length);
    const id = frame.get("number")[0] as number;
    copy.set(words);
    if (!unchecked && !frame.valid) {
      result.refused++;
      continue;
    }
    result.accepted++;
    if (isTorn(copy, id)) result.torn++;
    if (unchecked && result.torn > 0) break;
  }
  client.close();
  return result;
}

describe("torn frames (weakness 2)", () => {
  for (const writer of writers) {
    for (const slots of [2, 4])
      it(`are never accepted from ${writer.title}, with ${slots} slots and no pause`, async () => {
        await withWriter(writer, slots, (name) => {
          const { accepted, refused, torn } = read(name, false);
          const rate = ((100 * accepted) / (accepted + refused)).toFixed(1);
          console.log(`${writer.name}, ${slots} slots: ${accepted} accepted (${rate} % of tries), ${torn} torn`);
          assert.equal(torn, 0);
          /* A loaded machine may not get through them all in time; a reader that gets nothing at all is starved. */
          assert.ok(accepted > 0);
          if (long) assert.equal(accepted, wanted);
        });
      });

    it(`are found from ${writer.title} without our checks`, async () => {
      await withWriter(writer, 2, (name) => {
        const { accepted, torn } = read(name, true);
        console.log(`${writer.name}, unchecked: the first torn frame is number ${accepted}`);
        assert.equal(torn, 1);
      });
    });
  }

  it("starve a reader of wire shmx for a bounded number of tries, and it is told why", () => {
    const name = freshName("starved");
    const server = createRing(name, { schema, wire: "shmx", slots: 1 });
    const client = openRing(name, { schema });
    server.publish({ number: [1] });
    /* The only slot is being written, and stays so. */
    server.begin();
    assert.equal(client.take(), undefined);
    assert.equal(client.absence, "overwritten");
    assert.equal(client.nextSync({ timeout: 20 }), undefined);
    assert.equal(client.absence, "overwritten");
    client.close();
    server.close();
  });

  it("starve a reader of wire native for a bounded number of tries, and it is told why", () => {
    const name = freshName("starved");
    const server = createRing(name, { schema, slots: 2 });
    const client = openRing(name, { schema });
    server.publish({ number: [1] });
    /* A writer that would be there again each time that the reader comes. */
    const mapping = Mapping.object(name, { access: "write" });
    const slotsAt = Number(mapping.view("u64", H.slotsAt, 1)[0]);
    mapping.view("u64", slotsAt + F.state, 1)[0] = 5n;
    assert.equal(client.take(), undefined);
    assert.equal(client.absence, "overwritten");
    assert.equal(client.nextSync({ timeout: 20 }), undefined);
    assert.equal(client.absence, "overwritten");
    mapping.close();
    client.close();
    server.close();
  });
});
