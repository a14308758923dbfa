import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
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

  /** CPU seconds that the program's threads, and those of its children, have used so far. */
  cpu(): number {
    const spent = (pid: string): number => {
      let nanoseconds = 0;
      for (const task of readdirSync(`/proc/${pid}/task`)) {
        nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
        const children = readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim();
        for (const child of children === "" ? [] : children.split(" ")) nanoseconds += spent(child);
      }
      return nanoseconds;
    };
    return spent(String(this.#child.pid)) / 1e9;
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGTERM");
    await ended;
  }
}

/** Loads a server over 32 kept-alive connections for some seconds; returns how many requests were answered. */
export function load(
  wrk: string,
  port: number,
  name: string,
  seconds: number,
): Promise<{ count: number; rate: number }> {
  return new Promise((resolve, reject) => {
    const child = spawn(wrk, ["-t1", "-c32", `-d${seconds}s`, `http://127.0.0.1:${port}/${name}`]);
    let text = "";
    child.stdout.on("data", (chunk) => (text += String(chunk)));
    child.on("error", reject);
    child.on("close", () => {
      const rate = Number(/Requests\/sec:\s*([\d.]+)/.exec(text)?.[1]);
      const count = Number(/(\d+) requests in/.exec(text)?.[1]);
      if (rate > 0 && !/Non-2xx/.test(text)) resolve({ count, rate });
      else reject(new Error(`wrk: ${text}`));
    });
  });
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
