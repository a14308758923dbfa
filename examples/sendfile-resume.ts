/**
 * An FTP-style transfer with resume: the client says how much of the file it has, the server sends the rest.
 *
 *   sendfile-resume.ts        makes a file, breaks the first transfer in the middle, and resumes it
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { PeerClosedError, sendFile } from "outcore/sendfile";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "outcore-example-"));
const source = path.join(folder, "source");
const copy = path.join(folder, "copy");
fs.writeFileSync(
  source,
  new Uint8Array(20_000_000).map((_, i) => (i * 7) % 253),
);
fs.writeFileSync(copy, "");
const hash = (file: string): string => createHash("sha256").update(fs.readFileSync(file)).digest("hex");

/* The request is one line: the offset to start at, as FTP's REST has it. */
const server = net.createServer((socket) => {
  socket.on("error", () => undefined);
  socket.once("data", (line: Uint8Array) => {
    const start = Number(new TextDecoder().decode(line));
    sendFile(socket, source, { ranges: [{ start }], timeout: 5000 })
      .then(({ sent }) => {
        console.log(`sent ${sent} bytes from ${start}`);
        socket.end();
      })
      .catch((error: unknown) => {
        if (!(error instanceof PeerClosedError)) throw error;
        console.log(`the client left (${error.errno})`);
      });
  });
});

/** Gets what is missing; hangs up after `most` bytes. */
function fetchRest(port: number, most: number): Promise<void> {
  const have = fs.statSync(copy).size;
  const out = fs.openSync(copy, "a");
  return new Promise((resolve) => {
    let got = 0;
    const socket = net.connect(port, "127.0.0.1", () => socket.write(`${have}\n`));
    socket.on("data", (chunk: Uint8Array) => {
      fs.writeSync(out, chunk);
      got += chunk.length;
      if (got >= most) socket.destroy();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      fs.closeSync(out);
      resolve();
    });
  });
}

server.listen(0, "127.0.0.1", async () => {
  const { port } = server.address() as net.AddressInfo;
  await fetchRest(port, 5_000_000);
  console.log(`broken off after ${fs.statSync(copy).size} bytes`);
  await fetchRest(port, Number.POSITIVE_INFINITY);
  console.log(hash(copy) === hash(source) ? "resumed: the copy is whole" : "the copy differs");
  server.close();
  fs.rmSync(folder, { recursive: true });
});
