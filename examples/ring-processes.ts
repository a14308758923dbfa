/**
 * One writer and three reader processes, each with another delivery: a reliable reader gets every frame and holds the
 * writer back, a queue counts what it missed, the latest is all that the third wants.
 *
 *   ring-processes.ts
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { createRing, type Delivery, openRing } from "../src/ring/main.ts";

const schema = { value: { type: "u32", capacity: 1024 } } as const;
const FRAMES = 500;

async function read(name: string, delivery: Delivery): Promise<void> {
  const ring = openRing(name, { schema, delivery, keepAlive: true });
  let frames = 0;
  let last = 0;
  for await (const frame of ring.frames()) {
    last = frame.get("value")[0] ?? 0;
    frame.release();
    frames++;
    /* The queue is slow: it takes 20 ms for what comes every millisecond. */
    if (delivery === "queue") await new Promise((resolve) => setTimeout(resolve, 20));
  }
  console.log(`${delivery}: ${frames} frames, ${ring.drops} dropped, the last is ${last} (${ring.absence})`);
  ring.close();
}

async function write(): Promise<void> {
  const name = `processes-${process.pid}`;
  const ring = createRing(name, { schema, slots: 8, keepAlive: true });
  const script = process.argv[1] ?? "";
  const start = "deno" in process.versions ? ["run", "-A", script] : [script];
  const readers = (["reliable", "queue", "latest"] as const).map((delivery) => {
    const child = spawn(process.execPath, [...start, name, delivery], { stdio: "inherit" });
    return new Promise((resolve) => child.once("close", resolve));
  });
  while (ring.readers().length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  for (let i = 1; i <= FRAMES; i++) {
    await ring.publishAsync({ value: new Uint32Array(1024).fill(i) });
    if (i % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  /* A reliable reader may still be at the last frames when the ring is closed: it gets them. */
  ring.close();
  await Promise.all(readers);
}

const [name, delivery] = process.argv.slice(2);
if (name !== undefined) await read(name, delivery as Delivery);
else await write();
