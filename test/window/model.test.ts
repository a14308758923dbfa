import assert from "node:assert/strict";
import { appendFileSync, readFileSync } from "node:fs";
import { describe, it } from "vitest";
import {
  type Lease,
  OutOfRangeError,
  type PolicyChoice,
  type WindowCursor,
  type WindowFile,
  WindowManager,
} from "../../src/window/main.ts";
import { cleanTempAfterEach, tempFile } from "../support/temp.ts";
import { long, PAGE, Random, seed } from "./support.ts";

const LARGEST = 2 ** 20;
const types = [
  ["u8", 1, "getUint8"],
  ["i16", 2, "getInt16"],
  ["u32", 4, "getUint32"],
  ["f32", 4, "getFloat32"],
  ["i64", 8, "getBigInt64"],
  ["f64", 8, "getFloat64"],
] as const;

/** A piece of the file that is still shown: what it shows must be the file's present bytes. */
interface Held {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly lease?: Lease;
}

/** A file, a cursor on the same file, and a plain array that has what both must show. */
class Comparison {
  readonly #random: Random;
  readonly #path: string;
  readonly #manager: WindowManager;
  readonly #file: WindowFile;
  readonly #cursor: WindowCursor;
  #store: Uint8Array = new Uint8Array(LARGEST);
  #size: number;
  #leases: Held[] = [];
  #views: Held[] = [];

  constructor(path: string, size: number, policy: PolicyChoice, random: Random) {
    this.#random = random;
    this.#path = path;
    this.#size = size;
    this.#store.set(readFileSync(path));
    this.#manager = new WindowManager({ windowSize: PAGE, budget: random.between(4, 24) * PAGE, policy });
    this.#file = this.#manager.open(path, { mode: "r+" });
    this.#cursor = this.#manager.cursor(path);
  }

  get #model(): Uint8Array {
    return this.#store.subarray(0, this.#size);
  }

  #same(found: Uint8Array, offset: number): void {
    const wanted = this.#model.subarray(offset, offset + found.length);
    assert.equal(found.length, wanted.length);
    assert.equal(Buffer.compare(found, wanted), 0, `bytes at ${offset}`);
  }

  /** A range within the file, mostly short. */
  #range(): [offset: number, length: number] {
    const offset = this.#random.below(this.#size);
    const length = this.#random.below(this.#random.pick([9, 100, PAGE, 5 * PAGE]));
    return [offset, Math.min(length, this.#size - offset)];
  }

  readonly operations: Record<string, () => void> = {
    read: () => {
      const [offset, length] = this.#range();
      this.#same(this.#file.read(offset, length), offset);
    },
    "read the same place": () => {
      const target = new Uint8Array(50);
      for (let round = 0; round < 12; round++) {
        this.#file.readInto(Math.min(100 * round, this.#size - 50), target);
        this.#same(target, Math.min(100 * round, this.#size - 50));
      }
    },
    "read in order": () => {
      let [offset] = this.#range();
      const target = new Uint8Array(700);
      for (let round = 0; round < 10 && offset + 700 <= this.#size; round++, offset += 700) {
        this.#file.readInto(offset, target);
        this.#same(target, offset);
      }
    },
    "read beyond the end": () => {
      const offset = this.#size - this.#random.below(50);
      assert.throws(() => this.#file.read(offset, this.#size - offset + 1), OutOfRangeError);
      assert.throws(() => this.#file.lease(offset, this.#size - offset + 1), OutOfRangeError);
    },
    typed: () => {
      for (let round = 0; round < 8; round++) {
        const [name, bytes, get] = this.#random.pick(types);
        const offset = this.#random.below(this.#size - bytes + 1);
        const little = this.#random.next() < 0.5;
        const wanted = new DataView(this.#store.buffer, 0, this.#size)[get](offset, little);
        assert.ok(Object.is(this.#file[name](offset, little), wanted), `${name} at ${offset}`);
      }
    },
    lease: () => {
      if (this.#leases.length >= 4) this.operations.release?.();
      const [offset, length] = this.#range();
      const lease = this.#file.lease(offset, length);
      this.#same(lease.bytes, offset);
      this.#leases.push({ offset, bytes: lease.bytes, lease });
    },
    release: () => {
      const [held] = this.#leases.splice(this.#random.below(this.#leases.length), 1);
      if (held === undefined) return;
      this.#same(held.bytes, held.offset);
      held.lease?.release();
      this.#same(held.bytes, held.offset);
      this.#views.push(held);
    },
    view: () => {
      const [offset, length] = this.#range();
      this.#views.push({ offset, bytes: this.#file.view(offset, length) });
      if (this.#views.length > 10) this.#views.shift();
    },
    "look at a view": () => {
      if (this.#views.length === 0) return;
      const { offset, bytes } = this.#random.pick(this.#views);
      this.#same(bytes, offset);
    },
    write: () => {
      const [offset, length] = this.#range();
      const bytes = this.#random.bytes(length);
      this.#file.write(offset, bytes);
      this.#store.set(bytes, offset);
    },
    "write through a lease": () => {
      const held = this.#leases.at(-1);
      if (held === undefined) return;
      const bytes = this.#random.bytes(held.bytes.length);
      held.bytes.set(bytes);
      this.#store.set(bytes, held.offset);
    },
    "write beyond the end": () => {
      const bytes = this.#random.bytes(this.#random.below(2000));
      const offset = this.#size + this.#random.between(-100, 100);
      if (offset + bytes.length > LARGEST) return;
      this.#file.write(offset, bytes);
      this.#store.set(bytes, offset);
      if (bytes.length > 0) this.#size = Math.max(this.#size, offset + bytes.length);
      assert.equal(this.#file.size, this.#size);
    },
    "growth by somebody else": () => {
      const bytes = this.#random.bytes(this.#random.below(3000));
      if (this.#size + bytes.length > LARGEST) return;
      appendFileSync(this.#path, bytes);
      this.#store.set(bytes, this.#size);
      this.#size += bytes.length;
      if (this.#random.next() < 0.5) assert.equal(this.#file.refresh(), this.#size);
      else if (this.#size > 8) this.#same(this.#file.read(this.#size - 8, 8), this.#size - 8);
    },
    flush: () => this.#file.flush(),
    collect: () => {
      this.#manager.collect();
      if (this.#leases.length === 0 && !this.#cursor.isValid) assert.equal(this.#manager.stats.windows, 0);
    },
    "prefetch and advise": () => {
      const [offset, length] = this.#range();
      this.#file.prefetch(offset, length);
      this.#file.advise(this.#random.pick(["random", "sequential", "normal"] as const), offset, length);
    },
    cursor: () => {
      const [offset, length] = this.#range();
      this.#cursor.use(offset, length + 1);
      this.#same(this.#cursor.bytes(), this.#cursor.begin);
      assert.equal(this.#cursor.begin, offset);
      assert.equal(this.#cursor.end, Math.min(offset + length + 1, this.#size));
      if (this.#random.next() < 0.5) this.#cursor.unuse();
    },
    buffer: () => {
      const [offset, length] = this.#range();
      const buffer = this.#cursor.buffer(offset);
      this.#same(buffer.slice(0, length), offset);
      if (length > 0) assert.equal(buffer.at(length - 1), this.#model[offset + length - 1]);
      buffer.close();
    },
    chunks: () => {
      const [offset, length] = this.#range();
      let at = offset;
      for (const chunk of this.#file.chunks({ from: offset, to: offset + length, size: 3000 })) {
        this.#same(chunk, at);
        at += chunk.length;
      }
      assert.equal(at, offset + length);
    },
    indexOf: () => {
      const [offset] = this.#range();
      const needle = this.#model.slice(offset, offset + 6);
      const from = Math.max(0, offset - this.#random.below(3 * PAGE));
      const model = Buffer.from(this.#store.buffer, 0, this.#size);
      assert.equal(this.#file.indexOf(needle, from), model.indexOf(needle, from));
    },
  };

  /** What must hold whenever nothing is going on. */
  #invariants(): void {
    const { residentBytes, windows, pinnedBytes } = this.#manager.stats;
    assert.ok(residentBytes >= 0 && windows >= 0 && pinnedBytes >= 0);
    assert.ok(pinnedBytes <= residentBytes);
    if (this.#leases.length > 0 || this.#cursor.isValid) return;
    assert.equal(pinnedBytes, 0);
    assert.ok(residentBytes <= this.#manager.residency.limits.budget);
  }

  run(count: number): void {
    const names = Object.keys(this.operations);
    for (let number = 0; number < count; number++) {
      const name = this.#random.pick(names);
      try {
        this.operations[name]?.();
        this.#invariants();
      } catch (error) {
        throw new Error(`operation ${number} (${name}), OUTCORE_SEED=${seed}: ${(error as Error).message}`, {
          cause: error,
        });
      }
    }
    for (const { offset, bytes } of [...this.#leases, ...this.#views]) this.#same(bytes, offset);
    this.#manager.close();
    for (const { bytes } of [...this.#leases, ...this.#views]) assert.equal(bytes.length, 0);
    for (const { lease } of this.#leases) lease?.release();
    assert.equal(Buffer.compare(readFileSync(this.#path), this.#model), 0);
    assert.equal(this.#manager.stats.residentBytes, 0);
    assert.equal(this.#manager.stats.files, 0);
  }
}

describe("windows against a plain array", () => {
  cleanTempAfterEach();

  for (const policy of ["sieve", "lru"] as const) {
    it(`random operations show what a Uint8Array shows (${policy})`, () => {
      const random = new Random(seed + (policy === "lru" ? 1 : 0));
      const size = random.between(1, 300_000);
      new Comparison(tempFile(random.bytes(size)), size, policy, random).run(long ? 50_000 : 5000);
    });
  }
});
