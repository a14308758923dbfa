import process from "node:process";
import { Command } from "commander";
import { OutcoreError, systemInfo } from "../src/main.ts";
import { bytes, say, table } from "./terminal.ts";
import { version } from "./version.ts";

const inBytes = new Set(["addressSpace", "locked", "memory", "memoryAvailable", "resident"]);

function limit(name: string, value: number | undefined): string {
  if (value === undefined) return "not told";
  if (value === Number.POSITIVE_INFINITY) return "none";
  return inBytes.has(name) ? bytes(value) : String(value);
}

function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** `outcore doctor`: where outcore runs and what it finds there; exits with 1 when it cannot work. */
export function doctorCommand(): Command {
  return new Command("doctor")
    .description("print runtime, backend, library, kernel features, limits and room in shared memory")
    .option("--json", "print one JSON object")
    .action((options: { json?: boolean }) => {
      let info: ReturnType<typeof systemInfo>;
      try {
        info = systemInfo();
      } catch (error) {
        if (!(error instanceof OutcoreError)) throw error;
        say(options.json ? JSON.stringify({ ok: false, code: error.code, message: error.message }) : error.message);
        process.exitCode = 1;
        return;
      }
      if (options.json) {
        say(JSON.stringify({ ok: true, version, ...info }));
        return;
      }
      table(
        ["outcore", version],
        [
          ["runtime", info.runtime],
          ["platform", info.platform],
          ["backend", info.backend],
          ["library ABI", String(info.abi)],
          ["page size", bytes(info.pageSize)],
          ...Object.entries(info.features).map(([name, has]) => [`kernel: ${words(name)}`, has ? "yes" : "no"]),
          ...Object.entries(info.limits).map(([name, value]) => [`limit: ${words(name)}`, limit(name, value)]),
          ["mappings held / allowed", `${info.mappings.held} / ${info.mappings.most}`],
          ["address space never given back", bytes(info.mappings.buriedBytes)],
          [
            "shared memory free / total",
            info.sharedMemory === undefined
              ? "not told"
              : `${bytes(info.sharedMemory.free)} / ${bytes(info.sharedMemory.total)}`,
          ],
        ],
      );
      say(`library: ${info.libraryPath}`);
    });
}
