import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";
import { ROOT } from "../../scripts/build/compile.ts";
import { findRuntime, type RuntimeName } from "../../scripts/runtimes.ts";
import { flagsFor } from "../flags.ts";

/** What a sender prints. */
export interface Cost {
  readonly cpu: number;
  readonly wall: number;
}

/** Runs a program and returns the JSON in its last line. */
export function measure<T>(command: string, args: readonly string[]): Promise<T> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.on("data", (chunk) => (text += String(chunk)));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(JSON.parse(text.trim().split("\n").at(-1) ?? "") as T);
      else reject(new Error(`${command} ended with ${code}`));
    });
  });
}

/** A script of this folder in a runtime; undefined: the one that this is. */
export function script(name: string, runtime?: RuntimeName): string[] {
  if (runtime === undefined) {
    const versions = globalThis.process.versions as Record<string, string | undefined>;
    const kind = versions.bun !== undefined ? "bun" : versions.deno !== undefined ? "deno" : "node";
    return [globalThis.process.execPath, ...flagsFor(kind), path.join(ROOT, "bench", "sendfile", name)];
  }
  const { command, kind } = findRuntime(runtime);
  return [command, ...flagsFor(kind), path.join(ROOT, "bench", "sendfile", name)];
}

/** A program that prints its port and then serves until it is stopped. */
export class Service {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async start([command = "", ...args]: readonly string[]): Promise<Service> {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    if (child.stdout === null) throw new Error("no pipe");
    for await (const line of createInterface({ input: child.stdout })) return new Service(child, Number(line));
    throw new Error(`${command} printed no port`);
  }

  /** nginx with one worker, as Debian has it but for its paths. */
  static async nginx(command: string, served: string, folder: string): Promise<Service> {
    const base = path.join(folder, `nginx-${globalThis.process.pid}`);
    mkdirSync(base, { recursive: true });
    const port = await freePort();
    const file = path.join(base, "nginx.conf");
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (name) => `${name}_temp_path ${base}/${name};`,
    );
    writeFileSync(
      file,
      `daemon off; worker_processes 1; pid ${base}/pid; error_log ${base}/errors; user root;
events { worker_connections 4096; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; ${temporary.join(" ")}
  server { listen 127.0.0.1:${port}; root ${served}; } }
`,
    );
    const child = spawn(command, ["-p", base, "-c", file, "-e", `${base}/errors`], { stdio: "ignore" });
    await new Promise((resolve) => setTimeout(resolve, 500));
    return new Service(child, port);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGTERM");
    await ended;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
