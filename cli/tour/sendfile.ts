import { type ChildProcess, spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";
import { sendFile } from "../../src/sendfile/main.ts";
import { bytes, duration, paragraph, rate, say, table } from "../terminal.ts";
import type { Chapter } from "./chapter.ts";

/** What a process of its own says of each connection: bytes and their hash. */
const RECEIVER = `
import net from "node:net";
import { createHash } from "node:crypto";
const server = net.createServer((socket) => {
  const hash = createHash("sha256");
  let length = 0;
  socket.on("data", (chunk) => { hash.update(chunk); length += chunk.length; });
  socket.on("error", () => {});
  socket.on("close", () => console.log(JSON.stringify({ length, hash: hash.digest("hex") })));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
`;

interface Received {
  readonly length: number;
  readonly hash: string;
}

interface Sent extends Received {
  readonly milliseconds: number;
  readonly cpu: number;
}

function startReceiver(): ChildProcess {
  const versions = process.versions as Record<string, string | undefined>;
  const flags =
    versions.bun !== undefined ? ["-e"] : versions.deno !== undefined ? ["eval"] : ["--input-type=module", "-e"];
  return spawn(process.execPath, [...flags, RECEIVER], { stdio: ["ignore", "pipe", "inherit"] });
}

async function measure(
  port: number,
  lines: AsyncIterator<string>,
  send: (socket: net.Socket) => Promise<unknown>,
): Promise<Sent> {
  const socket = net.connect(port, "127.0.0.1");
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  const cpu = process.cpuUsage();
  const started = performance.now();
  await send(socket);
  if (!socket.writableEnded) socket.end();
  const { value } = await lines.next();
  const used = process.cpuUsage(cpu);
  const received = JSON.parse(String(value)) as Received;
  return { ...received, milliseconds: performance.now() - started, cpu: (used.user + used.system) / 1000 };
}

/** The largest file of the folder over loopback, without a copy and with. */
export const sendfileChapter: Chapter = {
  name: "sendfile",
  title: "Sendfile: files onto sockets without a copy",
  async run({ files }) {
    const [file] = files;
    if (file === undefined) return true;
    paragraph(`${file.path}, ${bytes(file.size)}, sent over loopback to another process, which hashes what it gets.`);
    const receiver = startReceiver();
    try {
      if (receiver.stdout === null) throw new Error("no pipe");
      const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
      const port = Number((await lines.next()).value);
      const pipe = (socket: net.Socket): Promise<unknown> => pipeline(fs.createReadStream(file.path), socket);
      const ours = (socket: net.Socket): Promise<unknown> => sendFile(socket, file.path);
      await measure(port, lines, ours);
      const direct = await measure(port, lines, ours);
      const piped = await measure(port, lines, pipe);
      const equal = direct.hash === piped.hash && direct.length === file.size;
      const row = (name: string, sent: Sent): string[] => [
        name,
        duration(sent.milliseconds),
        rate(sent.length, sent.milliseconds),
        duration(sent.cpu),
        sent.hash.slice(0, 12),
      ];
      say();
      table(["", "time", "rate", "CPU of the sender", "hash"], [row("sendFile", direct), row("stream.pipe", piped)]);
      return equal;
    } finally {
      receiver.kill();
    }
  },
};
