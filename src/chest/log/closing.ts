import { builtin } from "../../builtins.ts";
import { LimitError, NotFoundError } from "../../errors.ts";
import type { OpenLog } from "./open-log.ts";
import { COMMIT_SIZE, writeCommit } from "./record.ts";
import { OFFSETS, type Segment } from "./segment.ts";

/** Leaves everything on the disk such that the next one to open it need not look at the log. */
export function closeWell(log: OpenLog): void {
  const { state, segments } = log;
  const { sync } = log.options;
  /* The index lacks what is committed, because there was no room for it: the next one to open the chest enters it. */
  if (state.applied !== state.committed) return;
  /* A segment that was begun for what could not be written then is given up too. */
  const last = Math.floor(state.committed / OFFSETS);
  if (log.changes.length > 0 || log.appender!.active.id !== last) rollBack(log);
  segments.unpinAll();
  segments.sweep();
  const active = log.appender!.active;
  active.file.truncate(state.committed % OFFSETS);
  if (state.clean) return;
  if (sync) {
    active.synced = false;
    state.synced = -1;
    syncLog(log);
    writeClosingCommit(log, active);
  }
  const { table } = log.index!;
  table.seal(sync);
  state.nextSequence = log.nextSequence;
  state.count = table.count;
  state.clean = sync;
  state.segments = sync ? segments.ids().length : 0;
  log.head!.write(state);
  if (sync) log.head!.sync();
}

/** Waits until the disk has everything committed. */
export function syncLog(log: OpenLog): void {
  const { state } = log;
  if (state.synced === state.committed) return;
  try {
    log.segments.sync();
  } catch (error) {
    /* After a failed sync nobody knows what is on the disk, and asking again says nothing. Without a descriptor none was tried. */
    if (!(error instanceof LimitError)) log.fail(error);
    throw error;
  }
  state.synced = state.committed;
}

/** @throws {NotFoundError} when the files were removed under us: what was synced is nowhere then. */
export function checkThere(log: OpenLog): void {
  const { path } = log.appender!.active;
  if (!builtin("fs").existsSync(path)) throw new NotFoundError(path);
}

/** Says that all before it is on the disk, should the head be lost. */
function writeClosingCommit({ state }: OpenLog, active: Segment): void {
  const bytes = new Uint8Array(COMMIT_SIZE);
  const { commits, count, nextSequence, synced } = state;
  writeCommit(bytes, 0, { number: commits + 1, count, nextSequence, synced, time: Date.now(), reserved: 0 });
  try {
    active.file.write(state.committed % OFFSETS, bytes);
    active.file.sync();
  } catch {
    active.file.truncate(state.committed % OFFSETS);
    return;
  }
  state.commits++;
  state.committed += COMMIT_SIZE;
  state.applied = state.synced = state.committed;
}

/** Gives up what was staged: the log ends at the last commit again. */
function rollBack(log: OpenLog): void {
  const { segments, appender } = log;
  const last = Math.floor(log.state.committed / OFFSETS);
  for (const { id } of [...segments.opened()]) if (id > last) segments.remove(id);
  appender!.active = segments.at(last);
  log.changes.clear();
}

export function closeAll(log: OpenLog): void {
  log.closed = true;
  /* To the writer it is known. */
  const last = Math.floor(log.state.committed / OFFSETS);
  if (log.readOnly)
    for (const segment of log.segments.opened()) if (segment.id >= last) segment.end = log.endOf(segment);
  let failure: unknown;
  for (const part of [log.index, log.segments, log.head]) {
    try {
      part?.close();
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
}

/** Removes the files of a closed log, and the folder when nothing else is in it. */
export function removeAll(folder: string, others: readonly string[]): void {
  const fs = builtin("fs");
  for (const name of fs.readdirSync(folder))
    if (/^[0-9a-f]{8}\.(log|index)$/.test(name) || others.includes(name))
      fs.rmSync(builtin("path").join(folder, name), { force: true });
  try {
    fs.rmdirSync(folder);
  } catch {
    /* Something of somebody else's is in it. */
  }
}
