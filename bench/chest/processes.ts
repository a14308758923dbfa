import { type ChildProcess, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Chest } from "../../src/chest/main.ts";
import type { Case, Context, Figures } from "../area.ts";
import { runtimeFlags } from "../flags.ts";
import { keyOf } from "./stores.ts";

const WORKER = fileURLToPath(new URL("./worker.ts", import.meta.url));
const MIB = 2 ** 20;
const PAIRS = 100_000;
const READERS = 8;
const CORES: number = os.availableParallelism();

/** Bytes of a process that are resident, as the system counts them. */
function residentOf(pid: number): number {
  try {
    const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return Number(/^Rss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

type Result = Record<string, number>;

/** A process of the runtime that is measured; see worker.ts. */
class Worker {
  #child: ChildProcess;
  #lines: AsyncIterator<string>;
  #ended: Promise<unknown>;

  constructor(role: string, folder: string, count: number) {
    this.#child = spawn(process.execPath, [...runtimeFlags(), WORKER, role, folder, String(count)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#ended = new Promise((resolve) => this.#child.on("exit", resolve));
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async ready(): Promise<void> {
    await this.#lines.next();
  }

  async run(): Promise<Result> {
    this.#child.stdin!.write("go\n");
    const { value } = await this.#lines.next();
    await this.#ended;
    if (value === undefined) throw new Error("a process of the case failed");
    return JSON.parse(value) as Result;
  }

  /** Runs it and looks at its memory meanwhile. */
  async watch(): Promise<Result & { peak: number }> {
    /* A short run may be over before the first look at it. */
    let peak = residentOf(this.#child.pid!);
    const timer = setInterval(() => {
      peak = Math.max(peak, residentOf(this.#child.pid!));
    }, 20);
    try {
      const result = await this.run();
      return { ...result, peak };
    } finally {
      clearInterval(timer);
    }
  }
}

async function watch(role: string, context: Context, count: number): Promise<Result & { peak: number }> {
  const folder = fs.mkdtempSync(path.join(context.folder, "worker-"));
  try {
    const worker = new Worker(role, folder, count);
    await worker.ready();
    return await worker.watch();
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** Most memory while a case runs, beside what 1.3 times the budget and the same values made and thrown away take. */
function resident(name: string, role: string, budget: number, count: (context: Context) => number): Case {
  return {
    name,
    unit: "MiB",
    target: { peer: "1.3 budget + own", atMost: 1 },
    async run(context): Promise<Figures | undefined> {
      if (process.platform !== "linux") return undefined;
      const own = await watch(`make-${role}`, context, count(context));
      const { peak } = await watch(role, context, count(context));
      return { ours: peak / MIB, peers: { "1.3 budget + own": (own.peak + 1.3 * budget) / MIB, own: own.peak / MIB } };
    },
  };
}

let million: Promise<Result & { peak: number }> | undefined;

/** Takes minutes: only when it is named. */
function isNamed(name: string): boolean {
  return process.argv.slice(4).includes(name);
}

const keys = ({ quick }: Context): number => (quick ? 4_000_000 : 20_000_000);

async function twentyMillion(name: string, context: Context): Promise<(Result & { peak: number }) | undefined> {
  if (!isNamed(name)) return undefined;
  million ??= watch("million", context, keys(context));
  return million;
}

let together: Promise<Record<string, number>> | undefined;

/** A reader and a writer alone, the writer beside a reader for each other core, and beside eight readers. */
async function runTogether(context: Context): Promise<Record<string, number>> {
  const folder = fs.mkdtempSync(path.join(context.folder, "readers-"));
  try {
    const chest = new Chest<string, number>({ path: path.join(folder, "chest") });
    for (let i = 0; i < PAIRS; i++) chest.set(keyOf(i), i);
    chest.close();
    const start = async (role: string): Promise<Worker> => {
      const worker = new Worker(role, folder, PAIRS);
      await worker.ready();
      return worker;
    };
    /* Each is warm when it begins to be measured: all at once. */
    const beside = async (count: number): Promise<Result[]> => {
      const all: Worker[] = [];
      for (let i = 0; i < count; i++) all.push(await start("reader"));
      all.push(await start("writer"));
      return Promise.all(all.map((each) => each.run()));
    };
    const reader = await (await start("reader")).run();
    const alone = await (await start("writer")).run();
    const few = await beside(Math.max(1, CORES - 1));
    const many = await beside(READERS);
    const rate = many.slice(0, -1).reduce((sum, { wall }) => sum + 1 / wall!, 0);
    return {
      one: reader.wall!,
      all: 1 / rate,
      alone: alone.wall!,
      few: few.at(-1)!.wall!,
      many: many.at(-1)!.wall!,
      processorAlone: alone.processor!,
      processor: many.at(-1)!.processor!,
    };
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** What takes several processes, or memory looked at from outside. */
export const processCases: Case[] = [
  resident("resident-arrays", "arrays", 100 * MIB, ({ quick }) => (quick ? 200 : 1000)),
  resident("resident-pairs", "pairs", 100 * MIB, () => PAIRS),
  {
    name: "readers",
    unit: "ns",
    /* Nine processes share the cores; the readers have eight ninths of them. */
    target: () => ({ peer: "one reader", atMost: 1 / Math.min(4, (CORES * READERS) / (READERS + 1)) }),
    async run(context): Promise<Figures> {
      together ??= runTogether(context);
      const { one, all } = await together;
      return { ours: all!, peers: { "one reader": one! } };
    },
  },
  {
    /* By the clock, with a core for everyone. */
    name: "writer",
    unit: "ns",
    target: { peer: "alone", atMost: 1.25 },
    async run(context): Promise<Figures> {
      together ??= runTogether(context);
      const { few, alone } = await together;
      return { ours: few!, peers: { alone: alone! } };
    },
  },
  {
    /* By processor time: by the clock, nine processes on fewer cores have the share that the system gives them. */
    name: "writer-of-nine",
    unit: "ns",
    target: { peer: "alone", atMost: 1.25 },
    async run(context): Promise<Figures> {
      together ??= runTogether(context);
      const { processor, processorAlone, many, alone } = await together;
      const share = alone! * Math.max(1, (READERS + 1) / CORES);
      return { ours: processor!, peers: { alone: processorAlone!, "by the clock": many!, "fair share": share } };
    },
  },
  {
    name: "pairs-20M",
    unit: "ns",
    target: { peer: "first million", atMost: 2 },
    async run(context): Promise<Figures | undefined> {
      const all = await twentyMillion(this.name, context);
      return (
        all && { ours: all.putLast!, peers: { "first million": all.putFirst!, "mean, by the clock": all.putMean! } }
      );
    },
  },
  {
    name: "pairs-20M-get",
    unit: "ns",
    target: { peer: "first million", atMost: 2 },
    async run(context): Promise<Figures | undefined> {
      const all = await twentyMillion(this.name, context);
      return (
        all && { ours: all.getLast!, peers: { "first million": all.getFirst!, "mean, by the clock": all.getMean! } }
      );
    },
  },
  {
    name: "pairs-20M-resident",
    unit: "MiB",
    target: { peer: "1.3 budget + own", atMost: 1 },
    async run(context): Promise<Figures | undefined> {
      const all = await twentyMillion(this.name, context);
      if (all === undefined || process.platform !== "linux") return undefined;
      const own = (await watch("make-pairs", context, keys(context))).peak;
      return { ours: all.peak / MIB, peers: { "1.3 budget + own": (own + 1.3 * 256 * MIB) / MIB, own: own / MIB } };
    },
  },
];
