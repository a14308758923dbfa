import type { Words } from "../memory/words.ts";
import { type NativeShape, R, READER_BYTES, S } from "./native-layout.ts";
import type { ReaderInfo } from "./server.ts";

/** By their number in a reader slot. */
const deliveries = ["latest", "queue", "reliable"] as const;

/** The readers of a ring, from its shared part. */
export function readReaders(shared: Words, shape: NativeShape): ReaderInfo[] {
  const out: ReaderInfo[] = [];
  for (let i = 0; i < shape.readers; i++) {
    const at = S.readers + i * READER_BYTES;
    if (shared.load32(at) !== 2) continue;
    out.push({
      slot: i,
      reader: (BigInt(shared.load32(at + R.id + 4)) << 32n) | BigInt(shared.load32(at + R.id)),
      process: shared.load32(at + R.process),
      delivery: deliveries[shared.load32(at + R.delivery)] ?? "unknown",
      seen: shared.load64(at + R.cursor),
      drops: shared.load64(at + R.drops),
      heartbeat: shared.load64(at + R.heartbeat),
    });
  }
  return out;
}
