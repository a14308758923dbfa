/**
 * The reader of the ring bench: reader.ts MODE RING. Each line that it is told is a number; it takes that many frames and
 * answers the median and the 99th percentile in ns from their first number, a time, until they were read.
 *
 *   one-way   answers each frame through the ring RING-back, both sides spin
 *   wake      waits with the event loop free
 *   queue     takes each in turn for as many milliseconds; further answers: frames taken, frames dropped
 *   idle      waits for as many milliseconds for what does not come; answers microseconds of processor per second
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { monotonic } from "../../src/memory/words.ts";
import { createRing, openRing, type RingClient } from "../../src/ring/main.ts";
import { median, percentile } from "../rounds.ts";

const [mode = "", name = ""] = process.argv.slice(2);
const delivery = mode === "queue" || mode === "wake" ? "queue" : "latest";
const client = openRing(name, { keepAlive: true, delivery }) as RingClient<{ data: { type: "f64" } }>;
const back = mode === "one-way" ? createRing(`${name}-back`, { schema: { data: { type: "f64" } } }) : undefined;
let sum = 0;

/** Reads the first, middle and last number; returns the first. */
function use(data: Float64Array): number {
  const sent = data[0] as number;
  sum += sent + (data[data.length >> 1] as number) + (data[data.length - 1] as number);
  return sent;
}

function spin(count: number): number[] {
  const costs: number[] = [];
  for (let i = 0; i < count; i++) {
    const frame = client.nextSync({ spin: 1e6, timeout: 20_000 });
    if (frame === undefined) throw new Error(`no frame: ${client.absence}`);
    const sent = use(frame.get("data"));
    costs.push(monotonic() - sent);
    back?.begin().publish();
  }
  return [median(costs), percentile(costs, 0.99)];
}

async function wait(count: number): Promise<number[]> {
  const costs: number[] = [];
  const dropped = client.drops;
  while (costs.length + client.drops - dropped < count) {
    const frame = await client.next({ timeout: 20_000 });
    if (frame === undefined) throw new Error(`no frame: ${client.absence}`);
    const now = monotonic();
    costs.push(now - use(frame.get("data")));
  }
  return [median(costs), percentile(costs, 0.99)];
}

async function queue(milliseconds: number): Promise<number[]> {
  const costs: number[] = [];
  const dropped = client.drops;
  for (const until = performance.now() + milliseconds; performance.now() < until; ) {
    const frame = await client.next({ timeout: 500 });
    if (frame === undefined) break;
    const now = monotonic();
    costs.push(now - use(frame.get("data")));
  }
  return [median(costs), percentile(costs, 0.99), costs.length, client.drops - dropped];
}

async function idle(milliseconds: number): Promise<number[]> {
  await client.next({ timeout: 500 });
  const before = process.cpuUsage();
  const started = performance.now();
  await client.next({ timeout: milliseconds });
  const { user, system } = process.cpuUsage(before);
  return [((user + system) * 1000) / (performance.now() - started)];
}

const modes: Record<string, (number: number) => number[] | Promise<number[]>> = {
  "one-way": spin,
  wake: wait,
  queue,
  idle,
};

process.stdout.write("0\n");
for await (const line of createInterface({ input: process.stdin })) {
  /* The first is empty: it asks whether this reader has joined. */
  if (line === "") continue;
  try {
    const answer = (await modes[mode]?.(Number(line))) ?? [];
    if (Number.isNaN(sum)) throw new Error("not a number");
    process.stdout.write(`${answer.join(" ")}\n`);
  } catch (error) {
    process.stdout.write(`${(error as Error).stack?.split("\n").join(" ")}\n`);
  }
}
back?.close();
client.close();
process.exit(0);
