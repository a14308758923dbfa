import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Case, Context, Figures } from "../area.ts";
import { runtimeFlags } from "../flags.ts";
import { median } from "../rounds.ts";
import { settingOf } from "./setting.ts";

const SCRIPT = fileURLToPath(new URL("./scan.ts", import.meta.url));

/** Largest resident memory, in MiB, of a fresh process that reads the whole file in some way. */
function peak(how: string, file: string, budget: number): number {
  const args = [...runtimeFlags(), SCRIPT, how, file, String(budget)];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  const bytes = Number(stdout.trim());
  if (status !== 0 || !Number.isFinite(bytes)) throw new Error(`scan (${how}): ${stdout}${stderr}`);
  return bytes / 2 ** 20;
}

async function run(context: Context): Promise<Figures | undefined> {
  if (process.platform !== "linux") return undefined;
  const { file, budget } = settingOf(context);
  const times = context.quick ? 1 : 3;
  const sample = (how: string): number => median(Array.from({ length: times }, () => peak(how, file, budget)));
  const idle = sample("idle");
  return {
    ours: sample("windows") - idle,
    peers: {
      readSync: sample("readSync") - idle,
      ...("Bun" in globalThis && { "bun-mmap": sample("bun-mmap") - idle }),
    },
  };
}

export const memoryCases: readonly Case[] = [
  {
    name: "scan-resident",
    unit: "MiB",
    target: (context) => ({ atMost: settingOf(context).budget / 2 ** 20 + 48 }),
    run,
  },
];
