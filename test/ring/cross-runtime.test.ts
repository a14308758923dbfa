import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { collectRings, createRing, openRing } from "../../src/ring/main.ts";
import { freshName, here, peer, prefix } from "./helpers.ts";

const schema = { number: { type: "u32" }, words: { type: "u32", capacity: 1024 } } as const;
/* The same pairs of words in each runtime: Bun to Deno, Deno to Node, Node to Bun, and the other way round. */
const others = (
  {
    bun: [
      ["the next runtime", "deno"],
      ["the one after", "node24"],
    ],
    deno: [
      ["the next runtime", "node24"],
      ["the one after", "bun"],
    ],
    node: [
      ["the next runtime", "bun"],
      ["the one after", "deno"],
    ],
  } as const
)[here().startsWith("node") ? "node" : (here() as "bun" | "deno")];

describe("rings between runtimes", () => {
  for (const [words, other] of others)
    for (const wire of ["native", "shmx"] as const) {
      it(`${words} serves wire ${wire}, and is read here`, async () => {
        const name = freshName("served");
        const server = peer(other, "serve", name, wire, "12", "8");
        assert.equal(await server.line(), "ready");
        const queue = { delivery: "queue", history: 3 } as const;
        const client = openRing(name, { schema, keepAlive: true, ...(wire === "native" ? queue : {}) });
        let last = 0;
        let frames = 0;
        for await (const frame of client.frames()) {
          assert.ok(frame.id > last);
          last = frame.id;
          frames++;
          assert.equal(frame.get("number")[0], frame.id);
          assert.equal(frame.time, frame.id / 2);
          if (frame.id === 3) client.send(77, new Uint8Array(5));
        }
        /* The first may be there before a reader of wire "shmx" has joined. */
        assert.ok(frames + client.drops === 12 || (wire === "shmx" && frames + client.drops === 11));
        assert.equal(client.absence, "closed");
        client.close();
        assert.match((await server.line()) ?? "", /^messages (77:5)?$/);
        assert.equal(await server.exit, 0);
      });

      it(`${words} reads wire ${wire}, and is served from here`, async () => {
        const name = freshName("read");
        const server = createRing(name, { schema, wire, slots: 8, keepAlive: true });
        const reader = peer(other, "read", name, wire === "native" ? "reliable" : "latest");
        assert.equal(await reader.line(), "ready");
        for (let i = 1; i <= 10; i++) {
          await server.publishAsync({ number: [i * 3] });
          assert.equal(await reader.line(), `frame ${i} ${i * 3}`);
        }
        const messages: number[] = [];
        for (let i = 0; i < 200 && messages.length < 10; i++) {
          messages.push(...server.poll().map(({ type, body }) => type - body.length));
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        assert.deepEqual(
          messages,
          Array.from({ length: 10 }, (_, i) => 4097 + i - ((i + 1) % 7)),
        );
        server.close();
        assert.equal(await reader.line(), "end closed 0");
        assert.equal(await reader.exit, 0);
      });
    }

  it("leave nothing behind", () => {
    assert.deepEqual(collectRings(prefix), []);
  });
});
