import { CorruptError, LimitError, StoreFormatError } from "../errors.ts";
import { crc32c } from "../memory/crc32c.ts";
import type { ArrayInfo, Catalogue } from "./catalogue.ts";

/** Sizes and magic numbers of docs/array-format.md. */
export const FORMAT_VERSION = 2;
export const SUPERBLOCK_BYTES = 65536;
const SUPERBLOCK_MAGIC = "OCPLHEAD";
const RECORD_MAGIC = "OCPLREC1";
const SUPERBLOCK_FIXED = 64;
const RECORD_FIXED = 72;
const RUN_BYTES = 32;

export type RunKind = "image" | "direct" | "zero";
const KINDS: readonly RunKind[] = ["image", "direct", "zero"];

/** Pages that a transaction changed, one after the other. */
export interface PageRun {
  readonly array: number;
  readonly page: number;
  readonly count: number;
  readonly kind: RunKind;
  /** For images: their place in the record's body, in pages, and of their checksums; for direct pages of the latter. */
  readonly body: number;
}

/** What a commit does besides changing pages. */
export interface MetaChange {
  /** Arrays as they are from now on. */
  readonly arrays?: readonly ArrayInfo[];
  /** Names of arrays that are gone. */
  readonly dropped?: readonly number[];
  /** Named snapshots as they are from now on. */
  readonly snapshots?: Readonly<Record<string, number>>;
  /** The commit did not wait for the disk. */
  readonly unsynced?: boolean;
}

export interface Position {
  readonly segment: number;
  readonly offset: number;
}

export interface Superblock extends Position {
  readonly sequence: number;
  readonly epoch: number;
  readonly applied: number;
  /** crc of the last record that is applied. */
  readonly chain: number;
  readonly pageSize: number;
  readonly catalogue: Catalogue;
}

export interface RecordHead {
  readonly epoch: number;
  readonly txid: number;
  /** crc of the record before. */
  readonly previous: number;
  readonly crc: number;
  readonly headBytes: number;
  readonly bodyBytes: number;
  /** All records before it were on the disk when it was written. */
  readonly settled: boolean;
  readonly runs: readonly PageRun[];
  readonly sums: Uint32Array;
  readonly meta: MetaChange;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

function putNumber(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

function getNumber(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

const over = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function hasMagic(bytes: Uint8Array, magic: string): boolean {
  for (let i = 0; i < magic.length; i++) if (bytes[i] !== magic.charCodeAt(i)) return false;
  return true;
}

/** crc32c with the four bytes at `at` taken as zeros. */
function sumWithout(bytes: Uint8Array, at: number): number {
  const first = crc32c(bytes.subarray(0, at));
  return crc32c(bytes.subarray(at + 4), crc32c(new Uint8Array(4), first));
}

function catalogueText(catalogue: Catalogue): Uint8Array {
  const text = encoder.encode(JSON.stringify(catalogue));
  if (SUPERBLOCK_FIXED + text.length > SUPERBLOCK_BYTES)
    throw new LimitError("catalogue", "the descriptions of all arrays and snapshots take more than 64 KiB");
  return text;
}

/** More pages than an array can have, and as many digits. */
const MOST_PAGES: number = 2 ** 36;

/**
 * A catalogue that no superblock has room for must not be committed: no checkpoint could be made, nor the store opened
 * again. Its numbers may grow later, without anybody asking.
 * @throws {LimitError} "catalogue" when it has not.
 */
export function checkCatalogue({ arrays, snapshots }: Catalogue): void {
  const grown = arrays.map((info) => ({ ...info, highWater: MOST_PAGES }));
  catalogueText({ nextId: Number.MAX_SAFE_INTEGER, arrays: grown, snapshots });
}

/** @throws {LimitError} "catalogue" when the arrays' descriptions do not fit. */
export function encodeSuperblock(block: Superblock): Uint8Array {
  const text = catalogueText(block.catalogue);
  const bytes = new Uint8Array(SUPERBLOCK_BYTES);
  const view = over(bytes);
  bytes.set(encoder.encode(SUPERBLOCK_MAGIC));
  view.setUint32(8, FORMAT_VERSION, true);
  view.setUint32(12, block.pageSize, true);
  putNumber(view, 16, block.sequence);
  putNumber(view, 24, block.epoch);
  putNumber(view, 32, block.applied);
  view.setUint32(40, block.segment, true);
  view.setUint32(44, block.chain, true);
  putNumber(view, 48, block.offset);
  view.setUint32(56, text.length, true);
  bytes.set(text, SUPERBLOCK_FIXED);
  view.setUint32(60, crc32c(bytes), true);
  return bytes;
}

/** A superblock, or what is wrong with it. */
export function decodeSuperblock(bytes: Uint8Array, path: string, at: number): Superblock | CorruptError {
  const view = over(bytes);
  if (bytes.length < SUPERBLOCK_BYTES || !hasMagic(bytes, SUPERBLOCK_MAGIC))
    return new CorruptError(path, at, "no superblock is here");
  const version = view.getUint32(8, true);
  if (version !== FORMAT_VERSION)
    throw new StoreFormatError(path, `format ${version}; this outcore reads ${FORMAT_VERSION}`);
  if (view.getUint32(60, true) !== sumWithout(bytes, 60))
    return new CorruptError(path, at, "the checksum of the superblock does not hold");
  const length = view.getUint32(56, true);
  if (SUPERBLOCK_FIXED + length > SUPERBLOCK_BYTES) return new CorruptError(path, at, "the catalogue is too long");
  return {
    pageSize: view.getUint32(12, true),
    sequence: getNumber(view, 16),
    epoch: getNumber(view, 24),
    applied: getNumber(view, 32),
    segment: view.getUint32(40, true),
    chain: view.getUint32(44, true),
    offset: getNumber(view, 48),
    catalogue: JSON.parse(decoder.decode(bytes.subarray(SUPERBLOCK_FIXED, SUPERBLOCK_FIXED + length))) as Catalogue,
  };
}

export interface NewRecord {
  readonly epoch: number;
  readonly txid: number;
  readonly previous: number;
  readonly runs: readonly PageRun[];
  /** Checksums of the images in the body, then of direct pages. */
  readonly sums: Uint32Array;
  readonly bodyBytes: number;
  /** All records before it are on the disk. */
  readonly settled: boolean;
  /** As `encodeMeta` makes it. */
  readonly meta: Uint8Array;
}

const recordMagic = encoder.encode(RECORD_MAGIC);
const emptyMeta = encoder.encode("{}");

export function encodeMeta(meta: MetaChange): Uint8Array {
  for (const _ in meta) return encoder.encode(JSON.stringify(meta));
  return emptyMeta;
}

/** Bytes of the head of a record, whole pages. */
export function headBytes(runs: number, sums: number, metaBytes: number, pageSize: number): number {
  const used = RECORD_FIXED + runs * RUN_BYTES + sums * 4 + metaBytes;
  return Math.ceil(used / pageSize) * pageSize;
}

/** Mostly a head is one page: always the same memory. */
let onePage: { readonly bytes: Uint8Array; readonly view: DataView } | undefined;

function zeros(length: number, pageSize: number): { bytes: Uint8Array; view: DataView } {
  if (length > pageSize || onePage?.bytes.length !== length) {
    const bytes = new Uint8Array(length);
    const made = { bytes, view: over(bytes) };
    if (length === pageSize) onePage = made;
    return made;
  }
  onePage.bytes.fill(0);
  return onePage;
}

/** The head of a record, padded to whole pages, and its crc. The head is to be used before the next one is made. */
export function encodeRecord(record: NewRecord, pageSize: number): { head: Uint8Array; crc: number } {
  const { runs, sums, meta } = record;
  const { bytes, view } = zeros(headBytes(runs.length, sums.length, meta.length, pageSize), pageSize);
  bytes.set(recordMagic);
  putNumber(view, 8, record.epoch);
  putNumber(view, 16, record.txid);
  view.setUint32(24, record.previous, true);
  putNumber(view, 32, bytes.length);
  putNumber(view, 40, record.bodyBytes);
  view.setUint32(48, runs.length, true);
  view.setUint32(52, sums.length, true);
  view.setUint32(56, meta.length, true);
  view.setUint32(60, record.settled ? 1 : 0, true);
  let at = RECORD_FIXED;
  for (const run of runs) {
    view.setUint32(at, run.array, true);
    view.setUint32(at + 4, KINDS.indexOf(run.kind), true);
    putNumber(view, at + 8, run.page);
    putNumber(view, at + 16, run.count);
    putNumber(view, at + 24, run.body);
    at += RUN_BYTES;
  }
  for (let i = 0; i < sums.length; i++, at += 4) view.setUint32(at, sums[i] ?? 0, true);
  bytes.set(meta, at);
  /* Its own four bytes are zeros still. */
  const crc = crc32c(bytes);
  view.setUint32(28, crc, true);
  return { head: bytes, crc };
}

/** Bytes of the head of the record that begins with this page, or undefined when none does. */
export function headLength(page: Uint8Array): number | undefined {
  if (!hasMagic(page, RECORD_MAGIC)) return undefined;
  const length = getNumber(over(page), 32);
  return length >= page.length && length % page.length === 0 && length <= 2 ** 31 ? length : undefined;
}

/** The head of a record, or undefined when it is not whole. */
export function decodeRecord(bytes: Uint8Array, pageSize: number): RecordHead | undefined {
  const view = over(bytes);
  const crc = view.getUint32(28, true);
  if (crc !== sumWithout(bytes, 28)) return undefined;
  const [runCount, sumCount, metaBytes] = [48, 52, 56].map((at) => view.getUint32(at, true)) as [
    number,
    number,
    number,
  ];
  const bodyBytes = getNumber(view, 40);
  if (RECORD_FIXED + runCount * RUN_BYTES + sumCount * 4 + metaBytes > bytes.length) return undefined;
  if (bodyBytes % pageSize !== 0 || bodyBytes > sumCount * pageSize) return undefined;
  const runs: PageRun[] = [];
  let at = RECORD_FIXED;
  for (let i = 0; i < runCount; i++, at += RUN_BYTES) {
    runs.push({
      array: view.getUint32(at, true),
      kind: KINDS[view.getUint32(at + 4, true)] ?? "zero",
      page: getNumber(view, at + 8),
      count: getNumber(view, at + 16),
      body: getNumber(view, at + 24),
    });
  }
  const sums = new Uint32Array(sumCount);
  for (let i = 0; i < sumCount; i++, at += 4) sums[i] = view.getUint32(at, true);
  return {
    epoch: getNumber(view, 8),
    txid: getNumber(view, 16),
    previous: view.getUint32(24, true),
    crc,
    headBytes: bytes.length,
    bodyBytes,
    settled: (view.getUint32(60, true) & 1) !== 0,
    runs,
    sums,
    meta: JSON.parse(decoder.decode(bytes.subarray(at, at + metaBytes))) as MetaChange,
  };
}
