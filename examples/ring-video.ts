/**
 * 1080p frames at 60 a second from a child process to two readers, one of them slow: neither slows the writer.
 *
 *   ring-video.ts [SECONDS]
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { createRing, NotFoundError, openRing, type RingClient } from "../src/ring/main.ts";

const WIDTH = 1920;
const HEIGHT = 1080;
const schema = { rgb: { type: "u8", components: 3, capacity: WIDTH * HEIGHT } } as const;

async function camera(name: string, seconds: number): Promise<void> {
  const ring = createRing(name, { schema, slots: 6, stamp: true, keepAlive: true });
  const patience = performance.now() + 20_000;
  while (ring.readers().length < 2 && performance.now() < patience)
    await new Promise((resolve) => setTimeout(resolve, 5));
  const started = performance.now();
  for (let i = 0; i < seconds * 60; i++) {
    const loan = ring.begin();
    /* A grey that changes with every frame, written in place. */
    loan.get("rgb").fill(i & 255);
    loan.publish(i / 60);
    const due = started + ((i + 1) * 1000) / 60 - performance.now();
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due)));
  }
  ring.close();
}

async function watch(ring: RingClient<typeof schema>, label: string, pause: number): Promise<void> {
  let frames = 0;
  let all = 0;
  let torn = 0;
  let since = performance.now();
  for await (const frame of ring.frames()) {
    const rgb = frame.get("rgb");
    const same = rgb[0] === rgb[rgb.length - 1] && rgb[0] === rgb[rgb.length >> 1];
    if (!same && frame.valid) torn++;
    frames++;
    all++;
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
    const now = performance.now();
    if (now - since > 1000) {
      console.log(
        `${label}: ${((frames * 1000) / (now - since)).toFixed(1)} frames/s, ${ring.drops} missed, ${torn} torn`,
      );
      frames = 0;
      since = now;
    }
  }
  console.log(`${label}: ${all} frames in all, ${ring.drops} missed, ${torn} torn`);
}

const [first = "3", name = `video-${process.pid}`, seconds = "3"] = process.argv.slice(2);
if (first === "camera") await camera(name, Number(seconds));
else {
  const script = process.argv[1] ?? "";
  const start = "deno" in process.versions ? ["run", "-A", script] : [script];
  spawn(process.execPath, [...start, "camera", name, first], { stdio: "inherit" });
  const join = async (): Promise<RingClient<typeof schema>> => {
    for (;;) {
      try {
        return openRing(name, { schema, delivery: "queue", keepAlive: true });
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  await Promise.all([watch(await join(), "fast", 0), watch(await join(), "slow", 100)]);
}
