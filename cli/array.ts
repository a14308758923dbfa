import fs from "node:fs";
import { Command, Option } from "commander";
import { itemSize } from "../src/array/dtype.ts";
import {
  type ArrayStore,
  type DType,
  fileArray,
  InvalidArgumentError,
  NameInUseError,
  NotFoundError,
  openStore,
  PermissionError,
} from "../src/array/main.ts";
import { type NpyHeader, npyHeader, readNpyHeader } from "./npy.ts";
import { bytes, counted, progress, say, table } from "./terminal.ts";

const PIECE = 2 ** 24;

async function withStore(
  folder: string,
  work: (store: ArrayStore) => void | Promise<void>,
  { create = false, at }: { create?: boolean; at?: string | undefined } = {},
) {
  const store = openStore(folder, at === undefined ? { create } : { at });
  try {
    await work(store);
  } finally {
    store.close();
  }
}

function info(folder: string): Promise<void> {
  return withStore(folder, (store) => {
    say(`${store.folder}: transaction ${store.snapshot}, log ${bytes(store.engine.logBytes)}`);
    const rows = store.names.map((name) => {
      const array = store.array(name);
      return [name, array.dtype, `[${array.shape.join(", ")}]`, array.order, bytes(array.nbytes)];
    });
    if (rows.length > 0) table(["array", "type", "shape", "order", "size"], rows);
    for (const [name, txid] of Object.entries(store.snapshots)) say(`snapshot "${name}" at transaction ${txid}`);
  });
}

function check(folder: string): Promise<void> {
  return withStore(folder, (store) => {
    const wrong = store.engine.verify();
    for (const error of wrong) say(error.message);
    say(
      wrong.length === 0
        ? `every checksum of superblock, log and home files holds; ${counted(store.names.length, "array")}`
        : counted(wrong.length, "error"),
    );
    if (wrong.length > 0) globalThis.process.exitCode = 1;
  });
}

function checkpoint(folder: string): Promise<void> {
  return withStore(folder, async (store) => {
    const before = store.engine.logBytes;
    await store.checkpoint();
    say(`log ${bytes(before)} before, ${bytes(store.engine.logBytes)} now`);
  });
}

/** Opens a file, or says in a word what is in the way. */
function openFile(file: string, flags: "r" | "wx"): number {
  try {
    return fs.openSync(file, flags);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") throw new NameInUseError(file);
    if (code === "ENOENT" || code === "ENOTDIR") throw new NotFoundError(file, error);
    if (code === "EACCES" || code === "EPERM" || code === "EROFS") throw new PermissionError(file, error);
    throw error;
  }
}

function exportArray(folder: string, name: string, file: string, { at }: { at?: string }): Promise<void> {
  const work = (store: ArrayStore): void => {
    const transaction = store.begin();
    const array = store.array(name);
    const fd = openFile(file, "wx");
    const bar = progress("export", array.nbytes);
    let whole = false;
    try {
      let end = 0;
      const write = (part: Uint8Array): void => {
        for (let done = 0; done < part.length; ) done += fs.writeSync(fd, part, done, part.length - done, end + done);
        end += part.length;
        bar.add(part.length);
      };
      if (file.endsWith(".npy")) write(npyHeader(array.dtype, array.shape, array.order));
      for (const { data } of array.blocks(PIECE / array.itemSize))
        write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      whole = true;
    } finally {
      bar.stop();
      fs.closeSync(fd);
      if (!whole) fs.rmSync(file);
      transaction.abort();
    }
    say(`${name}: ${array.dtype} [${array.shape.join(", ")}], ${bytes(array.nbytes)} to ${file}`);
  };
  return withStore(folder, work, { at });
}

interface ImportOptions {
  dtype?: DType;
  shape?: string;
  order?: "C" | "F";
}

/** "100,3" as a list. */
function lengthsOf(text: string): number[] {
  const parts = text.split(",").map((part) => part.trim());
  if (!parts.every((part) => /^\d{1,15}$/.test(part)))
    throw new InvalidArgumentError(`--shape is lengths with commas between them, as 100,3, not ${text}`);
  return parts.map(Number);
}

/** What is in the file, from its header or from what the user says. */
function contents(file: string, options: ImportOptions): NpyHeader {
  const { dtype, shape, order = "C" } = options;
  const fd = openFile(file, "r");
  try {
    if (file.endsWith(".npy")) {
      const [given] = Object.keys(options);
      if (given !== undefined)
        throw new InvalidArgumentError(`a .npy file says itself what is in it: leave --${given} out`);
      return readNpyHeader(fd);
    }
    if (dtype === undefined) throw new InvalidArgumentError("a raw file needs --dtype");
    const { size } = fs.fstatSync(fd);
    const count = size / itemSize(dtype);
    if (!Number.isInteger(count)) throw new InvalidArgumentError(`${size} bytes are no whole number of ${dtype}`);
    return { dtype, shape: shape === undefined ? [count] : lengthsOf(shape), order, offset: 0 };
  } finally {
    fs.closeSync(fd);
  }
}

/** Nothing of a file is left out. */
function checkSize(file: string, { dtype, shape, offset }: NpyHeader): void {
  const wanted = offset + shape.reduce((product, length) => product * length, itemSize(dtype));
  const { size } = fs.statSync(file);
  if (size !== wanted)
    throw new InvalidArgumentError(`${file} has ${size} bytes, and ${dtype} [${shape.join(", ")}] takes ${wanted}`);
}

function importArray(folder: string, name: string, file: string, options: ImportOptions): Promise<void> {
  const header = contents(file, options);
  checkSize(file, header);
  return withStore(
    folder,
    async (store) => {
      await store.transact((transaction) => {
        const { dtype, shape, order, offset } = header;
        const array = store.create(name, { dtype, shape, order });
        if (array.nbytes === 0) return;
        const source = fileArray(file, { dtype: "u8", shape: array.nbytes, offset });
        const bar = progress("import", array.nbytes);
        try {
          for (const { start, data } of source.array.blocks(PIECE)) {
            const target = array.typed(start / array.itemSize, data.length / array.itemSize);
            new Uint8Array(target.buffer, target.byteOffset, target.byteLength).set(data);
            if (start % 2 ** 30 === 0 && start > 0) transaction.spill();
            bar.add(data.length);
          }
        } finally {
          bar.stop();
          source.close();
        }
      });
      const array = store.array(name);
      say(`${name}: ${array.dtype} [${array.shape.join(", ")}], ${bytes(array.nbytes)} from ${file}`);
    },
    { create: true },
  );
}

/** `outcore array ...`: looks after a store of arrays. */
export function arrayCommand(): Command {
  const command = new Command("array").description("look after a store of arrays");
  const store = "<store>";
  command.command("info").argument(store).description("arrays, snapshots and log").action(info);
  command
    .command("check")
    .argument(store)
    .description("verify every checksum of superblock, log and home files")
    .action(check);
  command
    .command("checkpoint")
    .argument(store)
    .description("bring the arrays' files up to date and shorten the log")
    .action(checkpoint);
  command
    .command("export")
    .argument(store)
    .argument("<array>")
    .argument("<file>", "a new file; elements as they lie, with a header when it ends in .npy")
    .option("--at <snapshot>", "as it was at the named snapshot")
    .description("write an array to a file")
    .action(exportArray);
  command
    .command("import")
    .argument(store)
    .argument("<array>", "name of the new array")
    .argument("<file>")
    .option("--dtype <type>", "type of the elements of a raw file")
    .option("--shape <lengths>", "shape of a raw file, as 100,3; default: all elements in a row")
    .addOption(new Option("--order <order>", "how a raw file lies; default C").choices(["C", "F"]))
    .description("make an array of a .npy or raw file")
    .action(importArray);
  return command;
}
