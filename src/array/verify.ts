import { CorruptError } from "../errors.ts";
import { crc32c } from "../memory/crc32c.ts";
import type { StoreFile } from "../memory/store-file.ts";
import type { ArrayInfo } from "./catalogue.ts";
import { type History, startOf } from "./history.ts";
import { type Homes, storedSum } from "./homes.ts";
import { after } from "./log.ts";
import type { SharedState } from "./shared-state.ts";
import { readSuperblock } from "./superblocks.ts";

/** Pages that are looked at while the commit lock is held. */
const CHUNK = 4096;

/** Pages that are not what their checksums say; those that have none are zeros. */
function badPages(
  { id, name, highWater }: ArrayInfo,
  { history, homes }: { history: History; homes: Homes },
  locked: (work: () => void) => void,
): CorruptError[] {
  const found: CorruptError[] = [];
  const { pageSize } = history.log;
  const home = homes.get(id);
  const sums = homes.sums(id);
  const zeros = crc32c(new Uint8Array(pageSize));
  const check = (first: number): void => {
    const end = Math.min(first + CHUNK, highWater);
    const known = Math.max(0, Math.min(end, Math.floor(sums.size() / 4)) - first);
    const words = new DataView(sums.read(4 * first, 4 * known).buffer);
    /* Above it may lie what is not applied yet. */
    const base = history.base.arrays.find((info) => info.id === id)?.highWater ?? 0;
    const size = home.size();
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
  };
  for (let first = 0; first < highWater; first += CHUNK) locked(() => check(first));
  return found;
}

/**
 * Verifies every checksum of superblocks, log and home files, and that pages without one are zeros; what is wrong. `locked` does some work with the commit lock
 * held, and the home files as whole as the log can make them: somebody may have died while he wrote there.
 */
export function verifyStore(
  head: StoreFile,
  history: History,
  homes: Homes,
  shared: SharedState,
  locked: (work: () => void) => void,
): CorruptError[] {
  const { log } = history;
  const found: CorruptError[] = [];
  let cursor = startOf(readSuperblock(head, shared.proven));
  for (let record = log.next(cursor); record !== undefined; record = log.next(cursor)) {
    /* Behind the head lies what recovery has found to be torn. */
    if (record.txid > shared.head) break;
    const bad = log.firstBad(record);
    if (bad >= 0) found.push(log.badPage(record, bad, history.nameOf));
    cursor = after(record);
  }
  if (cursor.txid < shared.head)
    found.push(new CorruptError(log.path(cursor.segment), cursor.offset, `transaction ${cursor.txid + 1} is damaged`));
  for (const info of history.catalogue.arrays) {
    if (info.highWater === 0) continue;
    const home = homes.get(info.id);
    if (home.size() < info.highWater * log.pageSize)
      found.push(new CorruptError(home.path, home.size(), `array "${info.name}" was truncated from outside`));
    found.push(...badPages(info, { history, homes }, locked));
  }
  return found;
}
