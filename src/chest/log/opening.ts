import { builtin } from "../../builtins.ts";
import { DamagedError, FormatError, NotFoundError } from "../../errors.ts";
import { Appender } from "./appender.ts";
import { bootIdentity, emptyState, HEAD_NAME, Head, type HeadState } from "./head.ts";
import { FIRST_PAGES } from "./log-index.ts";
import { type LogOptions, OpenLog } from "./open-log.ts";
import { recover } from "./recovery.ts";
import {
  type Identity,
  listSegments,
  OFFSETS,
  parseSegmentHeader,
  readSegmentHeader,
  SEGMENT_HEADER,
  segmentName,
} from "./segment.ts";
import { Table } from "./table.ts";

/** Whose the segments in a folder are; a new identity when there is none. */
function identify(folder: string): Identity {
  let damaged = false;
  for (const id of listSegments(folder)) {
    try {
      const header = readSegmentHeader(builtin("path").join(folder, segmentName(id)));
      if (header !== undefined) return header;
      damaged = true;
    } catch (error) {
      /* A writer has compacted it meanwhile: then there is another one. */
      if ((error as { code?: string }).code === "ENOENT") return identify(folder);
      throw error;
    }
  }
  if (damaged) throw new FormatError(folder, "no segment has an intact header");
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
  const bytes = new Uint8Array(2 * SEGMENT_HEADER);
  const fd = builtin("fs").openSync(file, "r");
  try {
    builtin("fs").readSync(fd, bytes, 0, bytes.length, 0);
  } finally {
    builtin("fs").closeSync(fd);
  }
  /* A record begins with its checksum and kind right behind the header. */
  return parseSegmentHeader(file, bytes) === undefined && bytes.subarray(SEGMENT_HEADER).every((byte) => byte === 0);
}

/** The log of a folder that is locked for writing, before anything of it is trusted. */
export function attach(folder: string, options: LogOptions): OpenLog {
  const head = Head.open(folder, !options.readOnly);
  try {
    const unborn = head === undefined && isUnborn(folder);
    if (options.readOnly && head === undefined && (unborn || listSegments(folder).length === 0))
      throw new NotFoundError(builtin("path").join(folder, HEAD_NAME));
    if (unborn)
      for (const id of listSegments(folder)) builtin("fs").rmSync(builtin("path").join(folder, segmentName(id)));
    /* One that is not whole may say anything. */
    const identity = head?.read() === undefined ? identify(folder) : head.identity;
    const log = new OpenLog(folder, options, identity);
    if (head !== undefined && isSame(head.identity, identity)) log.head = head;
    else head?.close();
    return log;
  } catch (error) {
    head?.close();
    throw error;
  }
}

export function isSame(one: Identity, other: Identity): boolean {
  return one.seed === other.seed && one.id.every((byte, i) => byte === other.id[i]);
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
  log.state = emptyState();
  for (const segment of log.segments.opened()) segment.refresh();
  const folder = builtin("fs").mkdtempSync(builtin("path").join(builtin("os").tmpdir(), "outcore-chest-"));
  try {
    log.adopt(Table.create(folder, 1, FIRST_PAGES, log.identity), folder);
    replay(log, 0);
  } catch (error) {
    dropIndex(log);
    builtin("fs").rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

function dropIndex(log: OpenLog): void {
  const { index } = log;
  log.index = undefined;
  log.headVersion = -1;
  index?.close();
}

/** Makes a log ready for its writer: new, as it was closed, or recovered. */
export function openForWriting(log: OpenLog): void {
  const ids = listSegments(log.folder);
  const state = log.head?.read();
  if (ids.length === 0) {
    create(log, state);
    return;
  }
  if (state === undefined || !openSound(log, state, ids)) {
    log.index?.close();
    const table = Table.create(log.folder, nextGeneration(log.folder, state), FIRST_PAGES, log.identity);
    log.adopt(table);
    const synced = (state?.clean ? state.committed : state?.synced) ?? 0;
    log.state = { ...emptyState(), synced, generation: table.generation, boot: bootIdentity() };
    replay(log, 0);
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

/** Uses head and index as they are, and what the log has beyond them. False when they cannot be trusted. */
function openSound(log: OpenLog, state: HeadState, ids: readonly number[]): boolean {
  const table = Table.open(log.folder, state.generation, log.identity, true);
  if (table === undefined) return false;
  log.adopt(table);
  const last = Math.floor(state.committed / OFFSETS);
  const isLast = last === ids.at(-1);
  const size = isLast ? builtin("fs").statSync(builtin("path").join(log.folder, segmentName(last))).size : -1;
  if (state.clean && isLast && size <= state.committed % OFFSETS) {
    table.checkPages(() => failDamaged(log, table));
    use(log, state);
    reopenActive(log, last, size);
    if (log.head!.isChanging) show(log);
    return true;
  }
  /* Not closed by its last writer, but the system has not been down since: pages are as they were written. */
  const boot = bootIdentity();
  if (state.boot === "" || state.boot !== boot || table.isTorn()) return false;
  use(log, state);
  log.head!.begin();
  replay(log, state.applied);
  return true;
}

/** Takes over what the head says. */
export function use(log: OpenLog, state: HeadState): void {
  log.state = state;
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
function replay(log: OpenLog, from: number): void {
  const { state, index } = log;
  const proven = state.clean ? state.committed : state.synced;
  const result = recover(log, from, proven, {
    find: (key) => log.find(key),
    put: (key, position, before) => index!.put(key.h1, key.tag, position, before),
    remove: (key, before) => index!.remove(key.h1, key.tag, before),
    damage: (segment, offset, length, detail) => log.reportDamage(segment.path, offset, length, detail),
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
  continueAfter(log, end);
  state.boot = bootIdentity();
  state.clean = false;
  state.generation = table.generation;
  show(log);
}

/** Drops what was never committed and goes on behind the last commit. */
function continueAfter(log: OpenLog, end: number): void {
  const { segments } = log;
  const last = Math.floor(end / OFFSETS);
  for (const id of segments.ids()) if (id > last) segments.remove(id);
  const ids = segments.ids();
  if (end === 0 || !ids.includes(last)) {
    log.startSegment((ids.at(-1) ?? 0) + 1);
    return;
  }
  const segment = segments.at(last);
  if (segment.file.size() < end % OFFSETS) {
    log.startSegment(last + 1);
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
