import fs from "node:fs";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError as InvalidOption } from "commander";
import { NotFoundError, systemInfo } from "../../src/main.ts";
import { bytes, heading, paragraph, say } from "../terminal.ts";
import { arraysChapter } from "./arrays.ts";
import type { Chapter } from "./chapter.ts";
import { chestChapter } from "./chest.ts";
import { filesBelow } from "./files.ts";
import { ringChapter } from "./rings.ts";
import { sendfileChapter } from "./sendfile.ts";
import { windowsChapter } from "./windows.ts";

/** One chapter for each capability, in the order of the tour. */
const chapters: readonly Chapter[] = [windowsChapter, ringChapter, chestChapter, arraysChapter, sendfileChapter];

const SMALLEST_BUDGET = 2 ** 16;

function mebibytes(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 2 ** 20)) throw new InvalidOption("It must be a number of MiB above 0.");
  return Math.max(SMALLEST_BUDGET, Math.floor(value * 2 ** 20));
}

/** This project's own node_modules; where there is none, the folder one stands in. */
function ownFolder(): string {
  const root = import.meta.url.startsWith("file:") ? dirname(dirname(dirname(fileURLToPath(import.meta.url)))) : ".";
  const modules = resolve(root, "node_modules");
  return fs.existsSync(modules) ? modules : process.cwd();
}

interface TourOptions {
  budget?: number;
  pattern: string;
  chapter?: string;
}

async function tour(folder: string | undefined, options: TourOptions): Promise<void> {
  const root = resolve(folder ?? ownFolder());
  if (!fs.existsSync(root)) throw new NotFoundError(root);
  const info = systemInfo();
  say(`outcore on ${info.runtime} (${info.backend}, ${info.platform})`);
  const files = filesBelow(root);
  const total = files.reduce((sum, file) => sum + file.size, 0);
  if (files.length === 0) {
    say(`No files with bytes in them below ${root}.`);
    return;
  }
  const budget = options.budget ?? Math.max(SMALLEST_BUDGET, Math.min(2 ** 26, Math.floor(total / 16)));
  paragraph(`${root}: ${files.length} files, ${bytes(total)}; the largest has ${bytes(files[0]?.size ?? 0)}.`);
  paragraph(`Every job below may hold ${bytes(budget)} of them in memory at once.`);
  let equal = true;
  for (const chapter of chapters) {
    if (options.chapter !== undefined && options.chapter !== chapter.name) continue;
    heading(`== ${chapter.title} ==`);
    equal = (await chapter.run({ folder: root, files, total, budget, pattern: options.pattern })) && equal;
  }
  if (equal) return;
  say("An answer differed from the plain way's: that is a bug, or the files changed meanwhile.");
  process.exitCode = 1;
}

/** `outcore tour [FOLDER]`: each capability does real work on real files. */
export function tourCommand(): Command {
  return new Command("tour")
    .description("a guided tour: real work on the files of a folder, in less memory than they take")
    .argument("[folder]", "any folder; default: this project's node_modules")
    .option(
      "--budget <MiB>",
      "bytes of file windows in memory at once; default: a sixteenth of the files, at most 64",
      mebibytes,
    )
    .option("--pattern <text>", "what to search for", "SharedArrayBuffer")
    .option("--chapter <name>", `only this chapter: ${chapters.map((chapter) => chapter.name).join(", ")}`)
    .action(tour);
}
