import { builtin } from "../../builtins.ts";
import { FormatError } from "../../errors.ts";
import { Mapping } from "../../memory/mapping.ts";
import { Words } from "../../memory/words.ts";
import { isCount, shortChecksum } from "../bytes.ts";
import { FORMAT_VERSION, type Identity } from "./segment.ts";

const SIZE = 4096;
const MAGIC = "OCCHEAD\n";
const VERSION_WORD = 3;
/* Its state. */
const CLOSED = 1;
const DROPPED = 2;
/** Numbers from byte 48 on. */
const NUMBERS = 7;
const SEGMENTS = 164;
const CHECKED = 168;
const CHECK = 168;
const SPINS = 10_000;
const SHORT_SPINS = 1000;
/** Milliseconds that a reader waits for the end of a change. */
const PATIENCE = 1000;
/** After so many of its pauses a reader looks whether the writer lives. */
const PAUSES = 16;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

export const HEAD_NAME = "chest.head";
/** Bytes that its checksum covers. */
export const HEAD_CHECKED: number = CHECKED;

/** What the head says; positions are segment * 2^28 + offset. */
export interface HeadState {
  /** False from the first change on until the chest is closed. */
  clean: boolean;
  /** Its files are being removed, or were. */
  dropped: boolean;
  /** Number of the index file. */
  generation: number;
  /** End of the last commit record. */
  committed: number;
  /** What the index covers. */
  applied: number;
  count: number;
  nextSequence: number;
  commits: number;
  synced: number;
  /** Bytes of records that are dead. */
  dead: number;
  /** Files of the log when it was closed; 0: not told. */
  segments: number;
  /** The run of the operating system in which the index was last changed. */
  boot: string;
}

export const emptyState = (): HeadState => ({
  clean: false,
  dropped: false,
  generation: 0,
  committed: 0,
  applied: 0,
  count: 0,
  nextSequence: 0,
  commits: 0,
  synced: 0,
  dead: 0,
  segments: 0,
  boot: "",
});

let boot: string | undefined;

/** Which run of the operating system this is; empty where it does not tell. */
export function bootIdentity(): string {
  if (boot !== undefined) return boot;
  try {
    boot = builtin("fs").readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    boot = "";
  }
  return boot;
}

/** The mapped file through which the writer tells readers where things are. It says nothing that the log does not. */
export class Head {
  readonly identity: Identity;
  #mapping: Mapping;
  #view: DataView;
  #words: Int32Array;
  #changing: boolean;
  #shared: Words;
  /** What it said last, to its writer. */
  #shown: HeadState | undefined;

  private constructor(mapping: Mapping, identity: Identity) {
    this.#mapping = mapping;
    const bytes = mapping.bytes(0, SIZE);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, SIZE);
    this.#shared = new Words(mapping);
    this.#words = this.#shared.i32;
    this.identity = identity;
    /* A change in which a writer died goes on until the next writer has made it good. */
    this.#changing = mapping.access === "write" && (this.version() & 1) === 1;
  }

  /** Makes one that says this. Nobody sees it before it is whole. */
  static create(folder: string, identity: Identity, state: HeadState): Head {
    const file = builtin("path").join(folder, HEAD_NAME);
    const temporary = `${file}.new`;
    const bytes = new Uint8Array(SIZE);
    const view = new DataView(bytes.buffer);
    bytes.set(new TextEncoder().encode(MAGIC));
    view.setUint32(8, FORMAT_VERSION, true);
    bytes.set(identity.id, 16);
    view.setUint32(32, identity.seed, true);
    builtin("fs").writeFileSync(temporary, bytes, { mode: 0o600 });
    const first = new Head(Mapping.open(temporary, { access: "write" }), identity);
    first.write(state);
    first.close();
    builtin("fs").renameSync(temporary, file);
    const head = new Head(Mapping.open(file, { access: "write" }), identity);
    head.#shown = { ...state };
    return head;
  }

  /**
   * Opens a head, which need not be whole: its writer may be in the middle of a change, or have died there. It stays the
   * same file then, because readers have it mapped. Undefined when there is none.
   * @throws {FormatError} when it is of a newer version.
   */
  static open(folder: string, writer: boolean): Head | undefined {
    const file = builtin("path").join(folder, HEAD_NAME);
    if (!builtin("fs").existsSync(file)) return undefined;
    const mapping = Mapping.open(file, { access: writer ? "write" : "read", allocate: false });
    if (mapping.length !== SIZE) {
      mapping.close();
      return undefined;
    }
    const bytes = mapping.bytes(0, SIZE);
    const view = new DataView(bytes.buffer, bytes.byteOffset, SIZE);
    const isHead = new TextDecoder().decode(bytes.slice(0, 8)) === MAGIC;
    const version = view.getUint32(8, true);
    if (isHead && version > FORMAT_VERSION) {
      mapping.close();
      throw new FormatError(
        file,
        `format version ${version} is newer than ${FORMAT_VERSION}, which this release knows`,
      );
    }
    if (isHead) return new Head(mapping, { id: bytes.slice(16, 32), seed: view.getUint32(32, true) });
    mapping.close();
    return undefined;
  }

  /** Changes with every change of the head; odd while one is under way. */
  version(): number {
    return this.#shared.load32(VERSION_WORD * 4);
  }

  /** The version after everything that was read before. */
  versionAfter(): number {
    this.#shared.orderReads();
    return this.version();
  }

  /**
   * A consistent copy; undefined when its checksum does not match, in the middle of a change too.
   * @throws {TruncatedError} when the file has been cut: its bytes read as zeros then, and the version as another one.
   */
  read(): HeadState | undefined {
    this.#mapping.verify(0, SIZE, 0);
    for (let spin = 0; spin < SPINS; spin++) {
      const before = this.version();
      if (before & 1) continue;
      const state = this.#read();
      if (this.versionAfter() === before) return this.#know(state);
    }
    return this.#know(this.#read());
  }

  #know(state: HeadState | undefined): HeadState | undefined {
    this.#shown = state && { ...state };
    return state;
  }

  #read(): HeadState | undefined {
    const view = this.#view;
    const copy = new Uint8Array(view.buffer, view.byteOffset, CHECKED + 4).slice();
    copy.fill(0, 12, 16);
    const fields = new DataView(copy.buffer);
    if (shortChecksum(copy, 0, CHECKED) !== fields.getUint32(CHECK, true)) return undefined;
    const numbers = Array.from({ length: NUMBERS }, (_, index) => fields.getFloat64(48 + index * 8, true));
    if (!numbers.every(isCount)) return undefined;
    const f64 = (index: number): number => numbers[index]!;
    return {
      clean: fields.getUint32(36, true) === CLOSED,
      dropped: fields.getUint32(36, true) === DROPPED,
      generation: fields.getUint32(40, true),
      committed: f64(0),
      applied: f64(1),
      count: f64(2),
      nextSequence: f64(3),
      commits: f64(4),
      synced: f64(5),
      dead: f64(6),
      segments: fields.getUint32(SEGMENTS, true),
      boot: new TextDecoder().decode(copy.subarray(128, 164)).replaceAll("\0", ""),
    };
  }

  get path(): string {
    return this.#mapping.path;
  }

  /** Whether it is not whole, and no writer was in the middle of changing it. */
  isDamaged(): boolean {
    const version = this.version();
    return (version & 1) === 0 && this.read() === undefined && this.versionAfter() === version;
  }

  /** Begins a change of head and index that readers see as one: they wait for the `write` that ends it. */
  begin(): void {
    if (this.#changing) return;
    this.#changing = true;
    Atomics.add(this.#words, VERSION_WORD, 1);
  }

  /** Says this and ends the change under way. */
  write(state: HeadState): void {
    this.begin();
    this.#write(state);
    Atomics.add(this.#words, VERSION_WORD, 1);
    this.#changing = false;
  }

  /**
   * Names `after` as the index in place of `before`, when that is the one named. Nothing else changes: readers must not
   * be told of a commit that the index does not have yet. A change under way goes on.
   */
  replaceIndex(before: number, after: number): void {
    const shown = this.#shown;
    if (shown?.generation !== before) return;
    const state = { ...shown, generation: after };
    if (this.#changing) this.#write(state);
    else this.write(state);
  }

  #write(state: HeadState): void {
    const view = this.#view;
    this.#shown = { ...state };
    view.setUint32(36, state.dropped ? DROPPED : state.clean ? CLOSED : 0, true);
    view.setUint32(40, state.generation, true);
    const numbers = [state.committed, state.applied, state.count, state.nextSequence, state.commits, state.synced];
    for (const [index, value] of [...numbers, state.dead].entries()) view.setFloat64(48 + index * 8, value, true);
    view.setUint32(SEGMENTS, state.clean ? state.segments : 0, true);
    for (let i = 0; i < 36; i++) view.setUint8(128 + i, i < state.boot.length ? state.boot.charCodeAt(i) : 0);
    const copy = new Uint8Array(view.buffer, view.byteOffset, CHECKED).slice();
    copy.fill(0, 12, 16);
    view.setUint32(CHECK, shortChecksum(copy, 0, CHECKED), true);
  }

  /** Whether a change is under way. */
  get isChanging(): boolean {
    return this.#changing;
  }

  /**
   * The version, when no change is under way, or none is any more within a second; undefined sooner when its writer is
   * dead.
   */
  settledVersion(isWriterDead: () => boolean): number | undefined {
    let version = this.version();
    for (let spin = 0; version & 1 && spin < SHORT_SPINS; spin++) version = this.version();
    const until = Date.now() + PATIENCE;
    for (let pause = 0; version & 1 && Date.now() < until; pause++) {
      /* A writer that ended well has made it even before. */
      if (pause % PAUSES === 0 && isWriterDead() && this.version() === version) return undefined;
      Atomics.wait(sleeper, 0, 0, 1);
      version = this.version();
    }
    return version & 1 ? undefined : version;
  }

  sync(): void {
    this.#mapping.flush();
  }

  close(): void {
    this.#mapping.close();
  }
}
