/** The reader of the ring bench: reader.ts MODE RING COUNT; answers the median in ns once it was told to go. */
import process from "node:process";
import { createInterface } from "node:readline";
import { monotonic } from "../../src/memory/words.ts";
import { createRing, openRing } from "../../src/ring/main.ts";
import { median } from "../rounds.ts";

const [mode = "", name = "", times = ""] = process.argv.slice(2);
const count = Number(times);
const schema = { data: { type: "f64", capacity: 8 } } as const;

async function measure(): Promise<number> {
  const client = openRing(name, { keepAlive: true });
  const costs: number[] = [];
  let sum = 0;
  if (mode === "wake") {
    while (costs.length < count) {
      const frame = await client.next({ timeout: 5000 });
      const now = monotonic();
      if (frame === undefined) throw new Error(`no frame: ${client.absence}`);
      costs.push(now - ((frame.get("data") as Float64Array)[0] as number));
    }
    client.close();
    return median(costs);
  }
  const back = createRing(`${name}-back`, { schema });
  for (let i = 0; i < count; i++) {
    const frame = client.nextSync({ spin: 1e6, timeout: 10_000 });
    if (frame === undefined) throw new Error(`no frame: ${client.absence}`);
    const data = frame.get("data") as Float64Array;
    const sent = data[0] as number;
    sum += sent + (data[data.length >> 1] as number) + (data[data.length - 1] as number);
    costs.push(monotonic() - sent);
    const loan = back.begin();
    loan.publish();
  }
  if (Number.isNaN(sum)) throw new Error("not a number");
  const cost = median(costs.slice(costs.length >> 1));
  client.close();
  setTimeout(() => back.close(), 50);
  return cost;
}

createInterface({ input: process.stdin }).once("line", async () => {
  try {
    process.stdout.write(`${await measure()}\n`);
  } catch (error) {
    process.stdout.write(`${(error as Error).stack?.split("\n").join(" ")}\n`);
  }
});
