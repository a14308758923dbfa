/** A peer of the ring bench: one way through Node's own channel to a child, advanced serialization. Lines are BYTES COUNT. */
import { fork } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { median, percentile } from "../rounds.ts";

const clock = (): number => Number(process.hrtime.bigint());

if (process.argv[2] === "child") {
  process.on("message", (data: Float64Array) => {
    const sum = (data[0] as number) + (data[data.length >> 1] as number) + (data[data.length - 1] as number);
    process.send?.(Number.isNaN(sum) ? Number.NaN : clock() - (data[0] as number));
  });
} else {
  const child = fork(fileURLToPath(import.meta.url), ["child"], { serialization: "advanced" });
  for await (const line of createInterface({ input: process.stdin })) {
    const [bytes = 64, count = 1] = line.split(" ").map(Number);
    const data = new Float64Array(bytes / 8).fill(3);
    const costs: number[] = [];
    for (let i = 0; i < count; i++) {
      const answer = new Promise<number>((resolve) => child.once("message", (cost) => resolve(cost as number)));
      data[0] = clock();
      child.send(data);
      costs.push(await answer);
    }
    process.stdout.write(`${median(costs)} ${percentile(costs, 0.99)}\n`);
  }
  child.disconnect();
}
