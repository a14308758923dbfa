import { createHash } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Endpoint } from "../../src/memory/endpoint.ts";
import { pumpState } from "../../src/memory/pump.ts";

/** Full counts with OUTCORE_LONG=1, else a tenth. */
export const long: boolean = process.env.OUTCORE_LONG === "1";
export const times = (full: number): number => (long ? full : Math.ceil(full / 10));

/** What arrived at the other side of a connection. */
export interface Received {
  readonly length: number;
  readonly hash: string;
  /** The first 1 MiB. */
  readonly head: Uint8Array;
  /** The connection ended with an error, or without the sender's end. */
  readonly error: string | undefined;
}

export function hashOf(...parts: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/** Hashes everything that a socket receives until it closes. */
export function receive(socket: net.Socket): Promise<Received> {
  const hash = createHash("sha256");
  const head: Uint8Array[] = [];
  let length = 0;
  let kept = 0;
  let error: string | undefined;
  return new Promise((resolve) => {
    socket.on("data", (chunk: Uint8Array) => {
      hash.update(chunk);
      length += chunk.length;
      if (kept < 1 << 20) head.push(Uint8Array.from(chunk));
      kept += chunk.length;
    });
    socket.on("error", (cause: Error & { code?: string }) => {
      error = cause.code ?? cause.message;
    });
    socket.resume();
    socket.on("close", () => resolve({ length, hash: hash.digest("hex"), head: Buffer.concat(head), error }));
  });
}

/** Two ends of a loopback connection of this process. */
export interface Pair {
  /** The accepted side, which the tests send on. */
  readonly near: net.Socket;
  /** The other side. Does not read until told to. */
  readonly far: net.Socket;
  /** Descriptor of `near`, in every runtime: a duplicate that `close` closes. */
  descriptor(): number;
  close(): void;
}

export async function connect(options: net.ServerOpts = {}): Promise<Pair> {
  const server = net.createServer(options);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection");
  const far = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
  far.pause();
  const [near] = (await accepted) as [net.Socket];
  await (far.connecting ? once(far, "connect") : undefined);
  server.close();
  near.on("error", () => undefined);
  far.on("error", () => undefined);
  let endpoint: Endpoint | undefined;
  return {
    near,
    far,
    descriptor() {
      endpoint ??= Endpoint.ofConnection(near as never, undefined, true);
      if (endpoint === undefined) throw new Error("the socket's descriptor was not found");
      return endpoint.fd;
    },
    close() {
      endpoint?.close();
      near.destroy();
      far.destroy();
    },
  };
}

/** Calls `step` until it returns something other than EAGAIN's undefined, waiting a little between. */
export async function retry(step: () => number): Promise<number> {
  for (;;) {
    try {
      return step();
    } catch (error) {
      if ((error as { errno?: string }).errno !== "EAGAIN") throw error;
      await sleep(1);
    }
  }
}

/** Waits until no transfer is left in the pump. */
export async function quiet(): Promise<void> {
  for (let i = 0; i < 400 && pumpState().jobs > 0; i++) await sleep(5);
  if (pumpState().jobs > 0) throw new Error(`${pumpState().jobs} jobs are left in the pump`);
}
