/**
 * A file server of the bench, in a process of its own.
 *
 *   server.ts KIND FOLDER     KIND is ours, sirv, bun-serve or deno-serve; prints its port. "/-cpu" tells CPU seconds.
 */
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import process from "node:process";
import sirv from "sirv";
import { createFileHandler } from "../../src/sendfile/server/main.ts";

const [kind, folder = "."] = process.argv.slice(2);
const cpu = (): string => {
  const { user, system } = process.cpuUsage();
  return String((user + system) / 1e6);
};

function listen(handler: (request: http.IncomingMessage, response: http.ServerResponse) => unknown): void {
  const server = http.createServer((request, response) => {
    if (request.url === "/-cpu") response.end(cpu());
    else handler(request, response);
  });
  server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
}

const plain = async (request: Request): Promise<Response> => {
  const { pathname } = new URL(request.url);
  if (pathname === "/-cpu") return new Response(cpu());
  const file = path.join(folder, path.basename(pathname));
  if (kind === "bun-serve") return new Response(Bun.file(file));
  return new Response((await Deno.open(file)).readable as unknown as ReadableStream);
};

if (kind === "bun-serve") console.log(Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: plain }).port);
else if (kind === "deno-serve") {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => undefined }, plain);
  console.log((server.addr as Deno.NetAddr).port);
} else if (kind === "sirv") listen(sirv(folder, { dev: false }) as never);
else listen(createFileHandler(folder).node as never);
