import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, it } from "vitest";
import { count } from "../support/counts.ts";
import { program } from "./helpers.ts";

const library = fileURLToPath(new URL("../../c/framehash.c", import.meta.url));

/* Lengths 0 to 599, then random ones. */
const rounds = String(count({ long: 10_000, usual: 800, brief: 80 }));

function compare(words: readonly string[]): string {
  const [command = "", ...args] = words;
  const run = spawnSync(command, args, { encoding: "utf8", timeout: 60_000 });
  assert.equal(run.status, 0, `${run.stdout}${run.stderr}`);
  return run.stdout.trim();
}

/** The kernels that take part on this processor. */
const here =
  process.arch === "arm64" ? /^best sliced (neon )?compared \d+ different 0$/ : /^best sliced .*different 0$/;

describe("the kernels of the checksum of wire shmx", () => {
  it("all give the serial hash, on this processor", () => {
    assert.match(compare([program("hash-kernels", [library]), rounds]), here);
  });

  it("all give the serial hash on arm64, emulated where compiler and emulator are there", () => {
    const words = ["aarch64-linux-gnu-gcc", "qemu-aarch64"];
    if (words.some((command) => spawnSync(command, ["--version"], { stdio: "ignore" }).status !== 0)) {
      console.log(`not compared for arm64: ${words.join(" or ")} is not present`);
      return;
    }
    const cross = program("hash-kernels", [library, "-static"], ["aarch64-linux-gnu-gcc"]);
    assert.match(compare(["qemu-aarch64", cross, rounds]), /^best sliced neon compared \d+ different 0$/);
  });
});
