/**
 * A sensor that another process reads, and whose rate the reader changes by messages.
 *
 *   ring-sensor.ts           starts both
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { createRing, NotFoundError, openRing } from "../src/ring/main.ts";

const schema = { celsius: { type: "f32" }, count: { type: "u32" }, period: { type: "u32" } } as const;
const VALUES = 150;
const SET_PERIOD = 1;

async function sensor(name: string): Promise<void> {
  const ring = createRing(name, { schema, keepAlive: true });
  let period = 100;
  let count = 0;
  while (count < VALUES) {
    for (const { type, body } of ring.poll())
      if (type === SET_PERIOD) period = new DataView(body.buffer).getUint32(0, true);
    ring.publish({ celsius: [20 + Math.sin(count / 10)], count: [++count], period: [period] });
    await new Promise((resolve) => setTimeout(resolve, period));
  }
  ring.close();
}

async function reader(name: string): Promise<void> {
  let ring: ReturnType<typeof openRing<typeof schema>> | undefined;
  while (ring === undefined) {
    try {
      ring = openRing(name, { schema, delivery: "queue", keepAlive: true });
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  let seen = 0;
  let period = 0;
  for await (const frame of ring.frames()) {
    seen++;
    const now = frame.get("period")[0] ?? 0;
    if (now !== period) console.log(`a value every ${now} ms`);
    period = now;
    if (seen === 10) {
      const body = new Uint8Array(4);
      new DataView(body.buffer).setUint32(0, 10, true);
      ring.send(SET_PERIOD, body);
      console.log("asked for 100 Hz");
    }
    if (frame.id % 20 === 0) console.log(`${frame.id}: ${frame.get("celsius")[0]?.toFixed(3)} C`);
  }
  console.log(`${seen} values, ${ring.drops} missed, ${ring.absence}`);
  ring.close();
}

const [role, name = `sensor-${process.pid}`] = process.argv.slice(2);
if (role === "sensor") await sensor(name);
else {
  const script = process.argv[1] ?? "";
  const start = "deno" in process.versions ? ["run", "-A", script] : [script];
  spawn(process.execPath, [...start, "sensor", name], { stdio: "inherit" });
  await reader(name);
}
