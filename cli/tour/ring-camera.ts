import { Command } from "commander";
import { createRing } from "../../src/ring/main.ts";
import { HEIGHT, ROW_BYTES, videoSchema } from "./ring-video.ts";

async function run(name: string, seconds: string): Promise<void> {
  const ring = createRing(name, { schema: videoSchema, slots: 6, keepAlive: true });
  /* A tall picture of bands, over which the camera moves down by a row a frame. */
  const picture = new Uint8Array((HEIGHT + 256) * ROW_BYTES);
  for (let row = 0; row < HEIGHT + 256; row++) picture.fill(row & 255, row * ROW_BYTES, (row + 1) * ROW_BYTES);

  const patience = performance.now() + 20_000;
  while (ring.readers().length < 2 && performance.now() < patience)
    await new Promise((resolve) => setTimeout(resolve, 5));
  const started = performance.now();
  for (let i = 0; i < Number(seconds) * 60; i++) {
    const top = (i & 255) * ROW_BYTES;
    const loan = ring.begin();
    loan.get("rgb").set(picture.subarray(top, top + HEIGHT * ROW_BYTES));
    loan.publish(i / 60);
    const due = started + ((i + 1) * 1000) / 60 - performance.now();
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due)));
  }
  ring.close();
}

/** For the chapter on rings: the camera, in a process of its own. */
export function ringCameraCommand(): Command {
  return new Command("tour-ring-camera").argument("<ring>").argument("<seconds>").action(run);
}
