import { CorruptError } from "../errors.ts";
import type { StoreFile } from "../memory/store-file.ts";
import { type History, startOf } from "./history.ts";
import type { Homes } from "./homes.ts";
import { after } from "./log.ts";
import { readSuperblock } from "./superblocks.ts";

/** Verifies every checksum of superblocks and log, up to transaction `newest`; what is wrong. */
export function verifyStore(head: StoreFile, history: History, homes: Homes, newest: number): CorruptError[] {
  const { log } = history;
  const found: CorruptError[] = [];
  let cursor = startOf(readSuperblock(head));
  for (let record = log.next(cursor); record !== undefined; record = log.next(cursor)) {
    const bad = log.firstBad(record);
    if (bad >= 0) found.push(log.badPage(record, bad, history.nameOf));
    cursor = after(record);
  }
  if (cursor.txid < newest)
    found.push(new CorruptError(log.path(cursor.segment), cursor.offset, `transaction ${cursor.txid + 1} is damaged`));
  for (const { id, name, highWater } of history.catalogue.arrays) {
    const home = highWater > 0 ? homes.get(id) : undefined;
    if (home !== undefined && home.size() < highWater * log.pageSize)
      found.push(new CorruptError(home.path, home.size(), `array "${name}" was truncated from outside`));
  }
  return found;
}
