/** Feature vectors that need not fit into memory, and the nearest one to each query: `chest-vectors.ts [COUNT]`. */
import process from "node:process";
import { Chest } from "outcore/chest";

const count = Number(process.argv[2] ?? 2000);
const DIMENSIONS = 8192; // 32 KiB each: from this size on they are leased without a copy
const vectors = new Chest<number, Float32Array>({ budget: 2 ** 22 });
for (let i = 0; i < count; i++) vectors.set(i, new Float32Array(DIMENSIONS).fill(i / count));
vectors.flush();

let best = -1;
let nearest = Number.POSITIVE_INFINITY;
for (const key of vectors.keys()) {
  const lease = vectors.lease(key);
  if (lease === undefined) continue;
  let distance = 0;
  for (const each of lease.value) distance += (each - 0.5) ** 2;
  lease.release();
  if (distance < nearest) {
    nearest = distance;
    best = key;
  }
}
console.log(`nearest to 0.5 is vector ${best} of ${count}`);
vectors.close();
