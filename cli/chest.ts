import { Buffer } from "node:buffer";
import fs from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { Command } from "commander";
import { decodeStructured, encodeStructured } from "../src/chest/codec/structured.ts";
import { decodeKey, KeyBytes } from "../src/chest/keys.ts";
import { Chest, type Key, OutcoreError } from "../src/chest/main.ts";
import { bytes, progress, say, table } from "./terminal.ts";

const TITLE = "outcore chest export 1";

function openReader(folder: string): Chest {
  return new Chest({ path: folder, readOnly: true, budget: 2 ** 24 });
}

function withChest<T>(chest: Chest, work: (chest: Chest) => T): T {
  try {
    return work(chest);
  } finally {
    chest.abandon();
  }
}

function info(folder: string): void {
  withChest(openReader(folder), (chest) => {
    const { disk, dead, files } = chest.usage();
    table(
      ["chest", folder],
      [
        ["keys", String(chest.size)],
        ["on the disk", bytes(disk)],
        ["of it dead", bytes(dead)],
        ["files", String(files)],
        ["damage found at opening", String(chest.damage.length)],
      ],
    );
  });
}

/** Every key whose value is intact goes to `keep`; the rest is named. Returns the number of damaged places. */
function sift(chest: Chest, keep: (key: Key, value: unknown) => void): number {
  const bar = progress("check", chest.diskUsage);
  const share = chest.diskUsage / Math.max(1, chest.size);
  let damaged = 0;
  for (const key of chest.keys()) {
    bar.add(share);
    try {
      keep(key, chest.get(key));
    } catch (error) {
      if (!(error instanceof OutcoreError)) throw error;
      damaged++;
      say(`key ${JSON.stringify(key, (_, each) => (typeof each === "bigint" ? `${each}n` : each))}: ${error.message}`);
    }
  }
  bar.stop();
  for (const { path, offset, length, detail } of chest.damage) say(`${path}: ${length} bytes at ${offset}: ${detail}`);
  return damaged + chest.damage.length;
}

function check(folder: string, options: { salvage?: string }): void {
  const target = options.salvage === undefined ? undefined : new Chest({ path: options.salvage, budget: 2 ** 24 });
  let sound = 0;
  const damaged = withChest(openReader(folder), (chest) =>
    sift(chest, (key, value) => {
      sound++;
      target?.set(key, value);
    }),
  );
  target?.close();
  say(`${sound} values are intact, ${damaged} places are damaged.`);
  if (target !== undefined) say(`The intact values are in ${options.salvage}.`);
  if (damaged > 0) process.exitCode = 1;
}

async function compact(folder: string): Promise<void> {
  const chest = new Chest({ path: folder, budget: 2 ** 24 });
  const before = chest.diskUsage;
  await chest.compact();
  say(`${bytes(before)} -> ${bytes(chest.diskUsage)}`);
  chest.close();
}

/** A line of text a pair: the key's bytes and the structured value's, in base64. */
function exportTo(folder: string, file: string): void {
  const out = file === "-" ? 1 : fs.openSync(file, "wx", 0o600);
  const key = new KeyBytes(0);
  const write = (line: string): void => {
    fs.writeSync(out, `${line}\n`);
  };
  write(TITLE);
  const damaged = withChest(openReader(folder), (chest) =>
    sift(chest, (name, value) => {
      const encoded = encodeStructured(value);
      key.set(name);
      const keyText = Buffer.from(key.bytes.subarray(0, key.length)).toString("base64");
      write(`${keyText} ${Buffer.from(encoded.bytes.subarray(0, encoded.length)).toString("base64")}`);
    }),
  );
  if (out !== 1) fs.closeSync(out);
  if (damaged > 0) process.exitCode = 1;
}

/** Lines are data only: nothing in them names a file. */
async function importFrom(folder: string, file: string): Promise<void> {
  const chest = new Chest({ path: folder, budget: 2 ** 26 });
  try {
    let number = 0;
    for await (const line of createInterface({ input: file === "-" ? process.stdin : fs.createReadStream(file) })) {
      number++;
      if (number === 1) {
        if (line !== TITLE) throw new Error(`${file} is not what "outcore chest export" writes`);
        continue;
      }
      const [keyText = "", valueText] = line.split(" ");
      if (valueText === undefined) throw new Error(`${file}: line ${number} has no value`);
      const keyBytes = Buffer.from(keyText, "base64");
      const valueBytes = Buffer.from(valueText, "base64");
      chest.set(decodeKey(keyBytes, 0, keyBytes.length), decodeStructured(valueBytes, 0, valueBytes.length));
    }
    chest.close();
    say(`${Math.max(0, number - 1)} pairs imported into ${folder}.`);
  } catch (error) {
    chest.abandon();
    if (error instanceof OutcoreError) throw error;
    say((error as Error).message);
    process.exitCode = 1;
  }
}

/** `outcore chest`: looks after chests. */
export function chestCommand(): Command {
  const command = new Command("chest").description("look into a chest, check, compact, export and import it");
  command.command("info").argument("<folder>").description("print what is in it").action(info);
  command
    .command("check")
    .argument("<folder>")
    .option("--salvage <folder>", "put every intact value into a new chest there")
    .description("read every value; name what is damaged, and exit with 1 when anything is")
    .action(check);
  command.command("compact").argument("<folder>").description("give the room of dead values back").action(compact);
  command
    .command("export")
    .argument("<folder>")
    .argument("[file]", "where to, - for standard output", "-")
    .description("write every pair as a line of text")
    .action(exportTo);
  command
    .command("import")
    .argument("<folder>")
    .argument("[file]", "where from, - for standard input", "-")
    .description("set every pair of an export")
    .action(importFrom);
  return command;
}
