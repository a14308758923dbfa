import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { describe, it } from "vitest";
import { openWindows, type WindowFile, type WindowManagerOptions } from "../../src/window/main.ts";
import { cleanTempAfterEach, pattern, tempFile } from "../support/temp.ts";
import { failure, long, PAGE, Random, seed } from "./support.ts";

/** What `lines` and `indexOf` read at once. */
const CHUNK = 2 ** 18;
const encoder = new TextEncoder();

function plainLines(bytes: Uint8Array): string[] {
  const lines = new TextDecoder().decode(bytes).split("\n");
  const last = lines.pop() as string;
  const ended = lines.map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  return last === "" ? ended : [...ended, last];
}

function join(parts: Iterable<Uint8Array>): Uint8Array {
  return Buffer.concat([...parts].map((part) => part.slice()));
}

/** Text with everything that can go wrong at the border of two chunks. */
function oddText(random: Random, size: number): Uint8Array {
  const pieces = ["a", "word ", "é", "漢字", "😀", "\u{FEFF}", "\r", "\0", "\u2028"].map((text) =>
    encoder.encode(text),
  );
  pieces.push(new Uint8Array([0xff]), new Uint8Array([0xc3]), new Uint8Array([0xf0, 0x9f]));
  const ends = ["\n", "\r\n", "\n\n", "\r\r\n"].map((text) => encoder.encode(text));
  const parts: Uint8Array[] = [];
  for (let length = 0; length < size; ) {
    const part = random.next() < 0.08 ? random.pick(ends) : random.pick(pieces);
    parts.push(part);
    length += part.length;
  }
  return Buffer.concat(parts);
}

describe("reading in order", () => {
  cleanTempAfterEach();

  function withFile(
    content: Uint8Array | string,
    body: (file: WindowFile, path: string) => void,
    options: WindowManagerOptions = { windowSize: 4 * PAGE, budget: 40 * PAGE },
  ): void {
    const path = tempFile(content);
    const file = openWindows(path, options);
    try {
      body(file, path);
    } finally {
      file.close();
    }
  }

  it("lines are those of the whole text: LF, CRLF, a lone CR, byte order marks, invalid UTF-8, borders anywhere", () => {
    const random = new Random(seed);
    for (let round = 0; round < (long ? 40 : 4); round++) {
      const text = oddText(random, 2.5 * CHUNK + random.below(CHUNK));
      const content = round % 2 === 0 ? text : Buffer.concat([encoder.encode("\u{FEFF}"), text]);
      const wanted = plainLines(content);
      for (const budget of [PAGE, 40 * PAGE, 2000 * PAGE]) {
        withFile(
          content,
          (file) => {
            let number = 0;
            for (const line of file.lines()) {
              if (line !== wanted[number]) assert.equal(line, wanted[number], `line ${number}, seed ${seed}`);
              number++;
            }
            assert.equal(number, wanted.length);
          },
          { windowSize: PAGE, budget },
        );
      }
    }
  });

  it("a line may be longer than a chunk, up to a limit", () => {
    const content = `${"ä".repeat(CHUNK)}\nshort\n${"x".repeat(3 * CHUNK)}`;
    withFile(content, (file) => {
      assert.deepEqual([...file.lines()], content.split("\n"));
      assert.throws(() => [...file.lines({ longest: 2 * CHUNK })], failure("INVALID_ARGUMENT"));
      assert.throws(() => [...file.lines({ longest: -1 })], failure("INVALID_ARGUMENT"));
    });
  });

  it("small texts have the lines that one expects", () => {
    const cases: [string, string[]][] = [
      ["", []],
      ["\n", [""]],
      ["a", ["a"]],
      ["a\n", ["a"]],
      ["a\n\n", ["a", ""]],
      ["a\r\nb", ["a", "b"]],
      ["a\r\n\r\n", ["a", ""]],
      ["a\rb\n", ["a\rb"]],
      ["a\r", ["a\r"]],
      ["\u{FEFF}a\n\u{FEFF}b", ["a", "\u{FEFF}b"]],
      ["\u{FEFF}", [""]],
    ];
    for (const [text, wanted] of cases) withFile(text, (file) => assert.deepEqual([...file.lines()], wanted));
  });

  it("lines can begin anywhere, and a byte order mark is one at the file's start only", () => {
    withFile("\u{FEFF}one\n\u{FEFF}two\nthree", (file) => {
      assert.deepEqual([...file.lines({ from: 7 })], ["\u{FEFF}two", "three"]);
      assert.deepEqual([...file.lines({ from: 14 })], ["three"]);
      assert.deepEqual([...file.lines({ from: file.size })], []);
      assert.throws(() => [...file.lines({ from: file.size + 1 })], failure("OUT_OF_RANGE"));
      assert.throws(() => [...file.lines({ from: 1.5 })], failure("INVALID_ARGUMENT"));
    });
  });

  it("an AbortSignal ends lines and chunks with its reason, within a chunk too", () => {
    withFile("line\n".repeat(1000), (file) => {
      const reason = new Error("enough");
      const lines = new AbortController();
      let count = 0;
      const read = (): void => {
        for (const line of file.lines({ signal: lines.signal })) {
          assert.equal(line, "line");
          if (++count === 10) lines.abort(reason);
        }
      };
      assert.throws(read, (error) => error === reason);
      assert.equal(count, 10);
      const chunks = file.chunks({ size: 100, signal: lines.signal });
      assert.throws(
        () => chunks.next(),
        (error) => error === reason,
      );
      assert.throws(
        () => [...file.lines({ signal: AbortSignal.abort(reason) })],
        (error) => error === reason,
      );
    });
  });

  it("chunks are the file's bytes in order, of the size asked for", () => {
    const random = new Random(seed);
    const data = random.bytes(200_000);
    for (const budget of [4, 12, 400]) {
      withFile(
        data,
        (file) => {
          for (const size of [1000, PAGE, 3 * PAGE + 1, 10 * PAGE, 2 ** 20]) {
            const sizes: number[] = [];
            const parts: Uint8Array[] = [];
            for (const chunk of file.chunks({ size })) {
              sizes.push(chunk.length);
              parts.push(chunk.slice());
            }
            assert.ok(sizes.slice(0, -1).every((each) => each === size));
            assert.equal(Buffer.compare(Buffer.concat(parts), data), 0);
          }
          const from = random.below(data.length);
          const to = from + random.below(data.length - from);
          assert.equal(Buffer.compare(join(file.chunks({ from, to, size: 777 })), data.subarray(from, to)), 0);
        },
        { windowSize: 4 * PAGE, budget: budget * PAGE },
      );
    }
  });

  it("chunks refuse ranges that are none, and see growth up to the call", () => {
    withFile(pattern(1000), (file, path) => {
      for (const options of [{ size: 0 }, { size: -1 }, { size: 0.5 }, { from: -1 }, { to: Number.NaN }])
        assert.throws(() => [...file.chunks(options)], failure("INVALID_ARGUMENT"), JSON.stringify(options));
      assert.throws(() => [...file.chunks({ from: 1001 })], failure("OUT_OF_RANGE"));
      assert.throws(() => [...file.chunks({ to: 1001 })], failure("OUT_OF_RANGE"));
      assert.equal(join(file.chunks({ from: 10, to: 5 })).length, 0);
      appendFileSync(path, pattern(500));
      assert.equal(join(file.chunks()).length, 1500);
    });
  });

  it("a scan left half way and two scans at once show the right bytes", () => {
    const data = pattern(60 * PAGE);
    withFile(
      data,
      (file) => {
        for (const chunk of file.chunks({ size: PAGE })) {
          assert.equal(chunk[0], 1);
          break;
        }
        const first = file.chunks({ size: 1000 });
        const second = file.chunks({ size: 1000, from: 20 * PAGE });
        for (let at = 0; at < 20 * PAGE; at += 1000) {
          const one = first.next().value as Uint8Array;
          assert.deepEqual(one, data.subarray(at, at + 1000));
          const two = second.next().value as Uint8Array;
          assert.deepEqual(two, data.subarray(20 * PAGE + at, 20 * PAGE + at + 1000));
        }
      },
      { windowSize: PAGE, budget: 4 * PAGE },
    );
  });

  it("indexOf finds what a plain search finds, across windows and chunks too", () => {
    const random = new Random(seed);
    const data = new Uint8Array(3 * CHUNK + 500);
    for (let i = 0; i < data.length; i++) data[i] = 97 + random.below(2);
    withFile(data, (file) => {
      const plain = Buffer.from(data.buffer);
      for (let round = 0; round < (long ? 2000 : 150); round++) {
        const near = random.pick([CHUNK, 2 * CHUNK, 4 * PAGE, 8 * PAGE, data.length - 40]);
        const at = near - random.between(1, 30);
        const needle = data.slice(at, at + random.between(18, 60));
        if (random.next() < 0.3) needle[random.below(needle.length)] = 99;
        const from = random.pick([0, at - 1000, at, at + 1, near]);
        assert.equal(
          file.indexOf(needle, from),
          plain.indexOf(needle, from),
          `near ${near}, from ${from}, seed ${seed}`,
        );
      }
    });
  });

  it("indexOf finds needles that lie across every border, the last bytes, and one longer than a chunk", () => {
    const data = new Uint8Array(2 * CHUNK + 10 * PAGE);
    const needle = encoder.encode("näedle");
    for (let shift = 0; shift <= needle.length; shift++) {
      const at = CHUNK - shift;
      data.fill(0);
      data.set(needle, at);
      data.set(needle, data.length - needle.length);
      withFile(data, (file) => {
        assert.equal(file.indexOf("näedle"), at);
        assert.equal(file.indexOf(needle, at), at);
        assert.equal(file.indexOf(needle, at + 1), data.length - needle.length);
        assert.equal(file.indexOf(needle, data.length - needle.length + 1), -1);
      });
    }
    const random = new Random(3).bytes(2 * CHUNK);
    withFile(random, (file) => {
      assert.equal(file.indexOf(random.slice(100, CHUNK + 900)), 100);
      assert.equal(file.indexOf(random), 0);
      assert.equal(file.indexOf(Buffer.concat([random, new Uint8Array(1)])), -1);
    });
  });

  it("indexOf of nothing, of something absent, and from bad places", () => {
    withFile("some text", (file, path) => {
      assert.equal(file.indexOf(""), 0);
      assert.equal(file.indexOf("", 4), 4);
      assert.equal(file.indexOf("", 100), 9);
      assert.equal(file.indexOf("absent"), -1);
      assert.equal(file.indexOf("text", 100), -1);
      for (const from of [-1, 0.5, Number.NaN, 2 ** 53])
        assert.throws(() => file.indexOf("t", from), failure("INVALID_ARGUMENT"));
      appendFileSync(path, " that grows");
      assert.equal(file.indexOf("grows"), 15);
    });
  });
});
