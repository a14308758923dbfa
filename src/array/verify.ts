import { CorruptError } from "../errors.ts";
import { crc32c } from "../memory/crc32c.ts";
import type { StoreFile } from "../memory/store-file.ts";
import type { ArrayInfo } from "./catalogue.ts";
import { type History, startOf } from "./history.ts";
import { type Homes, storedSum } from "./homes.ts";
import { after, type Cursor } from "./log.ts";
import type { SharedState } from "./shared-state.ts";
import { readSuperblock } from "./superblocks.ts";

/** Pages that are looked at while the commit lock is held. */
const CHUNK = 4096;
/** Bytes of records that are. */
const BATCH: number = 2 ** 24;

/** What is verified, and how it is done beside others who write. */
export interface Verified {
  readonly head: StoreFile;
  readonly history: History;
  readonly homes: Homes;
  readonly shared: SharedState;
  /**
   * Does some work with the commit lock held, and the home files as whole as the log can make them: somebody may have
   * died while he wrote there. In between others commit, shorten the log, and drop arrays.
   */
  locked(work: () => void): void;
}

/** Records whose checksums do not hold. */
function badRecords({ head, history, shared, locked }: Verified): CorruptError[] {
  const { log } = history;
  const found: CorruptError[] = [];
  let cursor: Cursor | undefined;
  const check = (): boolean => {
    const start = startOf(readSuperblock(head, shared.proven));
    let at = cursor === undefined || cursor.txid <= start.txid ? start : cursor;
    for (let bytes = 0; bytes < BATCH; ) {
      const record = log.next(at);
      /* Behind the head lies what recovery has found to be torn. */
      if (record === undefined || record.txid > shared.head) {
        if (at.txid < shared.head)
          found.push(new CorruptError(log.path(at.segment), at.offset, `transaction ${at.txid + 1} is damaged`));
        return true;
      }
      const bad = log.firstBad(record);
      if (bad >= 0) found.push(log.badPage(record, bad, history.nameOf));
      bytes += record.headBytes + record.bodyBytes;
      at = after(record);
    }
    cursor = at;
    return false;
  };
  for (let done = false; !done; )
    locked(() => {
      done = check();
    });
  return found;
}

/** Pages of an array's home file, from `first` on, that are not what their checksums say; those that have none are zeros. */
function badPages({ id, name, highWater }: ArrayInfo, first: number, { history, homes }: Verified): CorruptError[] {
  const found: CorruptError[] = [];
  const { pageSize } = history.log;
  const home = homes.get(id);
  const sums = homes.sums(id);
  const zeros = crc32c(new Uint8Array(pageSize));
  const size = home.size();
  if (first === 0 && size < highWater * pageSize)
    found.push(new CorruptError(home.path, size, `array "${name}" was truncated from outside`));
  const end = Math.min(first + CHUNK, highWater);
  const known = Math.max(0, Math.min(end, Math.floor(sums.size() / 4)) - first);
  const words = new DataView(sums.read(4 * first, 4 * known).buffer);
  /* Above it may lie what is not applied yet. */
  const base = history.base.arrays.find((info) => info.id === id)?.highWater ?? 0;
  const isHole = home.holes(end * pageSize);
  for (let page = first; page < end; page++) {
    const at = page * pageSize;
    const sum = page < first + known ? words.getUint32(4 * (page - first), true) : 0;
    if (at + pageSize > size || (sum === 0 && (page >= base || isHole(at, pageSize)))) continue;
    const there = crc32c(home.read(at, pageSize));
    if (sum === 0 ? there === zeros : storedSum(there) === sum) continue;
    const reason = sum === 0 ? "it was never written, or cleared, and is not zeros" : "its checksum does not hold";
    found.push(new CorruptError(home.path, at, `page ${page} of array "${name}" is corrupt: ${reason}`));
  }
  return found;
}

/** Verifies every checksum of superblocks, log and home files, and that pages without one are zeros; what is wrong. */
export function verifyStore(store: Verified): CorruptError[] {
  const { history, locked } = store;
  const found = badRecords(store);
  for (const { id } of history.catalogue.arrays)
    for (let first = 0, end = 1; first < end; first += CHUNK)
      locked(() => {
        /* Nobody needs the files of one that is not known any more. */
        const info = history.everKnown().find((each) => each.id === id);
        end = info?.highWater ?? 0;
        if (info !== undefined && first < end) found.push(...badPages(info, first, store));
      });
  return found;
}
