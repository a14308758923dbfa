/**
 * lmdb in a Node process of its own: an array of BYTES as blocks of so many bytes. Each line `commit N` changes 8 bytes in
 * N random blocks in one synced transaction and answers seconds.
 *
 *   lmdb.ts FOLDER BLOCK BYTES
 */
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { randomIntegers } from "../random.ts";

interface Lmdb {
  get(key: number): Uint8Array | undefined;
  put(key: number, value: Uint8Array): Promise<boolean>;
  transactionSync(work: () => void): void;
  flushed: Promise<unknown>;
  close(): Promise<void>;
}

const [folder = "", block = "", bytes = ""] = process.argv.slice(2);
const size = Number(block);
const count = Number(bytes) / size;
const { open } = createRequire(import.meta.url)("lmdb") as { open(options: object): Lmdb };
const db = open({
  path: path.join(folder, `lmdb-${size}-${process.pid}`),
  keyEncoding: "uint32",
  encoding: "binary",
  mapSize: 8 * Number(bytes),
});
const whole = new Uint8Array(size).fill(7);
for (let at = 0; at < count; at += 4096) {
  db.transactionSync(() => {
    for (let i = at; i < Math.min(count, at + 4096); i++) db.put(i, whole);
  });
}
await db.flushed;
const random = randomIntegers(1);
for await (const line of createInterface({ input: process.stdin })) {
  const changes = Number(line.split(" ")[1]);
  const started = performance.now();
  db.transactionSync(() => {
    for (let i = 0; i < changes; i++) {
      const key = random(count);
      const value = new Uint8Array(db.get(key) ?? whole);
      value[8] = i;
      db.put(key, value);
    }
  });
  await db.flushed;
  console.log((performance.now() - started) / 1000);
}
await db.close();
