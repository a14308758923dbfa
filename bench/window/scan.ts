/**
 * Reads a whole file and prints the largest resident memory of this process in bytes.
 *
 *   scan.ts idle | windows | readSync | bun-mmap FILE BUDGET
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import process from "node:process";

const [how = "", file = "", budget = ""] = process.argv.slice(2);
let sum = 0;

function touch(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += 4096) sum += bytes[at] ?? 0;
}

/* In order without copies, in order with copies, at random places, and through views: all that the windows offer. */
async function readWindows(): Promise<void> {
  const { WindowManager } = await import("../../src/window/main.ts");
  const manager = new WindowManager({ windowSize: 2 ** 20, budget: Number(budget) });
  const windows = manager.open(file);
  for (const chunk of windows.chunks()) touch(chunk);
  const target = new Uint8Array(65_536);
  for (let at = 0; at < windows.size; at += target.length) windows.readInto(at, target);
  for (let i = 0; i < 4096; i++) windows.readInto(((i * 2_654_435_761) % (windows.size / 65_536)) * 65_536, target);
  for (let at = 0; at < windows.size; at += 2 ** 20) {
    const lease = windows.lease(at, 2 ** 20);
    touch(lease.bytes);
    lease.release();
  }
  manager.close();
}

function readPlainly(): void {
  const fd = openSync(file, "r");
  const target = new Uint8Array(65_536);
  for (let read = 1; read > 0; ) {
    read = readSync(fd, target);
    touch(target);
  }
  closeSync(fd);
}

if (how === "windows") await readWindows();
else if (how === "readSync") readPlainly();
else if (how === "bun-mmap")
  touch((globalThis as unknown as { Bun: { mmap(path: string): Uint8Array } }).Bun.mmap(file));
const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
process.stdout.write(`${Number(peak) * 1024}${sum < 0 ? " " : ""}\n`);
