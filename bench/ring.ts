import path from "node:path";
import process from "node:process";
import { findRuntime } from "../scripts/runtimes.ts";
import { monotonic } from "../src/memory/words.ts";
import { createRing, openRing, type RingServer } from "../src/ring/main.ts";
import type { Area, Case, Context, Figures, Target } from "./area.ts";
import { flagsFor } from "./flags.ts";
import { Peer } from "./peer.ts";
import { median, timed } from "./rounds.ts";

const SIZES = { "64B": 64, "4KiB": 4096, "64KiB": 65536, "1MiB": 2 ** 20, "6.2MB": 6_220_800 } as const;
type SizeName = keyof typeof SIZES;
/** How much of ZeroMQ's cost a native frame may have. */
const SHARE_OF_ZEROMQ: Partial<Record<SizeName, number>> = {
  "4KiB": 1 / 15,
  "64KiB": 1 / 4,
  "1MiB": 1 / 2.5,
  "6.2MB": 1 / 2.5,
};

let serial = 0;

function freshName(): string {
  return `outcore-bench-${process.pid}-${serial++}`;
}

function runtimeKind(): "bun" | "deno" | "node" {
  const versions = process.versions as Record<string, string | undefined>;
  return versions.bun ? "bun" : versions.deno ? "deno" : "node";
}

/** The targets are for Bun and Deno; Node may take half more. */
const allowance = runtimeKind() === "node" ? 1.5 : 1;

/** The same runtime once more, as a reader that has joined. */
async function reader(mode: string, ring: string): Promise<Peer> {
  const script = path.join(import.meta.dirname, "ring", "reader.ts");
  const peer = new Peer(process.execPath, [...flagsFor(runtimeKind()), script, mode, ring]);
  await peer.ask();
  return peer;
}

interface Costs {
  readonly median: number;
  readonly p99: number;
}

type Participant = () => Promise<Costs>;

const costsOf = ([middle = Number.NaN, tail = Number.NaN]: number[]): Costs => ({ median: middle, p99: tail });

/** Ours, one way and in lockstep: from before the payload is written until the reader has used what it verified. */
async function lockstep(
  wire: "native" | "shmx",
  bytes: number,
  count: number,
  use: (ours: Participant) => Promise<void>,
) {
  const name = freshName();
  const server = createRing(name, { schema: { data: { type: "f64", capacity: bytes / 8 } }, wire, slots: 4 });
  const peer = await reader("one-way", name);
  const back = openRing(`${name}-back`);
  const source = new Float64Array(bytes / 8).fill(3);
  const round = async (times: number): Promise<Costs> => {
    const answer = peer.askAll(times);
    /* A pipe is written to when the event loop turns. */
    await new Promise((resolve) => setTimeout(resolve, 5));
    for (let i = 0; i < times; i++) {
      const started = monotonic();
      const loan = server.begin();
      const data = loan.get("data");
      data.set(source);
      data[0] = started;
      loan.publish();
      if (back.nextSync({ spin: 1e6, timeout: 20_000 }) === undefined) throw new Error(`no answer: ${back.absence}`);
    }
    return costsOf(await answer);
  };
  try {
    /* Compilers need some hundred thousand rounds until they are done with small frames. */
    await round(bytes <= 4096 ? 150_000 : count);
    await use(() => round(count));
  } finally {
    back.close();
    server.close();
    await peer.end();
  }
}

const ROUNDS = 5;

/** All of them in turns, so that what disturbs the machine disturbs all alike; the median of each one's rounds. */
async function interleaved(participants: Record<string, Participant>, rounds: number): Promise<Record<string, Costs>> {
  const all = Object.entries(participants).map(([name, run]) => ({ name, run, costs: [] as Costs[] }));
  for (let round = 0; round < rounds; round++)
    for (const each of round % 2 === 0 ? all : [...all].reverse()) each.costs.push(await each.run());
  return Object.fromEntries(
    all.map(({ name, costs }) => [
      name,
      { median: median(costs.map((each) => each.median)), p99: median(costs.map((each) => each.p99)) },
    ]),
  );
}

/** Frames of a round: about 50 ms of our own. */
function repetitions(bytes: number, quick: boolean): number {
  const count = bytes <= 4096 ? 20_000 : bytes <= 65536 ? 3000 : bytes <= 2 ** 20 ? 300 : 60;
  return quick ? Math.ceil(count / 3) : count;
}

function figuresOf(costs: Record<string, Costs>): Figures {
  const { ours = { median: Number.NaN, p99: Number.NaN }, ...peers } = costs;
  const pick = (key: keyof Costs) => Object.fromEntries(Object.entries(peers).map(([name, each]) => [name, each[key]]));
  return { ours: ours.median, peers: pick("median"), p99: { ours: ours.p99, peers: pick("p99") } };
}

async function measure(context: Context, wire: "native" | "shmx", bytes: number): Promise<Figures> {
  const count = repetitions(bytes, context.quick);
  const few = Math.max(20, Math.ceil(count / (bytes > 65536 ? 5 : 10)));
  const c = new Peer(context.programs["c-ring"] as string, []);
  const zeromq = context.programs["c-zeromq"] === undefined ? undefined : new Peer(context.programs["c-zeromq"], []);
  const node = new Peer(findRuntime("node24").command, [path.join(import.meta.dirname, "ring", "child-process.ts")]);
  try {
    let costs: Record<string, Costs> = {};
    await lockstep(wire, bytes, count, async (ours) => {
      const participants: Record<string, Participant> = {
        ours,
        memcpy: async () => costsOf(await c.askAll("memcpy", bytes, count)),
        byteserial: async () => costsOf(await c.askAll("byteserial", bytes, Math.ceil(few / 2))),
        "unix-socket": async () => costsOf(await c.askAll("socket", bytes, few)),
        ...(zeromq && { zeromq: async () => costsOf(await zeromq.askAll(bytes, few)) }),
        child_process: async () => costsOf(await node.askAll(bytes, Math.min(few, 300))),
      };
      costs = await interleaved(participants, context.quick ? 3 : ROUNDS);
    });
    return figuresOf(costs);
  } finally {
    await Promise.all([c.end(), zeromq?.end(), node.end()]);
  }
}

function transfer(wire: "native" | "shmx", size: SizeName): Case {
  const bytes = SIZES[size];
  const share = wire === "native" ? SHARE_OF_ZEROMQ[size] : undefined;
  const target: Target | undefined =
    wire === "shmx" && bytes > 64
      ? { peer: "byteserial", atMost: Number((allowance / 1.5).toFixed(3)) }
      : wire === "native" && size === "64B"
        ? { atMost: 600 * allowance }
        : wire === "native" && size === "6.2MB"
          ? { peer: "memcpy", atMost: Number((1.3 * allowance).toFixed(2)) }
          : undefined;
  return {
    name: `${wire}-${size}`,
    unit: "ns",
    ...(target && { target }),
    ...(share && { more: [{ peer: "zeromq", atMost: Number((share * allowance).toFixed(4)) }] }),
    run: (context) => measure(context, wire, bytes),
  };
}

const small = { data: { type: "f64", capacity: 8 } } as const;

const publish: Case = {
  name: "publish-64B",
  unit: "ns",
  target: { atMost: 500 * allowance },
  async run(context) {
    const server = createRing(freshName(), { schema: small });
    const source = new Float64Array(8).fill(1);
    const count = context.quick ? 100_000 : 400_000;
    const round = () =>
      timed(count, () => {
        for (let i = 0; i < count; i++) {
          const loan = server.begin();
          loan.get("data").set(source);
          loan.publish();
        }
      });
    round();
    const rounds = Array.from({ length: ROUNDS }, round);
    server.close();
    return { ours: median(rounds), peers: {} };
  },
};

/** Blocks the thread until a time of the monotonic clock, in ns. */
const cell = new Int32Array(new SharedArrayBuffer(4));
function sleepUntil(due: number): void {
  const left = due - monotonic();
  if (left > 50_000) Atomics.wait(cell, 0, 0, left / 1e6);
}

function stamped(server: RingServer<typeof small>): void {
  const loan = server.begin();
  loan.get("data")[0] = monotonic();
  loan.publish();
}

/** From the publication to the reader's event loop, after it has been idle for some milliseconds. */
const wake: Case = {
  name: "wake",
  unit: "us",
  target: { atMost: 25 * allowance },
  async run(context) {
    const name = freshName();
    const server = createRing(name, { schema: small, slots: 64 });
    const peer = await reader("wake", name);
    const count = context.quick ? 200 : 600;
    try {
      const round = async (times: number): Promise<Costs> => {
        const answer = peer.askAll(times);
        await new Promise((resolve) => setTimeout(resolve, 50));
        for (let i = 0; i < times; i++) {
          sleepUntil(monotonic() + 4e6);
          stamped(server);
        }
        return costsOf((await answer).map((each) => each / 1000));
      };
      await round(100);
      return figuresOf(await interleaved({ ours: () => round(count) }, 3));
    } finally {
      server.close();
      await peer.end();
    }
  },
};

/** Processor time of a reader that waits for what does not come. */
const idle: Case = {
  name: "idle",
  unit: "us",
  target: { atMost: 10_000 * allowance },
  async run(context) {
    const name = freshName();
    const server = createRing(name, { schema: small });
    const peer = await reader("idle", name);
    try {
      return { ours: await peer.ask(context.quick ? 2000 : 5000), peers: {} };
    } finally {
      server.close();
      await peer.end();
    }
  },
};

interface Crowd {
  readonly costs: Costs;
  readonly published: number;
  readonly drops: number;
}

/** Publishes at a steady rate to readers in processes of their own; each frame must arrive or be counted as dropped. */
async function crowd<S extends "data">(
  readers: number,
  capacity: number,
  slots: number,
  period: number,
  milliseconds: number,
  write: (data: Float64Array) => void,
): Promise<Crowd> {
  const name = freshName();
  const server = createRing(name, { schema: { data: { type: "f64", capacity } }, slots });
  const peers = await Promise.all(Array.from({ length: readers }, () => reader("queue", name)));
  const once = async (length: number): Promise<{ answers: number[][]; published: number }> => {
    const answers = peers.map((peer) => peer.askAll(length + 600_000));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const before = server.published;
    const frames = Math.floor(length / period);
    for (let i = 0, due = monotonic(); i < frames; i++, due += period * 1e6) {
      sleepUntil(due);
      const loan = server.begin();
      const data = loan.get("data" as S) as unknown as Float64Array;
      const started = monotonic();
      write(data);
      data[0] = started;
      loan.publish();
    }
    return { answers: await Promise.all(answers), published: server.published - before };
  };
  try {
    await once(300);
    const { answers, published } = await once(milliseconds);
    for (const [, , frames = 0, drops = 0] of answers)
      if (frames + drops !== published) throw new Error(`${published} published, ${frames} taken, ${drops} dropped`);
    const column = (at: number): number[] => answers.map((each) => each[at] ?? Number.NaN);
    return {
      costs: { median: median(column(0)), p99: median(column(1)) },
      published,
      drops: column(3).reduce((sum, each) => sum + each, 0),
    };
  } finally {
    server.close();
    await Promise.all(peers.map((peer) => peer.end()));
  }
}

const readers16: Case = {
  name: "readers-16",
  unit: "us",
  target: { atMost: 300 * allowance },
  async run(context) {
    const { costs, drops, published } = await crowd(16, 8, 64, 1, context.quick ? 1500 : 4000, (data) => data.fill(1));
    if (drops > 0) console.error(`readers-16: ${drops} of ${16 * published} frames dropped, and counted`);
    return { ours: costs.median / 1000, peers: {}, p99: { ours: costs.p99 / 1000, peers: {} } };
  },
};

/** Frames that any of four readers missed. */
const fps60: Case = {
  name: "fps60",
  unit: "count",
  target: { atMost: 0 },
  async run(context) {
    const source = new Float64Array(SIZES["6.2MB"] / 8).fill(2);
    const milliseconds = context.quick ? 2000 : 6000;
    const result = await crowd(4, source.length, 8, 1000 / 60, milliseconds, (data) => data.set(source));
    const { median: middle, p99 } = result.costs;
    console.error(
      `fps60: ${result.published} frames, median ${(middle / 1e6).toFixed(2)} ms, p99 ${(p99 / 1e6).toFixed(2)} ms`,
    );
    return { ours: result.drops, peers: {} };
  },
};

const sizes = Object.keys(SIZES) as SizeName[];

export const area: Area = {
  programs: ["c-ring"],
  optional: { "c-zeromq": ["-lzmq"] },
  prepare: async () => ({}),
  cases: [
    ...sizes.map((size) => transfer("native", size)),
    ...sizes.map((size) => transfer("shmx", size)),
    publish,
    wake,
    idle,
    readers16,
    fps60,
  ],
};
