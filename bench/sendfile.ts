import { spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import path from "node:path";
import { ROOT } from "../scripts/build/compile.ts";
import type { Area, Context } from "./area.ts";
import { senderCases } from "./sendfile/senders.ts";
import { serveCases } from "./sendfile/serve.ts";

/** The program's name when it runs here, else "". */
function found(command: string, flag: string): string {
  const run = spawnSync(command, [flag], { stdio: "ignore" });
  return run.error === undefined ? command : "";
}

async function prepare({ folder, quick }: Context): Promise<Context["prepared"]> {
  const size = quick ? 2 ** 28 : 2 ** 30;
  const file = path.join(folder, "random");
  const fd = openSync(file, "wx");
  const block = new Uint8Array(2 ** 24);
  for (let at = 0; at < size; at += block.length) writeSync(fd, randomFillSync(block));
  closeSync(fd);
  writeFileSync(path.join(folder, "1KiB"), block.subarray(0, 2 ** 10));
  writeFileSync(path.join(folder, "64KiB"), block.subarray(0, 2 ** 16));
  writeFileSync(path.join(folder, "16MiB"), block);
  return {
    file,
    size,
    folder,
    python: found("python3", "--version"),
    pythonPeer: path.join(ROOT, "bench", "peers", "py-sendfile.py"),
    nginx: found("nginx", "-v"),
    wrk: found("wrk", "-v"),
  };
}

export const area: Area = { programs: ["c-sendfile"], prepare, cases: [...senderCases, ...serveCases] };
