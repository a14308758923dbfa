/** Waits on a ring until it is terminated. */
import { parentPort, workerData } from "node:worker_threads";
import { openRing } from "../../src/ring/main.ts";

const client = openRing(workerData as string, { keepAlive: true });
client.next().catch(() => {});
parentPort?.postMessage("waiting");
