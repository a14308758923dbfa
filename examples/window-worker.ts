/** Counts the bytes of a file by value in two Workers, each with windows of its own: `window-worker.ts FILE`. */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type WindowFileHandle, WindowManager } from "outcore/window";

interface Part {
  readonly handle: WindowFileHandle;
  readonly from: number;
  readonly to: number;
}

function countPart({ handle, from, to }: Part): Float64Array {
  const counts = new Float64Array(256);
  const manager = new WindowManager({ budget: 2 ** 24 });
  const file = manager.reopen(handle);
  for (const chunk of file.chunks({ from, to })) for (const byte of chunk) counts[byte] = (counts[byte] ?? 0) + 1;
  manager.close();
  return counts;
}

function inWorker(part: Part): Promise<Float64Array> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: part });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

if (!isMainThread) parentPort?.postMessage(countPart(workerData as Part));
else {
  const path = process.argv[2] ?? fileURLToPath(import.meta.url);
  const manager = new WindowManager();
  const file = manager.open(path);
  const middle = Math.floor(file.size / 2);
  const handle = file.handle();
  const [low, high] = await Promise.all([
    inWorker({ handle, from: 0, to: middle }),
    inWorker({ handle, from: middle, to: file.size }),
  ]);
  manager.close();
  const counts = low.map((count, byte) => count + (high[byte] ?? 0));
  const most = counts.indexOf(Math.max(...counts));
  console.log(`${path}: byte ${most} is the most frequent, ${counts[most]} times`);
}
