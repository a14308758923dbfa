import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { say } from "../terminal.ts";
import { type Rates, watchRates } from "./rates.ts";

/** What the page is made of; names come as text, never as markup. */
const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>outcore ring</title>
<style>
  body { font: 15px system-ui, sans-serif; margin: 2rem; max-width: 60rem }
  table { border-collapse: collapse; margin: 1rem 0 }
  td, th { padding: .2rem .8rem; text-align: right; font-variant-numeric: tabular-nums }
  th { border-bottom: 1px solid }
</style>
<h1></h1>
<p id="ring">waiting</p>
<table><thead><tr><th>reader<th>process<th>delivery<th>frames/s<th>lag<th>drops<th>drops/s</tr></thead><tbody></tbody></table>
<p id="room"></p>
<script>
  const text = (at, value) => { document.querySelector(at).textContent = value }
  const gib = (bytes) => (bytes / 2 ** 30).toFixed(2) + " GiB"
  const source = new EventSource("rates")
  source.onmessage = ({ data }) => {
    const now = JSON.parse(data)
    text("h1", now.name)
    const rate = (now.rate * now.frameBytes / 2 ** 20).toFixed(1)
    text("#ring", now.wire + ", owner " + now.ownerState + ": " + now.rate.toFixed(1) + " frames/s, " + rate + " MiB/s, " + now.published + " so far")
    text("#room", gib(now.room.free) + " of " + gib(now.room.total) + " shared memory are free")
    const body = document.querySelector("tbody")
    body.replaceChildren(...now.readers.map((each) => {
      const row = document.createElement("tr")
      for (const cell of [each.reader, each.process || "-", each.delivery, each.rate.toFixed(1), each.lag, each.drops, each.dropRate.toFixed(1)])
        row.insertCell().textContent = cell
      return row
    }))
    if (now.ownerState !== "alive") source.close()
  }
</script>
`;

const HEADERS = {
  "Cache-Control": "no-store",
  "Content-Security-Policy":
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'",
  "X-Content-Type-Options": "nosniff",
};

/**
 * Shows the rates of a ring on a page of this machine: the page at "/", each look as a server-sent event at "/rates".
 * Only requests that name this machine are answered, so that no other site's script can read them.
 */
export async function servePage(name: string, interval: number, port: number, signal: AbortSignal): Promise<void> {
  const listeners = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    const [host] = (request.headers.host ?? "").split(":");
    if (host !== "127.0.0.1" && host !== "localhost") response.writeHead(403, HEADERS).end();
    else if (request.method !== "GET") response.writeHead(405, HEADERS).end();
    else if (request.url === "/rates") {
      response.writeHead(200, { ...HEADERS, "Content-Type": "text/event-stream" }).write("\n");
      listeners.add(response);
      response.on("close", () => listeners.delete(response));
    } else if (request.url === "/")
      response.writeHead(200, { ...HEADERS, "Content-Type": "text/html; charset=utf-8" }).end(PAGE);
    else response.writeHead(404, HEADERS).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  say(`http://127.0.0.1:${(server.address() as AddressInfo).port}/ (Ctrl+C ends it)`);
  try {
    for await (const rates of watchRates(name, interval, signal)) for (const each of listeners) send(each, rates);
  } finally {
    for (const each of listeners) each.end();
    server.close();
    server.closeAllConnections?.();
  }
}

function send(listener: ServerResponse, rates: Rates): void {
  const data = JSON.stringify(rates, (_key, each: unknown) => (typeof each === "bigint" ? each.toString(16) : each));
  listener.write(`data: ${data}\n\n`);
}
