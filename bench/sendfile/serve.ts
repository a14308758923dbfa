import { spawn } from "node:child_process";
import type { Case, Context, Figures } from "../area.ts";
import { interleave, type Participant } from "../rounds.ts";
import { Service, script } from "./programs.ts";

/** Seconds per request over 32 kept-alive connections, as wrk counts them. */
function load(wrk: string, port: number, name: string, seconds: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(wrk, ["-t1", "-c32", `-d${seconds}s`, `http://127.0.0.1:${port}/${name}`]);
    let text = "";
    child.stdout.on("data", (chunk) => (text += String(chunk)));
    child.on("error", reject);
    child.on("close", () => {
      const rate = Number(/Requests\/sec:\s*([\d.]+)/.exec(text)?.[1]);
      if (rate > 0 && !/Non-2xx/.test(text)) resolve(1 / rate);
      else reject(new Error(`wrk: ${text}`));
    });
  });
}

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
      participants[kind] = () => load(wrk, port, name, context.quick ? 1 : 2);
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
