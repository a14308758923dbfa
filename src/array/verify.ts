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

/** Pages whose checksum does not hold. */
function badPages(
  { id, name, highWater }: ArrayInfo,
  homes: Homes,
  pageSize: number,
  locked: (work: () => void) => void,
): CorruptError[] {
  const found: CorruptError[] = [];
  const home = homes.get(id);
  const sums = homes.sums(id);
  const check = (first: number): void => {
    const known = Math.min(first + CHUNK, highWater, Math.floor(sums.size() / 4)) - first;
    if (known <= 0) return;
    const words = new DataView(sums.read(4 * first, 4 * known).buffer);
    for (let i = 0; i < known; i++) {
      const expected = words.getUint32(4 * i, true);
      const at = (first + i) * pageSize;
      if (expected === 0 || at + pageSize > home.size()) continue;
      if (storedSum(crc32c(home.read(at, pageSize))) !== expected)
        found.push(
          new CorruptError(
            home.path,
            at,
            `page ${first + i} of array "${name}" is corrupt: its checksum does not hold`,
          ),
        );
    }
  };
  for (let first = 0; first < highWater; first += CHUNK) locked(() => check(first));
  return found;
}

/**
 * Verifies every checksum of superblocks, log and home files; what is wrong. `locked` does some work with the commit lock
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
    found.push(...badPages(info, homes, log.pageSize, locked));
  }
  return found;
}
