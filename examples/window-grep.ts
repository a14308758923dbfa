/** Prints the lines of a file that contain a text: `window-grep.ts TEXT FILE`. The file may be larger than memory. */
import process from "node:process";
import { openWindows } from "outcore/window";

const [text, path] = process.argv.slice(2);
if (text === undefined || path === undefined) {
  console.error("usage: window-grep.ts TEXT FILE");
  process.exit(2);
}

const file = openWindows(path, { budget: 2 ** 24 });
let number = 0;
for (const line of file.lines()) {
  number++;
  if (line.includes(text)) console.log(`${number}: ${line}`);
}
file.close();
