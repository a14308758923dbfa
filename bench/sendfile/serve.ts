import type { Case, Context, Figures } from "../area.ts";
import { interleave, type Participant } from "../rounds.ts";
import { load, Service, script } from "./programs.ts";

async function serve(context: Context, name: string): Promise<Figures | undefined> {
  const { wrk, nginx, folder } = context.prepared as Record<string, string>;
  if (!wrk || !folder) return undefined;
  const services: Record<string, Service> = {};
  try {
    for (const kind of ["ours", "sirv"]) services[kind] = await Service.start([...script("server.ts"), kind, folder]);
    services["bun-serve"] = await Service.start([...script("server.ts", "bun"), "bun-serve", folder]);
    services["deno-serve"] = await Service.start([...script("server.ts", "deno"), "deno-serve", folder]);
    if (nginx) services.nginx = await Service.nginx(nginx, folder, folder);
    const participants: Record<string, Participant> = {};
    for (const [kind, { port }] of Object.entries(services))
      participants[kind] = async () => 1 / (await load(wrk, port, name, context.quick ? 1 : 2)).rate;
    const { ours = Number.NaN, ...peers } = await interleave(participants, {
      rounds: context.quick ? 1 : 3,
      warmup: context.quick ? 0 : 1,
    });
    return { ours, peers };
  } finally {
    for (const service of Object.values(services)) await service.stop();
  }
}

/** What a request for a file costs. */
export const serveCases: readonly Case[] = [
  { name: "serve-1KiB", unit: "s", target: { peer: "sirv", atMost: 1 }, run: (context) => serve(context, "1KiB") },
  { name: "serve-64KiB", unit: "s", run: (context) => serve(context, "64KiB") },
  {
    name: "serve-16MiB",
    unit: "s",
    target: (context) => (context.prepared.nginx ? { peer: "nginx", atMost: 1.25 } : { peer: "sirv", atMost: 1 }),
    run: (context) => serve(context, "16MiB"),
  },
];
