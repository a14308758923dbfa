import process from "node:process";
import { SingleBar } from "cli-progress";
import Table from "cli-table3";
import colors from "picocolors";

/** Columns that output is laid out for. */
const WIDTH = 80;

/* A reader that has seen enough, as head has, ends the program without a word. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

/** Prints a line. */
export function say(line = ""): void {
  process.stdout.write(`${line}\n`);
}

/** Prints a heading with an empty line before it. */
export function heading(text: string): void {
  say();
  say(colors.bold(text));
}

/** Prints text in lines that fit the terminal. */
export function paragraph(text: string): void {
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line.length + word.length + 1 > WIDTH) {
      say(line);
      line = "";
    }
    line += line === "" ? word : ` ${word}`;
  }
  if (line !== "") say(line);
}

/** Prints a table; columns after the first are numbers and stand to the right. */
export function table(head: string[], rows: string[][]): void {
  const made = new Table({
    head,
    colAligns: head.map((_, i) => (i === 0 ? "left" : "right")),
    style: { head: [], border: [], compact: true, "padding-left": 0, "padding-right": 0 },
    chars: {
      ...Object.fromEntries(
        ["top", "top-mid", "top-left", "top-right", "bottom", "bottom-mid", "bottom-left", "bottom-right"].map(
          (name) => [name, ""],
        ),
      ),
      left: "",
      right: "",
      "left-mid": "",
      "right-mid": "",
      mid: "",
      "mid-mid": "",
      middle: " ",
    },
  });
  made.push(...rows);
  for (const line of made.toString().split("\n")) say(line.trimEnd());
}

/** A progress bar on standard error, seen only in a terminal. */
export interface Progress {
  add(amount: number): void;
  stop(): void;
}

/** Begins a progress bar that counts MiB. */
export function progress(label: string, total: number): Progress {
  if (!process.stderr.isTTY) return { add() {}, stop() {} };
  const bar = new SingleBar({
    format: `  ${label} [{bar}] {percentage}% of {total} MiB`,
    barsize: 24,
    clearOnComplete: true,
    hideCursor: true,
    fps: 10,
  });
  bar.start(Math.ceil(total / 2 ** 20), 0);
  let done = 0;
  return {
    add(amount) {
      done += amount;
      bar.update(Math.floor(done / 2 ** 20));
    },
    stop: () => bar.stop(),
  };
}

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 1536 as "1.5 KiB". */
export function bytes(count: number): string {
  let value = Math.abs(count);
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const sign = count < 0 ? "-" : "";
  return `${sign}${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** 1 and "array" as "1 array", 2 as "2 arrays". */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** Milliseconds as "820 ms" or "1.52 s". */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

/** Bytes per second. */
export function rate(count: number, milliseconds: number): string {
  return milliseconds === 0 ? "-" : `${bytes((count / milliseconds) * 1000)}/s`;
}

/** 0.914 as "91 %". */
export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
