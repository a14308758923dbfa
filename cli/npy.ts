import fs from "node:fs";
import { type DType, InvalidArgumentError } from "../src/array/main.ts";

/** Types of the .npy format by ours. */
const descriptions: Partial<Record<DType, string>> = {
  i8: "|i1",
  u8: "|u1",
  bool: "|b1",
  i16: "<i2",
  u16: "<u2",
  i32: "<i4",
  u32: "<u4",
  i64: "<i8",
  u64: "<u8",
  f16: "<f2",
  f32: "<f4",
  f64: "<f8",
};

export interface NpyHeader {
  readonly dtype: DType;
  readonly order: "C" | "F";
  readonly shape: readonly number[];
  /** Where the elements begin. */
  readonly offset: number;
}

/** The first bytes of a .npy file (version 1.0), so long that the elements are aligned to 64 bytes. */
export function npyHeader(dtype: DType, shape: readonly number[], order: "C" | "F"): Uint8Array {
  const lengths = `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
  const text = `{'descr': '${descriptions[dtype]}', 'fortran_order': ${order === "F" ? "True" : "False"}, 'shape': ${lengths}, }`;
  const padded = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
  const bytes = new Uint8Array(10 + padded.length);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length & 255, padded.length >> 8]);
  bytes.set(new TextEncoder().encode(padded), 10);
  return bytes;
}

/** @throws {InvalidArgumentError} when it is no .npy file of a type that we have. */
export function readNpyHeader(fd: number): NpyHeader {
  const start = new Uint8Array(65_536);
  const got = fs.readSync(fd, start, 0, start.length, 0);
  if (got < 12 || String.fromCharCode(...start.subarray(1, 6)) !== "NUMPY")
    throw new InvalidArgumentError("this is not a .npy file");
  const wide = (start[6] ?? 1) > 1;
  const length = (start[8] ?? 0) + (start[9] ?? 0) * 256 + (wide ? (start[10] ?? 0) * 65_536 : 0);
  const begin = wide ? 12 : 10;
  const text = new TextDecoder().decode(start.subarray(begin, begin + length));
  const descr = /'descr':\s*'([^']+)'/.exec(text)?.[1];
  const dtype = Object.entries(descriptions).find(([, each]) => each === descr)?.[0] as DType | undefined;
  const shape = /'shape':\s*\(([^)]*)\)/.exec(text)?.[1];
  if (dtype === undefined || shape === undefined)
    throw new InvalidArgumentError(`elements of type ${descr} are not among ours`);
  const lengths = shape.split(",").filter((part) => part.trim() !== "");
  if (!lengths.every((part) => /^\s*\d{1,15}\s*$/.test(part)))
    throw new InvalidArgumentError(`(${shape}) is no shape: this .npy file is damaged`);
  return {
    dtype,
    order: /'fortran_order':\s*True/.test(text) ? "F" : "C",
    shape: lengths.length === 0 ? [1] : lengths.map(Number),
    offset: begin + length,
  };
}
