/** The other process of the ring tests: peer.worker.ts ROLE NAME [ARGUMENT ...]. Says "ready", then works. */
import { spawn } from "node:child_process";
import process from "node:process";
import { createRing, openRing } from "../../src/ring/main.ts";

export const schema = {
  number: { type: "u32" },
  words: { type: "u32", capacity: 1024 },
} as const;

const [role = "", name = "", ...rest] = process.argv.slice(2);
const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Fills a frame so that each word tells which frame it is of. */
function fill(words: Uint32Array, frame: number): void {
  for (let i = 0; i < words.length; i++) words[i] = (Math.imul(frame, 0x9e3779b1) ^ Math.imul(i, 0x85ebca6b)) >>> 0;
}

async function main(): Promise<void> {
  switch (role) {
    case "serve": {
      const [wire = "native", frames = "10", pause = "5"] = rest;
      const server = createRing(name, { schema, wire: wire as "native" | "shmx", slots: 4, stamp: true });
      say("ready");
      while (server.readers().length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      for (let i = 1; i <= Number(frames); i++) {
        const words = new Uint32Array(1024);
        fill(words, i);
        server.publish({ number: [i], words }, { time: i / 2 });
        await new Promise((resolve) => setTimeout(resolve, Number(pause)));
      }
      const messages = server.poll();
      say(`messages ${messages.map(({ type, body }) => `${type}:${body.length}`).join(",")}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
      server.close();
      break;
    }
    case "flood": {
      /* Never pauses, until it is killed. */
      const [wire = "native", slots = "2"] = rest;
      const server = createRing(name, { schema, wire: wire as "native" | "shmx", slots: Number(slots) });
      say("ready");
      for (let i = 1; ; i++) {
        const loan = server.begin();
        (loan.get("number", 1) as Uint32Array)[0] = i;
        fill(loan.get("words", 1024) as Uint32Array, i);
        loan.publish(i);
      }
    }
    case "hold": {
      const [wire = "native"] = rest;
      let server: ReturnType<typeof createRing<typeof schema>>;
      try {
        server = createRing(name, { schema, wire: wire as "native" | "shmx", keepAlive: true });
      } catch (error) {
        say((error as { code?: string }).code ?? "failed");
        break;
      }
      server.publish({ number: [1] });
      say("ready");
      setInterval(() => {}, 1000);
      break;
    }
    case "read": {
      const [delivery = "latest"] = rest;
      const client = openRing(name, { schema, delivery: delivery as "latest", keepAlive: true });
      say("ready");
      for await (const frame of client.frames()) {
        say(`frame ${frame.id} ${frame.get("number")[0]}`);
        client.send(4096 + frame.id, new Uint8Array(frame.id % 7));
      }
      say(`end ${client.absence} ${client.drops}`);
      client.close();
      break;
    }
    case "churn": {
      /* Joins and leaves; a full ring is an answer too. Each delivery in turn. */
      let joined = 0;
      let full = 0;
      for (let i = 0; joined < Number(rest[0]); i++) {
        const delivery = (["latest", "queue", "reliable"] as const)[i % 3] ?? "latest";
        try {
          const client = openRing(name, { schema, delivery, keepAlive: true });
          joined++;
          await client.next({ timeout: 5000 });
          client.close();
        } catch (error) {
          if ((error as { code?: string }).code !== "NO_READER_SLOT") throw error;
          full++;
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      }
      say(`joined ${joined}, full ${full}`);
      break;
    }
    case "idle": {
      /* Waits for ever, but does not ask to be kept alive for it. */
      const client = openRing(name, { schema });
      client.next().catch(() => {});
      say("ready");
      break;
    }
    case "parent": {
      /* Holds a ring and has a child that outlives it. */
      const server = createRing(name, { schema, keepAlive: true });
      const child = spawn("sleep", ["30"], { stdio: "ignore" });
      say(String(child.pid));
      setInterval(() => server.closed, 1000);
      break;
    }
    case "stall": {
      /* A reliable reader that takes one frame and then nothing, until it is killed. */
      const client = openRing(name, { schema, delivery: "reliable" });
      say("ready");
      await client.next({ keepAlive: true });
      say("took");
      setInterval(() => client.closed, 1000);
      break;
    }
    default:
      throw new Error(`no role "${role}"`);
  }
}

await main();
