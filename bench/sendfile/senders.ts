import type { Case, Context, Figures } from "../area.ts";
import { interleave, type Participant } from "../rounds.ts";
import { type Cost, load, measure, Service, script } from "./programs.ts";

const GIB = 2 ** 30;

/** Seconds per GiB that senders take for bodies of `body` bytes, one after the other on one connection. */
async function senders(context: Context, figure: keyof Cost, body: number, slow: boolean): Promise<Figures> {
  const { file, size, python, nginx, wrk, folder } = context.prepared as Record<string, string>;
  const program = context.programs["c-sendfile"] ?? "";
  const total = Math.min(Number(size), GIB);
  const sink = await Service.start([program, "sink"]);
  const length = String(Math.min(body, total));
  const run = async ([command = "", ...args]: readonly string[], ...mode: string[]): Promise<number> => {
    const all = [...args, ...mode, String(sink.port), file ?? "", length, String(total)];
    return ((await measure<Cost>(command, all))[figure] * GIB) / total;
  };
  const participants: Record<string, Participant> = {
    ours: () => run(script("sender.ts"), "ours"),
    "c-sendfile": () => run([program, "send"], "sendfile"),
    "c-read-send": () => run([program, "send"], "read-send"),
  };
  if (python) participants["py-sendfile"] = () => run([python, context.prepared.pythonPeer as string]);
  if (!slow) participants["own-call"] = () => run(script("sender.ts"), "call");
  if (slow) {
    participants["node-pipe"] = () => run(script("sender.ts", "node24"), "pipe");
    participants["own-pipe"] = () => run(script("sender.ts"), "pipe");
  }
  const services: Service[] = [sink];
  try {
    const servers: [string, () => Promise<Service>][] = [
      ["bun-serve", () => Service.start([...script("server.ts", "bun"), "bun-serve", folder ?? ""])],
      ["deno-serve", () => Service.start([...script("server.ts", "deno"), "deno-serve", folder ?? ""])],
    ];
    if (nginx) servers.push(["nginx", () => Service.nginx(nginx, folder ?? "", folder ?? "")]);
    for (const [name, start] of slow || wrk ? servers : []) {
      const service = await start();
      services.push(service);
      participants[name] = async () => {
        const before = service.cpu();
        let bytes = Number(size);
        let wall = 0;
        if (slow) ({ wall } = await measure<{ wall: number }>(program, ["fetch", String(service.port), "/random"]));
        else bytes = (await load(wrk ?? "", service.port, "64KiB", context.quick ? 1 : 2)).count * body;
        return ((figure === "cpu" ? service.cpu() - before : wall) * GIB) / bytes;
      };
    }
    const { ours = Number.NaN, ...peers } = await interleave(participants, {
      rounds: context.quick ? 1 : 5,
      warmup: context.quick ? 0 : 1,
    });
    return { ours, peers };
  } finally {
    for (const service of services) await service.stop();
  }
}

/** CPU seconds per GiB of small bodies with a header of 200 bytes: as `sendFile` sends them, and without reading. */
async function small(context: Context, body: number): Promise<Figures> {
  const { file } = context.prepared as Record<string, string>;
  const sink = await Service.start([context.programs["c-sendfile"] ?? "", "sink"]);
  const total = body * (context.quick ? 20_000 : 60_000);
  const run = (mode: string) => async (): Promise<number> => {
    const [command = "", ...args] = script("sender.ts");
    const cost = await measure<Cost>(command, [...args, mode, String(sink.port), file ?? "", `${body}`, `${total}`]);
    return (cost.cpu * GIB) / total;
  };
  try {
    const { ours = Number.NaN, ...peers } = await interleave(
      { ours: run("read"), unread: run("unread") },
      { rounds: context.quick ? 3 : 7, warmup: 1 },
    );
    return { ours, peers };
  } finally {
    await sink.stop();
  }
}

/** What sending 1 GiB costs, in one body, in bodies of 64 KiB and in small ones. */
export const senderCases: readonly Case[] = [
  {
    name: "cpu-1GiB",
    unit: "s",
    target: { peer: "c-sendfile", atMost: 1.15 },
    run: (context) => senders(context, "cpu", GIB, true),
  },
  {
    name: "wall-1GiB",
    unit: "s",
    target: (context) => ({ peer: context.prepared.nginx ? "nginx" : "c-sendfile", atMost: 1.1 }),
    run: (context) => senders(context, "wall", GIB, true),
  },
  {
    name: "cpu-64KiB",
    unit: "s",
    target: { peer: "c-read-send", atMost: 0.5 },
    run: (context) => senders(context, "cpu", 64 * 1024, false),
  },
  ...[1, 2, 4, 8].map((kib) => ({
    name: `cpu-${kib}KiB`,
    unit: "s" as const,
    run: (context: Context) => small(context, kib * 1024),
  })),
];
