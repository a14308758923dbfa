import path from "node:path";
import process from "node:process";
import { findRuntime } from "../scripts/runtimes.ts";
import { monotonic } from "../src/memory/words.ts";
import { createRing, openRing, type RingClient } from "../src/ring/main.ts";
import type { Area, Case, Context, Figures } from "./area.ts";
import { flagsFor } from "./flags.ts";
import { Peer } from "./peer.ts";
import { timed } from "./rounds.ts";

const SIZES = { "64B": 64, "4KiB": 4096, "64KiB": 65536, "1MiB": 2 ** 20, "6.2MB": 6_220_800 } as const;
type SizeName = keyof typeof SIZES;

let serial = 0;

function runtimeKind(): "bun" | "deno" | "node" {
  const versions = process.versions as Record<string, string | undefined>;
  return versions.bun ? "bun" : versions.deno ? "deno" : "node";
}

/** The same runtime once more, as the reader. */
function reader(...args: string[]): Peer {
  return new Peer(process.execPath, [
    ...flagsFor(runtimeKind()),
    path.join(import.meta.dirname, "ring", "reader.ts"),
    ...args,
  ]);
}

async function connect(name: string): Promise<RingClient> {
  for (let i = 0; ; i++) {
    try {
      return openRing(name);
    } catch (error) {
      if (i > 2000) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** One way, in lockstep: from before the payload is written until the reader has used what it verified. */
async function oneWay(wire: "native" | "shmx", bytes: number, count: number): Promise<number> {
  const name = `outcore-bench-${process.pid}-${serial++}`;
  const schema = { data: { type: "f64", capacity: bytes / 8 } } as const;
  const server = createRing(name, { schema, wire, slots: 4 });
  const peer = reader("one-way", name, String(count));
  const answer = peer.ask("go");
  const back = await connect(`${name}-back`);
  const source = new Float64Array(bytes / 8).fill(3);
  try {
    for (let i = 0; i < count; i++) {
      const started = monotonic();
      const loan = server.begin();
      const data = loan.get("data");
      data.set(source);
      data[0] = started;
      loan.publish();
      if (back.nextSync({ spin: 1e6, timeout: 10_000 }) === undefined) throw new Error(`no answer: ${back.absence}`);
    }
    return await answer;
  } finally {
    back.close();
    server.close();
    await peer.end();
  }
}

function repetitions(bytes: number, quick: boolean): number {
  /* The small sizes take as many rounds as compilers need to be done. */
  const count = bytes <= 4096 ? 200_000 : bytes <= 65536 ? 5000 : bytes <= 2 ** 20 ? 600 : 150;
  return quick ? Math.ceil(count / 3) : count;
}

async function peersOf(context: Context, bytes: number): Promise<Record<string, number>> {
  const c = new Peer(context.programs["c-ring"] as string, []);
  const count = Math.min(10_000, Math.ceil(repetitions(bytes, context.quick) / (bytes > 65536 ? 5 : 2)));
  const figures: Record<string, number> = {};
  for (const mode of ["memcpy", "byteserial", "socket"])
    figures[mode === "socket" ? "unix-socket" : mode] = await c.ask(
      mode,
      bytes,
      mode === "byteserial" ? Math.ceil(count / 4) : count,
    );
  await c.end();
  const node = new Peer(findRuntime("node24").command, [path.join(import.meta.dirname, "ring", "child-process.ts")]);
  figures.child_process = await node.ask(bytes, Math.ceil(Math.min(count, 600) / (bytes > 65536 ? 4 : 1)));
  await node.end();
  return figures;
}

function transfer(wire: "native" | "shmx", size: SizeName): Case {
  const bytes = SIZES[size];
  return {
    name: `${wire}-${size}`,
    unit: "ns",
    ...(wire === "shmx" && bytes > 64 ? { target: { peer: "byteserial", atMost: 1 / 1.5 } } : {}),
    ...(wire === "native" && size === "64B" ? { target: { atMost: runtimeKind() === "node" ? 900 : 600 } } : {}),
    ...(wire === "native" && size === "6.2MB" ? { target: { peer: "memcpy", atMost: 1.3 } } : {}),
    async run(context): Promise<Figures> {
      const peers = await peersOf(context, bytes);
      return { ours: await oneWay(wire, bytes, repetitions(bytes, context.quick)), peers };
    },
  };
}

const publish: Case = {
  name: "publish-64B",
  unit: "ns",
  target: { atMost: 500 },
  async run(context) {
    const schema = { data: { type: "f64", capacity: 8 } } as const;
    const server = createRing(`outcore-bench-${process.pid}-${serial++}`, { schema });
    const source = new Float64Array(8).fill(1);
    const work = () => {
      const loan = server.begin();
      loan.get("data").set(source);
      loan.publish();
    };
    const count = context.quick ? 100_000 : 400_000;
    const round = () =>
      timed(count, () => {
        for (let i = 0; i < count; i++) work();
      });
    round();
    const ours = Math.min(round(), round(), round());
    server.close();
    return { ours, peers: {} };
  },
};

/** From the publication to the reader's event loop, after it has been idle for some milliseconds. */
const wake: Case = {
  name: "wake",
  unit: "us",
  target: { atMost: 25 },
  async run(context) {
    const name = `outcore-bench-${process.pid}-${serial++}`;
    const schema = { data: { type: "f64", capacity: 8 } } as const;
    const server = createRing(name, { schema });
    const count = context.quick ? 150 : 500;
    const peer = reader("wake", name, String(count));
    const answer = peer.ask("go");
    while (server.readers().length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    for (let i = 0; i < count; i++) {
      await new Promise((resolve) => setTimeout(resolve, 4));
      const loan = server.begin();
      loan.get("data")[0] = monotonic();
      loan.publish();
    }
    const ours = (await answer) / 1000;
    server.close();
    await peer.end();
    return { ours, peers: {} };
  },
};

const sizes = Object.keys(SIZES) as SizeName[];

export const area: Area = {
  programs: ["c-ring"],
  prepare: async () => ({}),
  cases: [
    ...sizes.map((size) => transfer("native", size)),
    ...sizes.map((size) => transfer("shmx", size)),
    publish,
    wake,
  ],
};
