import type { RingClient } from "../../src/ring/main.ts";

const WIDTH = 1920;
export const HEIGHT = 1080;
export const ROW_BYTES: number = WIDTH * 3;

/** 1080p frames of three bytes a pixel. */
export const videoSchema: {
  readonly rgb: { readonly type: "u8"; readonly components: number; readonly capacity: number };
} = { rgb: { type: "u8", components: 3, capacity: WIDTH * HEIGHT } };

/** What a reader of the video saw. */
export interface Watched {
  readonly frames: number;
  readonly missed: number;
  /** Frames that were still valid and yet not of one picture. */
  readonly torn: number;
  readonly seconds: number;
}

/** Whether rows at the top, in the middle and at the bottom are those of one place of the camera. */
function isWhole(rgb: Uint8Array): boolean {
  const top = rgb[0] ?? 0;
  const row = (at: number): number | undefined => rgb[at * ROW_BYTES];
  return row(HEIGHT >> 1) === ((top + (HEIGHT >> 1)) & 255) && row(HEIGHT - 1) === ((top + HEIGHT - 1) & 255);
}

/** Looks at every frame in place, and takes `pause` ms for each. */
export async function watch(ring: RingClient<typeof videoSchema>, pause: number): Promise<Watched> {
  const started = performance.now();
  let frames = 0;
  let torn = 0;
  for await (const frame of ring.frames()) {
    if (!isWhole(frame.get("rgb")) && frame.valid) torn++;
    frames++;
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
  }
  return { frames, missed: ring.drops, torn, seconds: (performance.now() - started) / 1000 };
}
