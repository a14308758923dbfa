import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, it } from "vitest";
import { Folder } from "../../src/memory/folder.ts";
import { answerRequest } from "../../src/sendfile/server/answer.ts";
import { parseRanges } from "../../src/sendfile/server/http-range.ts";
import { createFileHandler, type FolderServer, serveFolder } from "../../src/sendfile/server/main.ts";
import { parsePath } from "../../src/sendfile/server/request-path.ts";
import { runtime } from "../support/run.ts";
import { cleanTemp, pattern, tempFolder } from "../support/temp.ts";
import { hashOf, long, times } from "./support.ts";

const large = pattern(3_000_000);
const SECRET = "the secret outside";
let outside = "";
let root = "";
let server: FolderServer;

beforeAll(async () => {
  outside = tempFolder();
  root = path.join(outside, "www");
  fs.mkdirSync(path.join(root, "sub", "deep"), { recursive: true });
  fs.mkdirSync(path.join(outside, "www-other"));
  fs.writeFileSync(path.join(outside, "secret.txt"), SECRET);
  fs.writeFileSync(path.join(outside, "www-other", "secret.txt"), SECRET);
  fs.writeFileSync(path.join(root, "page.html"), "<p>page</p>");
  fs.writeFileSync(path.join(root, "large.bin"), large);
  fs.writeFileSync(path.join(root, "empty"), "");
  fs.writeFileSync(path.join(root, "script.js"), "let a = 1;\n".repeat(100));
  fs.writeFileSync(path.join(root, "script.js.gz"), gzipSync("let a = 1;\n".repeat(100)));
  fs.writeFileSync(path.join(root, ".hidden"), SECRET);
  fs.writeFileSync(path.join(root, "sub", "index.html"), "<p>index</p>");
  fs.writeFileSync(path.join(root, "sub", "deep", "<img src=x onerror=alert(1)> & 'q'.txt"), "odd name");
  fs.symlinkSync("page.html", path.join(root, "inner-link"));
  fs.symlinkSync("../secret.txt", path.join(root, "outer-link"));
  fs.symlinkSync(path.join(outside, "secret.txt"), path.join(root, "absolute-link"));
  fs.symlinkSync("..", path.join(root, "up"));
  fs.symlinkSync("loop", path.join(root, "loop"));
  server = await serveFolder(root);
});

afterAll(async () => {
  await server.close();
  cleanTemp();
});

const get = (target: string, headers: Record<string, string> = {}, method = "GET"): Promise<Response> =>
  fetch(new URL(target, server.url), { headers, method, redirect: "manual" });

/** Sends raw bytes and returns everything that is answered until the connection ends or falls silent. */
function raw(request: string, port = server.port): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    let text = "";
    const done = (): void => {
      socket.destroy();
      resolve(text);
    };
    socket.setTimeout(5000, done);
    socket.on("data", (chunk: Uint8Array) => (text += Buffer.from(chunk).toString("latin1")));
    socket.on("error", done);
    socket.on("close", done);
    socket.write(request);
  });
}

const traversals = [
  "/../secret.txt",
  "/..%2fsecret.txt",
  "/%2e%2e/secret.txt",
  "/%2e%2e%2fsecret.txt",
  "/.%2e/secret.txt",
  "/..%5csecret.txt",
  "/..\\secret.txt",
  "/sub/../../secret.txt",
  "/sub/%2e%2e/%2e%2e/secret.txt",
  "/sub/deep/../../../secret.txt",
  "/..%c0%afsecret.txt",
  "/%c0%ae%c0%ae/secret.txt",
  "/..%252fsecret.txt",
  "/%252e%252e/secret.txt",
  "/..;/secret.txt",
  "/.../secret.txt",
  "//etc/passwd",
  "///etc/passwd",
  "/sub//deep/",
  "/./page.html",
  "/sub/./index.html",
  "/%00/page.html",
  "/page.html%00",
  "/page.html%00.txt",
  "/page.html%0d%0aSet-Cookie:%20a=b",
  "/%0aLocation:%20x",
  "/up/secret.txt",
  "/up/www/page.html",
  "/up",
  "/up/",
  "/outer-link",
  "/absolute-link",
  "/loop",
  "/../www-other/secret.txt",
  "/www/../../secret.txt",
  "/.hidden",
  "/%2ehidden",
  "/sub/.hidden",
  "/page.html/",
  "/page.html/x",
  "/%",
  "/%zz",
  "/%e0%a4%a",
  "/file:///etc/passwd",
  "/C:/windows/win.ini",
  "/proc/self/environ",
  "/\u0000",
  `/${"a".repeat(300)}`,
  `/${"a/".repeat(3000)}`,
  `/${"../".repeat(50)}etc/passwd`,
  `/${"..%2f".repeat(50)}etc/passwd`,
];

describe("the file server", () => {
  it("sends files with their types, small and large, and nothing for HEAD", async () => {
    const page = await get("/page.html");
    assert.equal(page.status, 200);
    assert.equal(page.headers.get("content-type"), "text/html; charset=utf-8");
    assert.equal(page.headers.get("x-content-type-options"), "nosniff");
    assert.equal(await page.text(), "<p>page</p>");
    const body = new Uint8Array(await (await get("/large.bin")).arrayBuffer());
    assert.equal(hashOf(body), hashOf(large));
    const head = await get("/large.bin", {}, "HEAD");
    assert.equal(head.headers.get("content-length"), "3000000");
    assert.equal((await head.arrayBuffer()).byteLength, 0);
    assert.equal((await get("/empty")).status, 200);
    assert.equal((await get("/inner-link")).status, 200);
    const post = await get("/page.html", {}, "POST");
    assert.equal(post.status, 405);
    assert.equal(post.headers.get("allow"), "GET, HEAD");
  });

  it("folders: index file, redirect, escaped listing without hidden names", async () => {
    assert.equal(await (await get("/sub/")).text(), "<p>index</p>");
    const moved = await get("/sub?x=1");
    assert.equal(moved.status, 301);
    assert.equal(moved.headers.get("location"), "/sub/");
    const listing = await (await get("/sub/deep/")).text();
    assert.ok(listing.includes("&lt;img src=x onerror=alert(1)&gt; &amp; &#39;q&#39;.txt"));
    assert.ok(!listing.includes("<img"));
    assert.ok(!(await (await get("/")).text()).includes(".hidden"));
  });

  it("preconditions: 304, 412, If-Range", async () => {
    const first = await get("/page.html");
    await first.text();
    const tag = first.headers.get("etag") ?? "";
    const date = first.headers.get("last-modified") ?? "";
    const status = async (headers: Record<string, string>): Promise<number> => {
      const response = await get("/page.html", headers);
      await response.arrayBuffer();
      return response.status;
    };
    assert.equal(await status({ "If-None-Match": tag }), 304);
    assert.equal(await status({ "If-None-Match": `"other", W/${tag}` }), 304);
    assert.equal(await status({ "If-None-Match": '"other"' }), 200);
    assert.equal(await status({ "If-Modified-Since": date }), 304);
    assert.equal(await status({ "If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT" }), 200);
    assert.equal(await status({ "If-Modified-Since": "nonsense" }), 200);
    assert.equal(await status({ "If-Match": '"other"' }), 412);
    assert.equal(await status({ "If-Match": tag }), 200);
    assert.equal(await status({ "If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT" }), 412);
    assert.equal(await status({ Range: "bytes=0-1", "If-Range": tag }), 206);
    assert.equal(await status({ Range: "bytes=0-1", "If-Range": date }), 206);
    assert.equal(await status({ Range: "bytes=0-1", "If-Range": '"other"' }), 200);
  });

  it("ranges: one, many, merged, outside", async () => {
    const one = await get("/large.bin", { Range: "bytes=1000000-2999999" });
    assert.equal(one.status, 206);
    assert.equal(one.headers.get("content-range"), "bytes 1000000-2999999/3000000");
    assert.equal(hashOf(new Uint8Array(await one.arrayBuffer())), hashOf(large.subarray(1_000_000)));
    const many = await get("/large.bin", { Range: "bytes=0-9, 1000000-1999999, -5" });
    assert.equal(many.status, 206);
    const type = many.headers.get("content-type") ?? "";
    assert.match(type, /^multipart\/byteranges; boundary=/);
    const body = Buffer.from(await many.arrayBuffer());
    assert.equal(String(body.length), many.headers.get("content-length"));
    const parts = body.toString("latin1").split(`--${type.split("boundary=")[1]}`);
    assert.equal(parts.length, 5);
    const second = parts[2] ?? "";
    assert.ok(second.includes("Content-Range: bytes 1000000-1999999/3000000"));
    const payload = Buffer.from(second.slice(second.indexOf("\r\n\r\n") + 4, -2), "latin1");
    assert.equal(hashOf(payload), hashOf(large.subarray(1_000_000, 2_000_000)));
    const merged = await get("/large.bin", { Range: "bytes=5-10,0-6,11-20" });
    assert.equal(merged.headers.get("content-range"), "bytes 0-20/3000000");
    await merged.arrayBuffer();
    const outsideOfIt = await get("/large.bin", { Range: "bytes=3000000-" });
    assert.equal(outsideOfIt.status, 416);
    assert.equal(outsideOfIt.headers.get("content-range"), "bytes */3000000");
    await outsideOfIt.arrayBuffer();
  });

  it("the range corpus", () => {
    const cases: [string, number, unknown][] = [
      ["bytes=0-0", 10, [{ start: 0, end: 0 }]],
      ["bytes=9-", 10, [{ start: 9, end: 9 }]],
      ["bytes=-3", 10, [{ start: 7, end: 9 }]],
      ["bytes=-30", 10, [{ start: 0, end: 9 }]],
      ["bytes=2-99999999999999", 10, [{ start: 2, end: 9 }]],
      ["BYTES = 1-2", 10, [{ start: 1, end: 2 }]],
      [
        "bytes=0-1,500-501",
        1000,
        [
          { start: 0, end: 1 },
          { start: 500, end: 501 },
        ],
      ],
      [
        "bytes=500-501,0-1",
        1000,
        [
          { start: 0, end: 1 },
          { start: 500, end: 501 },
        ],
      ],
      ["bytes=0-1,,3-4", 10, [{ start: 0, end: 4 }]],
      ["bytes=10-", 10, "none"],
      ["bytes=-0", 10, "none"],
      ["bytes=0-0", 0, "none"],
      ["bytes=10-12,3-4", 10, [{ start: 3, end: 4 }]],
      ["bytes=4-3", 10, "all"],
      ["bytes=a-b", 10, "all"],
      ["bytes=--1", 10, "all"],
      ["bytes=-", 10, "all"],
      ["bytes=", 10, "all"],
      ["bytes=1", 10, "all"],
      ["bytes=1-2-3", 10, "all"],
      ["bytes=0x1-2", 10, "all"],
      ["bytes=1.5-2", 10, "all"],
      ["bytes=1e1-", 10, "all"],
      ["bytes=99999999999999999999-", 10, "all"],
      ["items=0-1", 10, "all"],
      ["", 10, "all"],
      [`bytes=${Array.from({ length: 33 }, (_, i) => `${i}-${i}`).join(",")}`, 100, "all"],
      [`bytes=${"0-,".repeat(10_000)}`, 100, "all"],
    ];
    for (const [header, size, expected] of cases) assert.deepEqual(parseRanges(header, size), expected, header);
  });

  it("precompressed files go to who takes them", async () => {
    const answer = await raw(
      "GET /script.js HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0.5, br\r\nConnection: close\r\n\r\n",
    );
    assert.match(answer, /Content-Encoding: gzip/i);
    assert.match(answer, /Vary: Accept-Encoding/i);
    assert.match(answer, /Content-Type: text\/javascript/i);
    const body = Buffer.from(answer.slice(answer.indexOf("\r\n\r\n") + 4), "latin1");
    assert.equal(gunzipSync(body).toString(), "let a = 1;\n".repeat(100));
    const plain = await raw(
      "GET /script.js HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0\r\nConnection: close\r\n\r\n",
    );
    assert.doesNotMatch(plain, /Content-Encoding/i);
  });

  it("the traversal corpus: nothing outside, nothing hidden", async () => {
    for (const target of traversals) {
      const answer = await raw(`GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
      assert.ok(!answer.includes(SECRET), target);
      assert.ok(!answer.includes("root:"), target);
      assert.doesNotMatch(answer, /^set-cookie:/im, target);
      assert.doesNotMatch(answer, /^HTTP\/1\.1 200/, target);
      assert.doesNotMatch(answer, /^location: *(\/\/|http)/im, target);
    }
  });

  it("keep-alive: several answers on one connection, in order", async () => {
    const one = "GET /page.html HTTP/1.1\r\nHost: a\r\n\r\n";
    const big = "GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n";
    const last = "GET /page.html HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    const answer = await raw(one + big + last);
    assert.equal(answer.split("HTTP/1.1 200").length - 1, 3);
    assert.ok(answer.includes(Buffer.from(large.subarray(0, 3000)).toString("latin1")));
    assert.ok(answer.endsWith("<p>page</p>"));
  });

  it("mutated requests never end the server, and never get what is outside", async () => {
    let seed = Number(globalThis.process.env.OUTCORE_SEED ?? 1) >>> 0 || 1;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const folder = new Folder(root);
    const bits = [
      "..",
      "%2e",
      "%2f",
      "/",
      "\\",
      "%00",
      "up",
      "secret.txt",
      "sub",
      "outer-link",
      "%0d%0a",
      ".",
      "?",
      "#",
      "%",
      "é",
      "page.html",
    ];
    const ranges = ["bytes=", "0-", "-", ",", "5", "99999999999999999999", "a", " ", "-1", "0-0,"];
    const pick = (from: readonly string[], count: number): string =>
      Array.from({ length: random(count) }, () => from[random(from.length)]).join("");
    try {
      for (let i = 0; i < times(100_000); i++) {
        const target = `${random(10) > 0 ? "/" : ""}${pick(bits, 7)}`;
        const range = random(2) > 0 ? pick(ranges, 6) : undefined;
        const header = (name: string): string | undefined =>
          name === "range"
            ? range
            : name.startsWith("if-") && random(4) === 0
              ? pick(['"', "W/", "*", "x", ","], 5)
              : undefined;
        const method = ["GET", "HEAD", "PUT", "get"][random(4)] ?? "GET";
        const answer = answerRequest(folder, { method, target, header }, { listing: true, precompressed: true });
        answer.file?.close();
        assert.ok([200, 206, 301, 304, 404, 405, 412, 416].includes(answer.status), target);
        assert.ok(answer.file === undefined || !/secret|hidden/.test(answer.path ?? ""), target);
        for (const value of Object.values(answer.headers)) assert.doesNotMatch(value, /[\r\n\0]/);
        assert.doesNotMatch(answer.headers.Location ?? "", /^\/\//);
      }
    } finally {
      folder.close();
    }
    /* Over connections of their own a fiftieth is what the suite's time allows. */
    let left = long ? 100_000 : 2_000;
    const sendMutated = async (): Promise<void> => {
      while (left-- > 0) {
        const request = Buffer.from(
          "GET /page.html HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nConnection: close\r\n\r\n",
        );
        for (let n = random(6); n >= 0; n--) request[random(request.length - 4)] = random(256);
        const socket = net.connect(server.port, "127.0.0.1");
        let answer = "";
        socket.on("error", () => undefined);
        socket.on("data", (chunk: Uint8Array) => (answer += Buffer.from(chunk).toString("latin1")));
        await new Promise((resolve) => {
          socket.on("close", resolve);
          socket.setTimeout(1000, () => socket.destroy());
          socket.end(request);
        });
        assert.ok(!answer.includes(SECRET), request.toString("latin1"));
        assert.match(answer, /^$|^HTTP\/1\.1 [2345]\d\d /, request.toString("latin1"));
      }
    };
    await Promise.all(Array.from({ length: 16 }, sendMutated));
    assert.equal(await (await get("/page.html")).text(), "<p>page</p>");
  }, 300_000);

  it("paths are taken apart as written", () => {
    assert.deepEqual(parsePath("/a%20b/c?x#y", false), { names: ["a b", "c"], folder: false });
    assert.deepEqual(parsePath("/", false), { names: [], folder: true });
    assert.deepEqual(parsePath("/.well-known/", true), { names: [".well-known"], folder: true });
    for (const target of ["", "a", "*", "http://a/b", "/.well-known/x"])
      assert.equal(parsePath(target, false), undefined);
  });

  it("the runtime's own server gets the same answers", async () => {
    const handler = createFileHandler(root, { precompressed: true });
    let url = "";
    let stop: () => unknown = () => undefined;
    if (runtime === "bun") {
      const bun = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: handler.fetch });
      url = String(bun.url);
      stop = () => bun.stop(true);
    } else if (runtime === "deno") {
      const deno = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => undefined }, handler.fetch);
      url = `http://127.0.0.1:${(deno.addr as Deno.NetAddr).port}/`;
      stop = () => deno.shutdown();
    }
    const ask = (target: string, headers: Record<string, string> = {}, method = "GET"): Promise<Response> => {
      const init = { headers, method, redirect: "manual" as const };
      if (url === "") return Promise.resolve(handler.fetch(new Request(`http://a${target}`, init)));
      return fetch(new URL(target, url), init);
    };
    try {
      const bytes = async (response: Promise<Response>): Promise<Uint8Array> =>
        new Uint8Array(await (await response).arrayBuffer());
      assert.equal(hashOf(await bytes(ask("/large.bin"))), hashOf(large));
      assert.equal(hashOf(await bytes(ask("/page.html"))), hashOf(new TextEncoder().encode("<p>page</p>")));
      assert.equal(
        hashOf(await bytes(ask("/large.bin", { Range: "bytes=7-2999990" }))),
        hashOf(large.subarray(7, 2_999_991)),
      );
      assert.equal(hashOf(await bytes(ask("/large.bin", { Range: "bytes=-100" }))), hashOf(large.subarray(2_999_900)));
      const many = await ask("/large.bin", { Range: "bytes=0-999999,2000000-2000009" });
      assert.equal(many.status, 206);
      assert.ok((await many.arrayBuffer()).byteLength > 1_000_010);
      const head = await ask("/large.bin", {}, "HEAD");
      assert.equal(head.headers.get("content-length"), "3000000");
      assert.equal((await ask("/none")).status, 404);
      assert.equal((await ask("/outer-link")).status, 404);
    } finally {
      await stop();
      handler.close();
    }
  });

  it("closing lets an answer that has begun end", async () => {
    const own = await serveFolder(root);
    const answer = raw("GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", own.port);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await own.close();
    assert.ok((await answer).length > large.length);
    await assert.rejects(fetch(own.url));
  });

  it("ends connections that send their headers too slowly, or none", async () => {
    const own = await serveFolder(root, { headersTimeout: 300, idleTimeout: 300 });
    const until = (first: string, drip: string): Promise<string> =>
      new Promise((resolve) => {
        const socket = net.connect(own.port, "127.0.0.1");
        const timer = setInterval(() => drip && socket.write(drip), 50);
        let text = "";
        socket.on("data", (chunk: Uint8Array) => (text += Buffer.from(chunk).toString("latin1")));
        socket.on("error", () => undefined);
        socket.on("close", () => {
          clearInterval(timer);
          resolve(text);
        });
        socket.write(first);
      });
    try {
      const [slow, idle] = await Promise.all([
        until("GET /page.html HTTP/1.1\r\nHost: a\r\n", "X-Slow: 1\r\n"),
        until("GET /page.html HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        until("", ""),
      ]);
      assert.doesNotMatch(slow, /^HTTP\/1\.1 200/);
      assert.match(idle, /^HTTP\/1\.1 200/);
      assert.ok(idle.endsWith("<p>page</p>"));
    } finally {
      await own.close(100);
    }
    await assert.rejects(serveFolder(root, { idleTimeout: 0 }), { name: "InvalidArgumentError" });
  });
});
