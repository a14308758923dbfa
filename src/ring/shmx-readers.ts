import type { Words } from "../memory/words.ts";
import { SHMX_MARK } from "./lifetime.ts";
import type { ReaderInfo } from "./server.ts";
import { R, READER_BYTES, type ShmxShape } from "./shmx-layout.ts";

/** The readers of an SHMX segment; `shift` is what lies before the words' first byte. */
export function readShmxReaders(words: Words, shape: ShmxShape, shift: number): ReaderInfo[] {
  const out: ReaderInfo[] = [];
  for (let i = 0; i < shape.readers; i++) {
    const at = shape.readersAt - shift + i * READER_BYTES;
    if (words.load32(at + R.used) === 0) continue;
    const low = BigInt(words.load32(at));
    const high = BigInt(words.load32(at + 4));
    const own = (BigInt(words.load32(at + R.own + 4)) << 32n) | BigInt(words.load32(at + R.own));
    const id = (high << 32n) | low;
    /* Marked before it is taken and until it is given back: a reader that dies between has no id in it. */
    const ours = words.load32(at + R.mark) === SHMX_MARK && (id === own || id === 0n);
    out.push({
      slot: i,
      reader: id,
      process: ours ? words.load32(at + R.process) : 0,
      delivery: "latest",
      seen: words.load64(at + R.seen),
      drops: 0,
      heartbeat: words.load64(at + R.heartbeat),
    });
  }
  return out;
}
