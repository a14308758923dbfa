import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "vitest";
import { ValueCoder } from "../../src/chest/codec/codec.ts";
import { decodeKey, KeyBytes } from "../../src/chest/keys.ts";
import { Chest, CodecError, type CodecName } from "../../src/chest/main.ts";

const ROUNDS = process.env.OUTCORE_LONG ? 100_000 : 10_000;
const LARGEST = 2 ** 24;

const cyclic: { self?: unknown; list: unknown[] } = { list: [] };
cyclic.self = cyclic;
cyclic.list.push(cyclic.list, cyclic);

const values: unknown[] = [
  undefined,
  null,
  true,
  0,
  -0,
  1,
  -1,
  2 ** 53 - 1,
  -(2 ** 53),
  0.1,
  Number.NaN,
  Number.NEGATIVE_INFINITY,
  0n,
  -(2n ** 200n),
  "",
  "ascii",
  "\u00fcn\u00efc\u00f6de \u{1f600}",
  "\ud800lone",
  "x".repeat(1000),
  new Date(0),
  /a+b/giu,
  [1, [2, [3]], { a: undefined }],
  { a: 1, "b c": { d: [] }, ["__proto__"]: 5 },
  new Map<unknown, unknown>([[{ k: 1 }, new Set([1, "2", [3]])]]),
  new Uint8Array([1, 2, 3]).buffer,
  new Float64Array([1.5, Number.NaN]),
  new BigInt64Array([-1n]),
  { inner: new Uint16Array([1, 65535]), view: new DataView(new ArrayBuffer(3)) },
  Object("boxed"),
  Object(5n),
  cyclic,
];

describe("codecs", () => {
  it("structured gives back what structuredClone would", () => {
    const coder = new ValueCoder("structured", "none", LARGEST);
    for (const value of values) {
      coder.encode(value);
      assert.deepEqual(coder.decode(coder.format, coder.bytes, 0, coder.length), value);
    }
    /* Node 22 does not find two invalid dates equal. */
    coder.encode(new Date(Number.NaN));
    assert.equal(String(coder.decode(coder.format, coder.bytes, 0, coder.length)), "Invalid Date");
    // biome-ignore lint/suspicious/noSparseArray: holes are kept
    const sparse = [1, , 3];
    coder.encode(sparse);
    const back = coder.decode(coder.format, coder.bytes, 0, coder.length) as unknown[];
    assert.ok(!(1 in back) && back.length === 3);
    const error = new RangeError("why", { cause: [1] });
    coder.encode(error);
    const again = coder.decode(coder.format, coder.bytes, 0, coder.length) as RangeError;
    assert.ok(again instanceof RangeError && again.message === "why");
    assert.deepEqual(again.cause, [1]);
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
  });

  it("what cannot be cloned is refused", () => {
    const coder = new ValueCoder("structured", "none", LARGEST);
    let deep: unknown = 1;
    for (let i = 0; i < 5000; i++) deep = [deep];
    for (const bad of [() => 1, Symbol("s"), { f: () => 1 }, Promise.resolve(), new WeakMap(), deep])
      assert.throws(() => coder.encode(bad), CodecError);
  });

  it("json, msgpack and bytes round trip, compressed or not", () => {
    const plain = { a: [1, -5, 2 ** 40, 0.5, "text".repeat(50), null, true], b: { c: "ü" } };
    for (const compression of ["none", "gzip", "zstd"] as const)
      for (const codec of ["json", "msgpack", "structured"] as CodecName[]) {
        const coder = new ValueCoder(codec, compression, LARGEST);
        coder.encode(plain);
        assert.deepEqual(coder.decode(coder.format, coder.bytes, 0, coder.length), plain);
      }
    const bytes = new ValueCoder("bytes", "zstd", LARGEST);
    bytes.encode(new Uint8Array(5000).fill(7));
    assert.ok(bytes.length < 100);
    assert.deepEqual(bytes.decode(bytes.format, bytes.bytes, 0, bytes.length), new Uint8Array(5000).fill(7));
    assert.throws(() => bytes.encode("text"), CodecError);
    const date = new ValueCoder("msgpack", "none", LARGEST);
    for (const value of [new Date(1234567890123), new Map([[1, 2]]), new Uint8Array(300), 2n ** 63n, -(2 ** 40)]) {
      date.encode(value);
      assert.deepEqual(date.decode(date.format, date.bytes, 0, date.length), value);
    }
  });

  it("hostile bytes are an error and nothing else, whatever they are", () => {
    let state = Number(process.env.OUTCORE_SEED ?? 1) | 1;
    const random = (below: number): number => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % below;
    };
    const coder = new ValueCoder("structured", "none", 2 ** 20);
    const samples: { format: number; bytes: Uint8Array }[] = [];
    for (const codec of ["structured", "json", "msgpack"] as const)
      for (const compression of ["none", "gzip", "zstd"] as const) {
        const maker = new ValueCoder(codec, compression, LARGEST);
        maker.encode({ a: [1, "two", { three: [3.5, null] }], text: "t".repeat(100), ["__proto__"]: { polluted: 1 } });
        samples.push({ format: maker.format, bytes: maker.bytes.slice(0, maker.length) });
      }
    for (let round = 0; round < ROUNDS; round++) {
      const sample = samples[random(samples.length)]!;
      const bytes = sample.bytes.slice(0, random(8) === 0 ? random(sample.bytes.length) : sample.bytes.length);
      for (let i = random(4) + 1; i > 0 && bytes.length > 0; i--) bytes[random(bytes.length)] = random(256);
      try {
        coder.decode(random(16) === 0 ? random(256) : sample.format, bytes, 0, bytes.length);
      } catch (error) {
        assert.ok(error instanceof CodecError, String(error));
      }
    }
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
    const bomb = new ValueCoder("bytes", "zstd", 2 ** 27);
    bomb.encode(new Uint8Array(2 ** 26));
    assert.throws(() => coder.decode(bomb.format, bomb.bytes, 0, bomb.length), CodecError);
  });

  it("keys round trip, and hostile ones are refused", () => {
    const key = new KeyBytes(1);
    for (const each of [1, -1, 0.5, "", "ü", "\ud800", 5n, -5n, null, undefined, true, [1, ["2", []]], new Date(5)]) {
      key.set(each);
      assert.deepEqual(decodeKey(key.bytes, 0, key.length), each);
    }
    for (const bad of [[], [99], [13, 5], [13, 200, 200, 200, 200, 200, 200, 200], [6, 1], [9, 255], [4]])
      assert.throws(() => decodeKey(new Uint8Array(bad), 0, bad.length), { code: "INVALID_ARGUMENT" });
  });

  it("a user's own codec", () => {
    const codec = {
      encode: (value: number): Uint8Array => new TextEncoder().encode(value.toString(36)),
      decode: (bytes: Uint8Array): number => Number.parseInt(new TextDecoder().decode(bytes), 36),
    };
    const chest = new Chest<string, number>({ codec, budget: 0 });
    chest.set("a", 123456789);
    assert.equal(chest.get("a"), 123456789);
    chest.close();
  });
});
