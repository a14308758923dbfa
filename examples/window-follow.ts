/** Follows a growing log, as `tail -f` does, for a number of seconds: `window-follow.ts FILE SECONDS`. */
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { openWindows } from "outcore/window";

const [path, seconds] = process.argv.slice(2);
if (path === undefined) {
  console.error("usage: window-follow.ts FILE [SECONDS]");
  process.exit(2);
}

const file = openWindows(path, { budget: 2 ** 24 });
let seen = file.size;
for (const end = Date.now() + Number(seconds ?? 5) * 1000; Date.now() < end; await setTimeout(50)) {
  const size = file.refresh(); // throws TruncatedError when the log was cut off below what was read
  if (size > seen) process.stdout.write(file.read(seen, size - seen));
  seen = size;
}
file.close();
