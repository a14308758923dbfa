/**
 * One sender of the bench, run in a process of its own: its CPU seconds are the whole process's.
 *
 *   sender.ts MODE PORT FILE BODY TOTAL     MODE is ours (sendFile), call (the bare sendfile call on the socket
 *                                           in blocking mode, in a loop), pipe (the runtime's own stream), or read
 *                                           and unread: sendFile with a header, and the same without ever reading
 */
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import process from "node:process";
import { native } from "../../ffi/load.ts";
import { Endpoint } from "../../src/memory/endpoint.ts";
import { sendFile, sendfile } from "../../src/sendfile/main.ts";

const [mode, port, file = "", body, total] = process.argv.slice(2);
const length = Number(body);
const bytes = Number(total);
let blocking: Endpoint | undefined;

function openBlocking(of: net.Socket): Endpoint {
  const endpoint = Endpoint.ofConnection(of as never, undefined, true);
  if (endpoint === undefined) throw new Error("the socket was not found");
  native().calls.oc_nonblocking(endpoint.fd, 0);
  return endpoint;
}

const header = new Uint8Array(200);

async function send(socket: net.Socket, descriptor: number): Promise<void> {
  if (mode === "ours") {
    await sendFile(socket, descriptor, { ranges: [{ start: 0, end: length - 1 }] });
    return;
  }
  if (mode === "read" || mode === "unread") {
    const ranges = [{ start: 0, end: length - 1 }];
    await sendFile(socket, descriptor, { ranges, header, fallback: mode === "read" });
    return;
  }
  if (mode === "call") {
    blocking ??= openBlocking(socket);
    for (let sent = 0; sent < length; ) sent += sendfile(blocking.fd, descriptor, sent, length - sent);
    return;
  }
  const stream = fs.createReadStream(file, { start: 0, end: length - 1 });
  stream.pipe(socket, { end: false });
  await once(stream, "end");
}

const socket = net.connect(Number(port), "127.0.0.1");
await once(socket, "connect");
const descriptor = fs.openSync(file, "r");
for (let sent = 0; sent < bytes / 8; sent += length) await send(socket, descriptor);
const cpu = process.cpuUsage();
const start = performance.now();
for (let sent = 0; sent < bytes; sent += length) await send(socket, descriptor);
if (socket.writableLength > 0) await once(socket, "drain");
const wall = (performance.now() - start) / 1000;
const used = process.cpuUsage(cpu);
console.log(JSON.stringify({ cpu: (used.user + used.system) / 1e6, wall }));
socket.destroy();
process.exit(0);
