import { builtin } from "../builtins.ts";
import { CorruptError } from "../errors.ts";
import { pageSize as systemPageSize } from "../memory/page.ts";
import { StoreFile, syncFolder } from "../memory/store-file.ts";
import type { Applier } from "./applier.ts";
import { emptyCatalogue } from "./catalogue.ts";
import { SUPERBLOCK_BYTES } from "./format.ts";
import type { History } from "./history.ts";
import type { Homes } from "./homes.ts";
import { after } from "./log.ts";
import { mutations } from "./mutations.ts";
import type { SharedState } from "./shared-state.ts";
import { readSuperblock, writeSuperblock } from "./superblocks.ts";

/** Whether there is a store. One whose making was interrupted has no whole superblock and nothing else. */
export function isMade(path: string): boolean {
  const { existsSync, readdirSync } = builtin("fs");
  if (!existsSync(path)) return false;
  if (readdirSync(builtin("path").dirname(path)).some((name) => /^(log\.|a\d)/.test(name))) return true;
  const head = StoreFile.open(path, false);
  try {
    readSuperblock(head, Number.POSITIVE_INFINITY);
    return true;
  } catch (error) {
    if (error instanceof CorruptError) return false;
    throw error;
  } finally {
    head.close();
  }
}

/** Makes an empty store; `path` is that of its file `head`. */
export function makeStore(path: string, folder: string): void {
  const head = StoreFile.create(path, false);
  const pageSize = systemPageSize();
  const first = { sequence: 0, epoch: 1, applied: 0, chain: 0, segment: 1, offset: 0, pageSize };
  head.truncate(2 * SUPERBLOCK_BYTES);
  writeSuperblock(head, { ...first, catalogue: emptyCatalogue });
  head.close();
  syncFolder(folder);
}

/**
 * The log ends at the cursor: it must not be that transactions behind it were on the disk once. `durable`: the last of
 * which somebody has noted so; 0 when nobody has.
 * @throws {CorruptError} when there were such.
 */
function checkEnd({ log, cursor, superblock }: History, durable: number): void {
  const later = Math.max(durable, (log.settledAfter(cursor, superblock.epoch)?.txid ?? 0) - 1);
  if (later > cursor.txid)
    throw new CorruptError(
      log.path(cursor.segment),
      cursor.offset,
      `transaction ${cursor.txid + 1} is damaged, or not there any more, though all up to ${later} were on the disk`,
    );
}

/** The store was opened by nobody else: what the log holds is made true, all else undone. */
export function recover(history: History, homes: Homes, shared: SharedState, applier: Applier): void {
  const { log, superblock } = history;
  for (let record = log.next(history.cursor); record !== undefined; record = log.next(history.cursor)) {
    const bad = mutations.noPageSums ? -1 : log.firstBad(record);
    if (bad >= 0) {
      /* The end of the log may be torn; a record that another one follows was whole once. */
      const next = log.next(after(record));
      if (next !== undefined && (record.meta.unsynced !== true || next.settled))
        throw log.badPage(record, bad, history.nameOf);
      break;
    }
    history.take(record);
  }
  const { cursor, records } = history;
  checkEnd(history, shared.before.durable);
  shared.head = cursor.txid;
  const unsure = records.filter(({ txid }) => txid > shared.before.durable);
  log.rewrite(unsure, history.nameOf);
  for (let segment = superblock.segment; segment <= cursor.segment; segment++) log.syncSegment(segment);
  shared.durable = cursor.txid;
  shared.applied = superblock.applied;
  if (superblock.sequence > shared.before.sequence && !mutations.trustSuperblock) applier.proveSuperblock();
  shared.sequence = superblock.sequence;
  for (const { id, name, highWater } of history.everKnown()) {
    if (highWater === 0 && !homes.exists(id)) continue;
    const home = homes.get(id);
    const bytes = highWater * log.pageSize;
    const isLogged = records.some(({ runs }) => runs.some(({ array }) => array === id));
    if (home.size() > bytes && !mutations.noTruncate) {
      home.truncate(bytes);
      home.sync();
    } else if (home.size() < bytes) {
      if (!isLogged && history.info(id) === undefined) continue;
      if (!isLogged) throw new CorruptError(home.path, home.size(), `array "${name}" lost its end`);
      home.truncate(bytes);
    }
  }
  const hadRecords = records.length > 0;
  applier.apply(Math.min(shared.head, ...Object.values(history.catalogue.snapshots)));
  if (hadRecords) applier.persist(history.records.length === 0 ? superblock.epoch + 1 : superblock.epoch);
  /* Nobody else is here who could be making arrays. */
  const known = new Set([...history.base.arrays, ...history.everKnown()].map(({ id }) => id));
  homes.removeUnknown(known, Number.POSITIVE_INFINITY, () => false);
}
