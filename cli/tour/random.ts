import fs from "node:fs";
import { WindowManager } from "../../src/window/main.ts";
import type { FoundFile } from "./files.ts";
import type { Job } from "./job.ts";

const READS = 200_000;
const READ_BYTES = 1024;
const STEP = 20_000;

/** Offsets of random reads: nine of ten go to a sixteenth of the file, as those of real programs do. */
function places(size: number): Float64Array {
  const room = size - READ_BYTES;
  const hot = Math.floor(room / 16);
  let state = 2463534242;
  const random = (below: number) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor(((state >>> 0) / 2 ** 32) * below);
  };
  return Float64Array.from({ length: READS }, () =>
    random(10) < 9 ? Math.floor(room / 3) + random(hot) : random(room),
  );
}

/** Random reads of 1 KiB in a file; undefined when it is too small to be worth it. */
export function randomReads(found: FoundFile, budget: number): Job | undefined {
  if (found.size < 64 * READ_BYTES) return undefined;
  const offsets = places(found.size);
  const target = new Uint8Array(READ_BYTES);
  const sum = (read: (offset: number) => void, advance: (done: number) => void) => {
    let total = 0;
    for (const [i, offset] of offsets.entries()) {
      read(offset);
      total += (target[0] ?? 0) + (target[511] ?? 0) * 256 + (target[READ_BYTES - 1] ?? 0) * 65536;
      if (i % STEP === STEP - 1) advance(STEP * READ_BYTES);
    }
    return total;
  };
  let hitRate = 0;
  return {
    name: "random reads",
    bytes: READS * READ_BYTES,
    ours(advance) {
      const small = Math.max(2 ** 18, Math.min(budget, Math.floor(found.size / 8)));
      const manager = new WindowManager({ budget: small, windowSize: 2 ** 18 });
      const file = manager.open(found.path);
      const total = sum((offset) => file.readInto(offset, target), advance);
      hitRate = manager.stats.hitRate;
      manager.close();
      return total;
    },
    plain(advance) {
      const fd = fs.openSync(found.path, "r");
      const total = sum((offset) => fs.readSync(fd, target, 0, READ_BYTES, offset), advance);
      fs.closeSync(fd);
      return total;
    },
    hitRate: () => hitRate,
  };
}
