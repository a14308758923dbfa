import { Command, InvalidArgumentError as InvalidOption } from "commander";
import { serveFolder } from "../src/sendfile/server/main.ts";
import { say } from "./terminal.ts";

interface ServeCommandOptions {
  host: string;
  port: number;
  hidden: boolean;
  listing: boolean;
}

function portNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65535) throw new InvalidOption("It must be from 0 to 65535.");
  return value;
}

/** Resolves when the user or the system asks the process to end. */
function asked(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) globalThis.process.once(signal, () => resolve());
  });
}

/** `outcore serve [FOLDER]`: a folder over HTTP, sent by the kernel. */
export function serveCommand(): Command {
  return new Command("serve")
    .description("serve a folder over HTTP, without copying its files through user space")
    .argument("[folder]", "default: the folder one stands in", ".")
    .option("--host <address>", "address to listen on; 0.0.0.0 lets other machines in", "127.0.0.1")
    .option("--port <number>", "0 takes any that is free", portNumber, 8080)
    .option("--hidden", "serve names that begin with a dot too", false)
    .option("--no-listing", "do not list folders without index.html")
    .action(async (folder: string, options: ServeCommandOptions) => {
      const server = await serveFolder(folder, options);
      say(`${folder} at ${server.url} (Ctrl+C ends it)`);
      await asked();
      await server.close();
    });
}
