import type { RingClient } from "../../src/ring/main.ts";

/** 1080p frames of three bytes a pixel. */
export const videoSchema: {
  readonly rgb: { readonly type: "u8"; readonly components: number; readonly capacity: number };
} = { rgb: { type: "u8", components: 3, capacity: 1920 * 1080 } };

/** What a reader of the video saw. */
export interface Watched {
  readonly frames: number;
  readonly missed: number;
  /** Frames that were still valid and yet not of one grey. */
  readonly torn: number;
  readonly seconds: number;
}

/** Looks at every frame in place, and takes `pause` ms for each. */
export async function watch(ring: RingClient<typeof videoSchema>, pause: number): Promise<Watched> {
  const started = performance.now();
  let frames = 0;
  let torn = 0;
  for await (const frame of ring.frames()) {
    const rgb = frame.get("rgb");
    const grey = rgb[0];
    const same = rgb[rgb.length >> 1] === grey && rgb[rgb.length - 1] === grey;
    if (!same && frame.valid) torn++;
    frames++;
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
  }
  return { frames, missed: ring.drops, torn, seconds: (performance.now() - started) / 1000 };
}
