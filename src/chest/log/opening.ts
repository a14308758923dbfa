import { builtin } from "../../builtins.ts";
import { DamagedError, FormatError, NotFoundError } from "../../errors.ts";
import { removeTemporary, temporaryFolder } from "../temporary.ts";
import { Appender } from "./appender.ts";
import { bootIdentity, emptyState, HEAD_CHECKED, HEAD_NAME, Head, type HeadState } from "./head.ts";
import { FIRST_PAGES } from "./log-index.ts";
import { type LogOptions, OpenLog } from "./open-log.ts";
import { lostEnd, recover } from "./recovery.ts";
import {
  type Identity,
  isSame,
  listSegments,
  OFFSETS,
  parseSegmentHeader,
  readSegmentHeader,
  readStart,
  SEGMENT_HEADER,
  type Segment,
  segmentName,
} from "./segment.ts";
import { Table } from "./table.ts";

/** Whose the segments in a folder are; a new identity when there is none. */
function identify(folder: string): Identity {
  let ids = listSegments(folder);
  for (let last = -1; ids.length > 0 && ids.at(-1) !== last; ids = listSegments(folder)) {
    for (const id of ids) {
      try {
        const header = readSegmentHeader(builtin("path").join(folder, segmentName(id)));
        if (header !== undefined) return header;
      } catch (error) {
        /* Compacted meanwhile, into one that came later, or a link to nowhere. */
        if (!(error instanceof NotFoundError)) throw error;
      }
    }
    last = ids.at(-1)!;
  }
  if (ids.length > 0) throw new FormatError(folder, "no segment has an intact header");
  const random = builtin("crypto").randomBytes(20);
  return {
    id: new Uint8Array(random.subarray(0, 16)),
    seed: new DataView(random.buffer, random.byteOffset + 16, 4).getUint32(0),
  };
}

/**
 * Whether a chest was being made when its process died: no head, one segment, of which no more than a part of the header
 * was written. Nothing has been in it.
 */
function isUnborn(folder: string): boolean {
  const ids = listSegments(folder);
  if (ids.length !== 1) return false;
  const file = builtin("path").join(folder, segmentName(ids[0]!));
  const bytes = readStart(file, 2 * SEGMENT_HEADER);
  /* A record begins with its checksum and kind right behind the header. */
  return parseSegmentHeader(file, bytes) === undefined && bytes.subarray(SEGMENT_HEADER).every((byte) => byte === 0);
}

/** The log of a folder that is locked for writing, before anything of it is trusted. */
export function attach(folder: string, options: LogOptions): OpenLog {
  const head = Head.open(folder, !options.readOnly);
  try {
    if (head === undefined && builtin("fs").existsSync(builtin("path").join(folder, "chest.folder.json")))
      throw new FormatError(folder, "it holds a chest with one value a file; it needs folderTier()");
    const unborn = head === undefined && isUnborn(folder);
    if (options.readOnly && head === undefined && (unborn || listSegments(folder).length === 0))
      throw new NotFoundError(builtin("path").join(folder, HEAD_NAME));
    if (unborn)
      for (const id of listSegments(folder)) builtin("fs").rmSync(builtin("path").join(folder, segmentName(id)));
    const version = head?.version();
    const state = head?.read();
    const count = listSegments(folder).length;
    /* One that is not whole may say anything. */
    const identity = head === undefined || state === undefined ? identify(folder) : head.identity;
    const log = new OpenLog(folder, options, identity);
    const missing = state?.clean && head?.version() === version ? state.segments - count : 0;
    if (missing > 0) log.reportDamage(folder, 0, 0, `${missing} of its ${missing + count} segments are missing`);
    if (head?.isDamaged()) log.reportDamage(head.path, 0, HEAD_CHECKED, "the head's checksum does not match");
    if (head !== undefined && isSame(head.identity, identity)) log.head = head;
    else head?.close();
    return log;
  } catch (error) {
    head?.close();
    throw error;
  }
}

/** The number of the next index: readers may still use any that there was, and the head may name one that is gone. */
function nextGeneration(folder: string, state: HeadState | undefined): number {
  let last = state?.generation ?? 0;
  for (const name of builtin("fs").readdirSync(folder)) {
    const match = /^([0-9a-f]{8})\.index$/.exec(name);
    if (match) last = Math.max(last, Number.parseInt(match[1]!, 16));
  }
  return last + 1;
}

/**
 * An index of a reader's own, in place of the one that it had: where nobody has repaired the chest's after the machine
 * went down, or its writer died or stays in the middle of a change. Where it fails there is none.
 */
export function rebuildPrivately(log: OpenLog): void {
  dropIndex(log);
  const shown = log.head?.read();
  log.segments.leaveAfter(log.state.committed);
  log.state = emptyState();
  for (const segment of log.segments.opened()) segment.refresh();
  const folder = temporaryFolder();
  try {
    log.adopt(Table.create(folder, 1, FIRST_PAGES, log.identity), folder);
    replay(log, 0, provenBy(shown));
  } catch (error) {
    dropIndex(log);
    removeTemporary(folder);
    throw error;
  }
}

/** Gives up the index that a reader has. */
export function dropIndex(log: OpenLog): void {
  const { index } = log;
  log.index = undefined;
  log.headVersion = -1;
  index?.close();
}

/** Makes a log ready for its writer: new, as it was closed, or recovered. */
export function openForWriting(log: OpenLog): void {
  const ids = listSegments(log.folder);
  const state = log.head?.read();
  if (ids.length === 0 && (state === undefined || state.commits === 0)) {
    create(log, state);
    return;
  }
  if (state === undefined || !openSound(log, state, ids)) {
    log.index?.close();
    const table = Table.create(log.folder, nextGeneration(log.folder, state), FIRST_PAGES, log.identity);
    log.adopt(table);
    const synced = (state?.clean ? state.committed : state?.synced) ?? 0;
    log.state = { ...emptyState(), synced, generation: table.generation, boot: bootIdentity() };
    replay(log, 0, provenBy(state));
  }
  removeOthers(log);
}

function create(log: OpenLog, before: HeadState | undefined): void {
  const table = Table.create(log.folder, nextGeneration(log.folder, before), FIRST_PAGES, log.identity);
  log.adopt(table);
  log.state = { ...emptyState(), generation: table.generation, boot: bootIdentity() };
  log.startSegment(1);
  show(log);
}

/** Tells readers of `state`, from which moment on they use the index that it names. */
function show(log: OpenLog): void {
  if (log.head === undefined) log.head = Head.create(log.folder, log.identity, log.state);
  else log.head.write(log.state);
}

/** The last segment that is one; the others need not be opened. */
function lastOf({ segments }: OpenLog): Segment | undefined {
  for (const id of segments.ids().reverse()) {
    try {
      return segments.at(id);
    } catch (error) {
      if (!(error instanceof DamagedError || error instanceof NotFoundError)) throw error;
    }
  }
  return undefined;
}

/** Uses head and index as they are, and what the log has beyond them. False when they cannot be trusted. */
function openSound(log: OpenLog, state: HeadState, ids: readonly number[]): boolean {
  const table = Table.open(log.folder, state.generation, log.identity, true);
  if (table === undefined) return false;
  log.adopt(table);
  if (!table.canHold(state.count)) return false;
  const last = Math.floor(state.committed / OFFSETS);
  const segment = lastOf(log);
  const isLast = last === segment?.id && last === ids.at(-1);
  const size = isLast ? segment!.file.size() : -1;
  if (state.clean && isLast && size <= state.committed % OFFSETS) {
    table.checkPages(() => failDamaged(log, table));
    use(log, state);
    reopenActive(log, last, size);
    checkWhole(log);
    if (log.head!.isChanging) show(log);
    return true;
  }
  /* Not closed by its last writer, but the system has not been down since: pages are as they were written. */
  const lost = lostEnd(segment, state.committed);
  if (!isOfThisRun(state) || table.isTorn() || lost !== undefined) return false;
  use(log, state);
  log.head!.begin();
  replay(log, state.applied, provenBy(state));
  return true;
}

/** Whether the system has not been down since the head was written, so that memory lost nothing. */
function isOfThisRun({ boot }: HeadState): boolean {
  return boot !== "" && boot === bootIdentity();
}

/** The end of what must be in the log's files. */
function provenBy(state: HeadState | undefined): number {
  if (state === undefined) return 0;
  return state.clean || isOfThisRun(state) ? state.committed : state.synced;
}

/**
 * Reports what a reader would not meet, because the index is sound and the log that it points to is not there. `refresh`
 * says whether that was so at an earlier commit, which may be compacted by now.
 */
export function checkWhole(log: OpenLog, refresh: () => boolean = () => false): void {
  let lost = lostEnd(lastOf(log), provenBy(log.state));
  while (lost !== undefined && refresh()) {
    /* One of its own says so itself. */
    if (log.index!.isPrivate) return;
    lost = lostEnd(lastOf(log), provenBy(log.state));
  }
  if (lost !== undefined)
    log.reportDamage(log.segments.pathOf(log.state.committed), lost.from, lost.length, "the end of the log is missing");
}

/** Takes over what the head says. */
export function use(log: OpenLog, state: HeadState): void {
  /* Of one that was dropped a writer takes what is left. */
  log.state = { ...state, dropped: false };
  log.nextSequence = state.nextSequence;
  log.index!.table.count = state.count;
}

/** It is extended with the first change, so that a chest which is only read stays closed on the disk. */
function reopenActive(log: OpenLog, id: number, size: number): void {
  const end = log.state.committed % OFFSETS;
  const segment = log.segments.at(id);
  if (size >= end) {
    log.appender = Appender.resume(log.segments, log.options.segmentSize, log.identity, segment, end);
    return;
  }
  log.reportDamage(segment.path, size, end - size, "the end of the log is missing");
  log.startSegment(id + 1);
}

function failDamaged(log: OpenLog, table: Table): never {
  /* Next time it is built anew from the log. */
  log.index = undefined;
  const error = new DamagedError(
    table.file,
    0,
    "the index is not as it was closed; open the chest again to rebuild it",
  );
  log.fail(error);
  table.discard();
  throw error;
}

/** Replays the log from a position (0: all of it) into the index. */
function replay(log: OpenLog, from: number, proven: number): void {
  const { state, index } = log;
  const result = recover(log, from, proven, {
    find: (key) => log.findWhole(key),
    put: (key, position, before) => index!.put(key.h1, key.tag, position, before),
    remove: (key, before) => index!.remove(key.h1, key.tag, before),
    damage: (path, offset, length, detail) => log.reportDamage(path, offset, length, detail),
  });
  const { commit } = result;
  const end = result.end === 0 ? state.committed : result.end;
  log.nextSequence = Math.max(log.nextSequence, result.nextSequence);
  state.committed = state.applied = end;
  state.commits = Math.max(state.commits, commit?.number ?? 0);
  state.synced = Math.max(state.synced, commit?.synced ?? 0);
  const { table } = index!;
  if (from !== 0 && commit !== undefined && log.damage.length === 0) table.count = commit.count;
  if (from === 0) table.recount();
  state.count = table.count;
  state.nextSequence = log.nextSequence;
  if (log.readOnly) return;
  continueAfter(log, end, proven);
  state.boot = bootIdentity();
  state.clean = false;
  state.generation = table.generation;
  show(log);
}

/** Drops what was never committed and goes on behind the last commit. */
function continueAfter(log: OpenLog, end: number, proven: number): void {
  const { segments } = log;
  const last = Math.floor(end / OFFSETS);
  for (const { id } of segments.all()) if (id > last) segments.remove(id);
  const ids = segments.ids();
  const segment = segments.all().find(({ id }) => id === last);
  /* No position is used twice, be what was there lost, and no file that is not the log's is written over. */
  if (
    end === 0 ||
    segment === undefined ||
    ids.at(-1) !== last ||
    lostEnd(segment, Math.max(end, proven)) !== undefined
  ) {
    log.startSegment(Math.max(ids.at(-1) ?? 0, last, Math.floor(proven / OFFSETS)) + 1);
    return;
  }
  log.appender = Appender.resume(segments, log.options.segmentSize, log.identity, segment, end % OFFSETS);
  log.appender.extend();
}

function removeOthers(log: OpenLog): void {
  const { path, rmSync, readdirSync } = { path: builtin("path"), ...builtin("fs") };
  const own = path.basename(log.index!.table.file);
  for (const name of readdirSync(log.folder))
    if (name.endsWith(".index") && name !== own) rmSync(path.join(log.folder, name), { force: true });
}
