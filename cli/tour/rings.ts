import { spawn } from "node:child_process";
import process from "node:process";
import { NotFoundError, openRing, type RingClient } from "../../src/ring/main.ts";
import { watchRates } from "../ring/rates.ts";
import { bytes, paragraph, say, table } from "../terminal.ts";
import type { Chapter } from "./chapter.ts";
import { itself } from "./itself.ts";
import { videoSchema, watch } from "./ring-video.ts";

const SECONDS = 2;

async function join(name: string): Promise<RingClient<typeof videoSchema>> {
  for (let attempt = 0; ; attempt++) {
    try {
      return openRing(name, { schema: videoSchema, delivery: "queue", keepAlive: true });
    } catch (error) {
      if (!(error instanceof NotFoundError) || attempt > 500) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** Rates while it runs, as `outcore ring hz` shows them. */
async function live(name: string, labels: ReadonlyMap<bigint, string>, signal: AbortSignal): Promise<void> {
  for await (const { rate, frameBytes, readers, ownerState } of watchRates(name, 600, signal)) {
    if (ownerState !== "alive") return;
    const each = readers.map(({ reader, rate: took, lag }) => `${labels.get(reader)} ${took.toFixed(0)} (lag ${lag})`);
    say(`  camera ${rate.toFixed(0)} frames/s, ${bytes(rate * frameBytes)}/s; ${each.join(", ")}`);
  }
}

/** Video from a process of its own to two readers, one of which is slow. */
async function run(): Promise<boolean> {
  const name = `outcore-tour-${process.pid}`;
  const child = spawn(...itself("tour-ring-camera", name, String(SECONDS)), { stdio: "inherit" });
  const ended = new Promise((resolve) => child.once("close", resolve));
  paragraph(
    "A process writes 1080p frames into shared memory, 60 a second; two readers look at each in place. One takes 100 ms a frame.",
  );
  const readers = [
    { label: "fast", ring: await join(name), pause: 0 },
    { label: "slow", ring: await join(name), pause: 100 },
  ];
  const stop = new AbortController();
  const showing = live(name, new Map(readers.map(({ label, ring }) => [ring.reader, label])), stop.signal);
  const seen = await Promise.all(readers.map(({ ring, pause }) => watch(ring, pause)));
  stop.abort();
  await showing;
  for (const { ring } of readers) ring.close();
  await ended;
  table(
    ["reader", "frames/s", "MiB/s", "missed", "torn"],
    seen.map(({ frames, missed, torn, seconds }, i) => [
      readers[i]?.label ?? "",
      (frames / seconds).toFixed(1),
      ((frames * 1920 * 1080 * 3) / seconds / 2 ** 20).toFixed(0),
      String(missed),
      String(torn),
    ]),
  );
  return seen.every(({ frames, torn }) => frames > 0 && torn === 0);
}

export const ringChapter: Chapter = { name: "rings", title: "Rings: video between processes", run };
