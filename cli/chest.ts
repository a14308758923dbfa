import { Buffer } from "node:buffer";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { Command } from "commander";
import { decodeStructured, encodeStructured } from "../src/chest/codec/structured.ts";
import { decodeKey, describeKey, KeyBytes } from "../src/chest/keys.ts";
import {
  type About,
  Chest,
  type Codec,
  folderTier,
  InvalidArgumentError,
  type Key,
  NotFoundError,
  OutcoreError,
} from "../src/chest/main.ts";
import { typed } from "../src/memory/check.ts";
import { bytes, progress, say, table } from "./terminal.ts";

/** docs/chest-format.md */
const TITLE = "outcore chest export 2";
const TITLE_1 = "outcore chest export 1";

/** A value of a codec that only the program has which stored it: its bytes. */
class Own {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

const ownCodec: Codec<unknown> = {
  encode: (value) => (value as Own).bytes,
  decode: (bytes) => new Own(bytes),
};

/** One value a file, or a log. */
function tierOf(folder: string): { tier?: ReturnType<typeof folderTier> } {
  return fs.existsSync(path.join(folder, "chest.folder.json")) ? { tier: folderTier() } : {};
}

function openReader(folder: string): Chest {
  return new Chest({ path: folder, readOnly: true, budget: 2 ** 24, codec: ownCodec, ...tierOf(folder) });
}

/** For what must not get into an export on standard output. */
function sayAside(line: string): void {
  process.stderr.write(`${line}\n`);
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
function sift(
  chest: Chest,
  keep: (key: Key, value: unknown, about: About) => void,
  tell: (line: string) => void = say,
): number {
  const bar = progress("check", chest.diskUsage);
  const share = chest.diskUsage / Math.max(1, chest.size);
  let damaged = 0;
  for (const key of chest.keys()) {
    bar.add(share);
    try {
      const value = chest.get(key);
      const about = chest.about(key);
      /* Its time is over, or its writer has removed it just now. */
      if (about !== undefined) keep(key, value, about);
    } catch (error) {
      if (!(error instanceof OutcoreError)) throw error;
      damaged++;
      tell(`key ${describeKey(key)}: ${error.message}`);
    }
  }
  bar.stop();
  for (const { path: where, offset, length, detail } of chest.damage)
    tell(`${where}: ${length} bytes at ${offset}: ${detail}`);
  return damaged + chest.damage.length;
}

/** Where intact values go: as they are when they are of a codec of the program's own, for which it has all of them. */
class Salvage {
  readonly folder: string;
  #chest: Chest | undefined;
  #isOwn = false;

  constructor(folder: string) {
    this.folder = folder;
  }

  set(key: Key, value: unknown, about: About): void {
    const isOwn = value instanceof Own;
    this.#chest ??= new Chest({ path: this.folder, budget: 2 ** 24, ...(isOwn && { codec: ownCodec }) });
    if (this.#chest.size === 0) this.#isOwn = isOwn;
    if (isOwn !== this.#isOwn)
      throw new InvalidArgumentError("a value of another codec than those before cannot be salvaged");
    this.#chest.set(key, value, about);
  }

  close(): void {
    this.#chest ??= new Chest({ path: this.folder });
    this.#chest.close();
  }
}

function check(folder: string, options: { salvage?: string }): void {
  const { salvage } = options;
  let sound = 0;
  const damaged = withChest(openReader(folder), (chest) => {
    if (salvage !== undefined && fs.existsSync(salvage) && fs.readdirSync(salvage).length > 0)
      throw new InvalidArgumentError(`${salvage} must not exist yet, or be empty`);
    const target = salvage === undefined ? undefined : new Salvage(salvage);
    const found = sift(chest, (key, value, about) => {
      target?.set(key, value, about);
      sound++;
    });
    target?.close();
    return found;
  });
  say(`${sound} values are intact, ${damaged} places are damaged.`);
  if (salvage !== undefined) say(`The intact values are in ${salvage}.`);
  if (damaged > 0) process.exitCode = 1;
}

async function compact(folder: string): Promise<void> {
  /* There must be one. */
  openReader(folder).close();
  const chest = new Chest({ path: folder, budget: 2 ** 24, ...tierOf(folder) });
  const before = chest.diskUsage;
  const bar = progress("compact", chest.usage().dead);
  let last = before;
  try {
    await chest.compact((disk) => {
      bar.add(Math.max(0, last - disk));
      last = Math.min(last, disk);
    });
  } finally {
    bar.stop();
  }
  say(`${bytes(before)} -> ${bytes(chest.diskUsage)}`);
  chest.close();
}

/** Writes all of a text, however little of it a pipe takes at a time. */
function writeAll(fd: number, text: string): void {
  const data = Buffer.from(text);
  for (let at = 0; at < data.length; ) {
    try {
      at += fs.writeSync(fd, data, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

/** What stands behind key and value: when it expires and the tags; nothing when there is neither. */
function aboutText({ expires, tags }: About): string {
  /* Further away than dates go. */
  const time = expires <= Number.MAX_SAFE_INTEGER ? expires : 0;
  if (time === 0 && tags.length === 0) return "";
  return ` ${time} ${toBase64(Buffer.from(JSON.stringify(tags)))}`;
}

/** A line of text a pair: the key's bytes and the structured value's, in base64. The last line says how many. */
function exportTo(folder: string, file: string): void {
  const key = new KeyBytes(0);
  let count = 0;
  let out = 1;
  const damaged = withChest(openReader(folder), (chest) => {
    if (file !== "-") out = typed("create", file, () => fs.openSync(file, "wx", 0o600));
    writeAll(out, `${TITLE}\n`);
    return sift(
      chest,
      (name, value, about) => {
        if (value instanceof Own) throw new InvalidArgumentError("the value is of a codec of a program's own");
        const encoded = encodeStructured(value);
        key.set(name);
        const keyText = toBase64(key.bytes.subarray(0, key.length));
        writeAll(out, `${keyText} ${toBase64(encoded.bytes.subarray(0, encoded.length))}${aboutText(about)}\n`);
        count++;
      },
      sayAside,
    );
  });
  writeAll(out, `end ${count}\n`);
  if (out !== 1) fs.closeSync(out);
  if (damaged > 0) process.exitCode = 1;
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function fromBase64(text: string | undefined, place: string): Uint8Array {
  if (text === undefined || !BASE64.test(text)) throw new Error(`${place} is not what an export writes`);
  return Buffer.from(text, "base64");
}

const NUMBER = /^(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,20})?$/;

/** The end of a line as `aboutText` writes it. */
function aboutFrom(rest: readonly string[], place: string): About {
  if (rest.length === 0) return { expires: 0, tags: [] };
  const [expires = "", tagsText] = rest;
  let tags: unknown;
  try {
    tags = JSON.parse(Buffer.from(fromBase64(tagsText, place)).toString());
  } catch {
    /* Not an array either. */
  }
  const isList = Array.isArray(tags) && tags.every((tag) => typeof tag === "string");
  if (rest.length !== 2 || !NUMBER.test(expires) || !isList) throw new Error(`${place} is not what an export writes`);
  return { expires: Number(expires), tags: tags as string[] };
}

/** Lines are data only: nothing in them names a file. Returns the number of pairs. */
async function readExport(file: string, set: (key: Key, value: unknown, about: About) => void): Promise<number> {
  const fd = file === "-" ? 0 : typed("open", file, () => fs.openSync(file, "r"));
  const input = file === "-" ? process.stdin : fs.createReadStream(file, { fd });
  const bar = progress("import", file === "-" ? 0 : fs.fstatSync(fd).size);
  let number = 0;
  let count = 0;
  let hasEnded = false;
  let hasAbout = false;
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      number++;
      bar.add(line.length + 1);
      const place = `${file}: line ${number}`;
      if (number === 1) {
        if (line !== TITLE && line !== TITLE_1) throw new Error(`${file} is not what "outcore chest export" writes`);
        hasAbout = line === TITLE;
      } else if (hasEnded) throw new Error(`${place} is behind the end`);
      else if (line.startsWith("end ")) {
        if (line !== `end ${count}`) throw new Error(`${place}: ${count} pairs came before "${line.slice(0, 40)}"`);
        hasEnded = true;
      } else {
        const [keyText, valueText, ...rest] = line.split(" ");
        if (rest.length > 0 && !hasAbout) throw new Error(`${place} is not what an export writes`);
        const key = fromBase64(keyText, place);
        const value = fromBase64(valueText, place);
        const about = aboutFrom(rest, place);
        set(decodeKey(key, 0, key.length), decodeStructured(value, 0, value.length), about);
        count++;
      }
    }
  } finally {
    bar.stop();
  }
  if (!hasEnded) throw new Error(`${file} is cut short: it has no last line`);
  return count;
}

async function importFrom(folder: string, file: string): Promise<void> {
  if (file !== "-" && !fs.existsSync(file)) throw new NotFoundError(file);
  const chest = new Chest({ path: folder, budget: 2 ** 26, ...tierOf(folder) });
  try {
    let expired = 0;
    const count = await readExport(file, (key, value, about) => {
      if (about.expires === 0 || about.expires > Date.now()) chest.set(key, value, about);
      else expired++;
    });
    chest.close();
    say(`${count - expired} pairs imported into ${folder}.`);
    if (expired > 0) say(`${expired} had expired.`);
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
