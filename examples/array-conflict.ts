/**
 * Two processes count in one array. When both change the same page, the second to commit gets a ConflictError, and
 * `transact` does its work again on the newer state: no count is lost. `array-conflict.ts [COUNT]`.
 */
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { openStore } from "outcore/array";

/** Adds one to the first element so many times; how often that had to be repeated. */
async function count(folder: string, times: number): Promise<number> {
  const store = openStore(folder, { create: false });
  const counter = store.array("counter", "f64");
  let runs = 0;
  for (let i = 0; i < times; i++)
    await store.transact(
      async () => {
        runs++;
        const seen = counter.get(0);
        await new Promise((resolve) => setTimeout(resolve, 1)); // time enough for the other to get in between
        counter.set([0], seen + 1);
      },
      { retries: 1000 },
    );
  store.close();
  return runs - times;
}

const [, self = "", times = "50", shared] = process.argv;
if (shared !== undefined) {
  console.log(`the other process met ${await count(shared, Number(times))} conflicts`);
} else {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "outcore-example-"));
  const store = openStore(path.join(folder, "store"));
  await store.transact(() => store.create("counter", { dtype: "f64", shape: 1 }));
  const script = self.endsWith(".ts") ? self : fileURLToPath(import.meta.url);
  const flags = "deno" in process.versions ? ["run", "-A", "--quiet"] : process.execArgv;
  const child = spawn(process.execPath, [...flags, script, times, store.folder], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  console.log(`this process met ${await count(store.folder, Number(times))} conflicts`);
  await ended;
  store.refresh();
  console.log(`counted ${store.array("counter").get(0)} of ${2 * Number(times)}`);
  store.close();
  fs.rmSync(folder, { recursive: true, force: true });
}
