/**
 * Bun, Deno and Node in a circle: each has a ring of its own and reads the ring of the one before. A number goes round,
 * and each adds one to it.
 *
 *   ring-runtimes.ts [BUN DENO NODE]      programs to start; default: those on PATH
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { createRing, NotFoundError, openRing, type RingClient } from "../src/ring/main.ts";

const schema = { number: { type: "u32" }, who: { type: "u8", capacity: 16 } } as const;
const ROUNDS = 100;
const limit = performance.now() + 30_000;

async function join(name: string): Promise<RingClient<typeof schema>> {
  for (;;) {
    try {
      return openRing(name, { schema, delivery: "queue", history: 3, keepAlive: true });
    } catch (error) {
      if (!(error instanceof NotFoundError) || performance.now() > limit) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

async function station(own: string, before: string, first: boolean): Promise<void> {
  const versions = process.versions as Record<string, string | undefined>;
  const who = versions.bun ? "Bun" : versions.deno ? "Deno" : "Node";
  const ring = createRing(own, { schema, keepAlive: true });
  const previous = await join(before);
  const text = new TextEncoder().encode(who);
  if (first) ring.publish({ number: [1], who: text });
  const started = performance.now();
  for await (const frame of previous.frames({ timeout: 30_000 })) {
    const number = frame.copy("number")[0] ?? 0;
    const from = new TextDecoder().decode(frame.copy("who"));
    if (number <= 3) console.log(`${who} got ${number} from ${from}`);
    if (first && number >= 3 * ROUNDS) {
      const microseconds = ((performance.now() - started) * 1000) / number;
      console.log(`${number} hops, ${microseconds.toFixed(0)} us each`);
    }
    ring.publish({ number: [number + 1], who: text });
    if (number > 3 * (ROUNDS - 1)) break;
  }
  previous.close();
  /* The next one still reads what was published last. */
  while (ring.readers().length > 0 && performance.now() < limit) await new Promise((resolve) => setTimeout(resolve, 5));
  ring.close();
}

const args = process.argv.slice(2);
if (args[0] === "station") {
  const [, own = "", before = "", first] = args;
  await station(own, before, first === "first");
} else {
  const [bun = "bun", deno = "deno", node = "node"] = args;
  const script = process.argv[1] ?? "";
  const names = ["a", "b", "c"].map((each) => `circle-${process.pid}-${each}`);
  const starts: [string, string[]][] = [
    [bun, [script]],
    [deno, ["run", "-A", script]],
    [node, ["--disable-warning=ExperimentalWarning", script]],
  ];
  const ends = starts.map(([command, words], i) => {
    const all = [...words, "station", names[i] ?? "", names[(i + 2) % 3] ?? "", i === 0 ? "first" : ""];
    const child = spawn(command, all, { stdio: "inherit" });
    return new Promise<number | null>((resolve, reject) => {
      child.once("close", resolve);
      child.once("error", reject);
    });
  });
  const codes = await Promise.all(ends);
  if (codes.some((code) => code !== 0)) process.exitCode = 1;
}
