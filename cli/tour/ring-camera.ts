/** The camera of the ring chapter, in a process of its own: ring-camera.ts RING SECONDS. */
import process from "node:process";
import { createRing } from "../../src/ring/main.ts";
import { videoSchema } from "./ring-video.ts";

const [name = "", seconds = "2"] = process.argv.slice(2);
const ring = createRing(name, { schema: videoSchema, slots: 6, keepAlive: true });
const started = performance.now();
for (let i = 0; i < Number(seconds) * 60; i++) {
  const loan = ring.begin();
  loan.get("rgb").fill(i & 255);
  loan.publish(performance.now());
  const due = started + ((i + 1) * 1000) / 60 - performance.now();
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, due)));
}
ring.close();
