/** The process that stepped.test.ts kills: stepped.worker.ts ROLE NAME ARGUMENT. It goes on until it is killed. */
import process from "node:process";
import { createRing, openRing } from "../../src/ring/main.ts";

const schema = { number: { type: "u32" }, words: { type: "u32", capacity: 1024 } } as const;
const [role = "", name = "", argument = ""] = process.argv.slice(2);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Publishes with and without pauses, so that its reader sleeps now and then; closes; begins anew. */
async function write(): Promise<void> {
  for (;;) {
    const options = { schema, wire: argument as "native" | "shmx", slots: 4, controlBytes: 256 };
    const server = createRing(name, { ...options, checksum: true });
    process.stdout.write("ready\n");
    for (let i = 1; i <= 40; i++) {
      const loan = server.begin();
      loan.get("number", 1)[0] = i;
      loan.get("words", 1024).fill(i);
      loan.publish(i);
      server.poll();
      await pause(i % 4);
    }
    server.close();
  }
}

/** Joins, reads in both ways of waiting, sends, leaves; again and again. */
async function read(): Promise<void> {
  for (;;) {
    const client = openRing(name, { schema, delivery: argument as "latest", keepAlive: true });
    process.stdout.write("ready\n");
    for (let i = 0; i < 12; i++) {
      const frame = i % 2 === 0 ? await client.next() : client.nextSync({ spin: 0 });
      if (i % 3 === 0) client.send(5, new Uint8Array(8).fill(5));
      frame?.release();
    }
    client.close();
  }
}

await (role === "write" ? write() : read());
