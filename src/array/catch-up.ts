import type { Applier } from "./applier.ts";
import type { History } from "./history.ts";
import type { SharedState } from "./shared-state.ts";

/**
 * Reads what others have committed, and a whole record that somebody left who died before saying so. Whoever calls holds
 * the commit lock.
 */
export function catchUp(history: History, applier: Applier, shared: SharedState): void {
  const { log } = history;
  history.read(shared.head);
  if (shared.sequence !== history.superblock.sequence) history.followSuperblock();
  while (!shared.solitary) {
    const orphan = log.next(history.cursor);
    if (orphan === undefined || log.firstBad(orphan) >= 0) break;
    const takeBack = history.takeUnseen(orphan);
    try {
      applier.syncLog(history.cursor);
    } catch (error) {
      /* Nobody here is to stand at what others do not know of. */
      takeBack();
      throw error;
    }
    shared.head = orphan.txid;
  }
  applier.finish();
}
