import { builtin } from "../../builtins.ts";
import { LimitError } from "../../errors.ts";
import { typed } from "../../memory/check.ts";
import { checksum } from "../../memory/checksum.ts";
import { DataFile } from "../../memory/data-file.ts";
import { Mapping } from "../../memory/mapping.ts";
import { shortChecksum } from "../bytes.ts";
import { PageFilter } from "./page-filter.ts";
import { FORMAT_VERSION, type Identity, OFFSETS } from "./segment.ts";

const PAGE = 4096;
const PAGE_WORDS: number = PAGE / 4;
const SLOTS = 341;
/** The page's version: odd while it is being changed. */
const VERSION_WORD = 1023;
const SLOT_WORDS = 3;
const OFFSET_BITS = 28;
const OFFSET_MASK: number = OFFSETS - 1;
/** Pages in one view: a view is at most 1 GiB. */
const PAGES_PER_VIEW_BITS = 17;
const FEWEST_PAGES = 4;
const FULL = 0.85;
const GROWTH = 1.5;
const MAGIC = "OCCINDX\n";
/** Whoever goes through all pages gives their memory back each time after so many. */
const TRIM_PAGES = 4096;
/** Slots that are read at once where pages are not mapped: most searches end within them. */
const WINDOW = 48;
/** Memory is accounted in runs of this many pages. */
const RUN_BITS = 4;

/** Whether the record at `position` has the key that is looked for. */
export type IsMatch = (position: number) => boolean;

export const tableName = (generation: number): string => `${generation.toString(16).padStart(8, "0")}.index`;

interface Shape {
  readonly file: string;
  readonly generation: number;
  readonly pages: number;
  readonly identity: Identity;
  /** No other process changes it. */
  readonly isOwn: boolean;
}

function checksBytes(pages: number): number {
  return Math.ceil((pages * 4) / PAGE) * PAGE;
}

function headerBytes(shape: Omit<Shape, "isOwn">): Uint8Array {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(MAGIC));
  view.setUint32(8, FORMAT_VERSION, true);
  view.setUint32(12, shape.generation, true);
  view.setUint32(16, shape.pages, true);
  bytes.set(shape.identity.id, 20);
  view.setUint32(36, shape.identity.seed, true);
  view.setUint32(60, shortChecksum(bytes, 0, 60), true);
  return bytes;
}

/**
 * The index: a mapped hash table from keys to positions in the log. Slots hold 48 bits of a key's hash and 48 bits of
 * position; keys themselves are in the log only. A key's page follows from the hash by range, so growing copies pages
 * in order. Only the writer changes it; each page has a version that tells the next writer whether this one died in the
 * middle of a change. Readers go by the version of the head.
 */
export class Table {
  static readonly pageSize: number = PAGE;
  readonly file: string;
  readonly generation: number;
  readonly pages: number;
  count = 0;
  #mapping: Mapping;
  #views: Uint32Array[] = [];
  #atomic: Int32Array[] = [];
  /** Pages whose checksum, taken at the last clean close, is still to be compared; undefined when there is none. */
  #unchecked: Uint8Array | undefined;
  #touched: Uint8Array;
  /** For pages that are not to be mapped; undefined until it is needed, or when the file has been removed. */
  #file: DataFile | undefined;
  #isGone = false;
  #isOwn: boolean;
  /** What is known of pages that are not mapped. */
  #filter: PageFilter | undefined;
  /** A page, or the first slots of a search in one. */
  #read: Uint32Array = new Uint32Array(0);
  #readBytes: Uint8Array = new Uint8Array(0);

  private constructor(mapping: Mapping, shape: Shape) {
    this.file = shape.file;
    this.generation = shape.generation;
    this.pages = shape.pages;
    this.#isOwn = shape.isOwn;
    this.#mapping = mapping;
    this.#touched = new Uint8Array(((shape.pages + 1) >> RUN_BITS) + 1);
    for (let first = 0; first < shape.pages; first += 1 << PAGES_PER_VIEW_BITS) {
      const words = Math.min(1 << PAGES_PER_VIEW_BITS, shape.pages - first) * PAGE_WORDS;
      this.#views.push(mapping.view("u32", PAGE * (1 + first), words));
      this.#atomic.push(mapping.view("i32", PAGE * (1 + first), words));
    }
  }

  /** @throws {DiskFullError} when there is no room. */
  static create(folder: string, generation: number, pages: number, identity: Identity): Table {
    const file = builtin("path").join(folder, tableName(generation));
    const shape = { file, generation, pages, identity, isOwn: true };
    builtin("fs").rmSync(shape.file, { force: true });
    const { openSync, closeSync } = builtin("fs");
    closeSync(typed("create", shape.file, () => openSync(shape.file, "wx", 0o600)));
    try {
      const mapping = Mapping.open(shape.file, { access: "write", length: PAGE * (1 + pages) + checksBytes(pages) });
      mapping.write(0, headerBytes(shape));
      return new Table(mapping, shape);
    } catch (error) {
      builtin("fs").rmSync(shape.file, { force: true });
      throw error;
    }
  }

  /** Opens what is there; undefined when it is missing, damaged in its header, or another chest's. */
  static open(folder: string, generation: number, identity: Identity, writer: boolean): Table | undefined {
    const file = builtin("path").join(folder, tableName(generation));
    let mapping: Mapping;
    try {
      mapping = Mapping.open(file, { access: writer ? "write" : "read" });
    } catch {
      return undefined;
    }
    const found = mapping.length >= PAGE ? mapping.bytes(0, 64) : new Uint8Array(64);
    const pages = new DataView(found.buffer, found.byteOffset, 64).getUint32(16, true);
    const shape = { file, generation, pages, identity, isOwn: writer };
    const expected = headerBytes(shape);
    const fits = pages > 0 && mapping.length === PAGE * (1 + pages) + checksBytes(pages);
    if (fits && expected.every((byte, i) => byte === found[i])) return new Table(mapping, shape);
    mapping.close();
    return undefined;
  }

  /** Where a page lies in the file. */
  static offsetOf(page: number): number {
    return PAGE * (1 + page);
  }

  #view(page: number): Uint32Array {
    return this.#views[page >> PAGES_PER_VIEW_BITS]!;
  }

  #base(page: number): number {
    return (page & ((1 << PAGES_PER_VIEW_BITS) - 1)) * PAGE_WORDS;
  }

  #page(h1: number): number {
    return Math.floor((h1 * this.pages) / 2 ** 32);
  }

  /** Bytes of its pages. */
  get bytes(): number {
    return this.pages * PAGE;
  }

  /** Bytes of memory of what it remembers of pages that are not mapped. */
  get remembered(): number {
    return this.#filter?.bytes ?? 0;
  }

  /** As systems map the pages around one that is read: in aligned runs of the file, which has a header. */
  #run(page: number): number {
    return (page + 1) >> RUN_BITS;
  }

  /** Bytes of memory that a look at this hash adds to what is resident. */
  touch(h1: number): number {
    const run = this.#run(this.#page(h1));
    if (this.#touched[run] !== 0) return 0;
    this.#touched[run] = 1;
    return PAGE << RUN_BITS;
  }

  trim(): void {
    this.#mapping.trim();
    this.#touched.fill(0);
  }

  /** Position of the key with this hash for which `isMatch` holds, 0 when there is none. */
  find(h1: number, tag: number, isMatch: IsMatch): number {
    const page = this.#page(h1);
    if (this.#unchecked !== undefined && this.#unchecked[page] !== 0) this.#check(page);
    return this.#find(this.#view(page), this.#base(page), (tag * SLOTS) >>> 16, SLOTS, h1, tag, isMatch);
  }

  /**
   * The same without mapping the page, unless it is mapped already: where the index is larger than memory, a page read
   * costs less than one mapped and given back. Undefined when that cannot be. `spare`: bytes of memory that may be taken
   * to remember which keys are not there.
   */
  findUnmapped(h1: number, tag: number, isMatch: IsMatch, spare: number): number | undefined {
    const page = this.#page(h1);
    if (this.#filter?.excludes(page, h1, tag)) return 0;
    if (this.#touched[this.#run(page)] !== 0 || !this.#openFile()) return undefined;
    const first = (tag * SLOTS) >>> 16;
    if (this.#unchecked !== undefined && this.#unchecked[page] !== 0) {
      this.#readPart(page, 0, PAGE_WORDS);
      this.#compare(page, this.#readBytes);
      this.#remember(page, spare);
    } else if (this.#remembers(page, spare)) {
      const count = Math.min(WINDOW, SLOTS - first);
      this.#readPart(page, first, count * SLOT_WORDS);
      const found = this.#find(this.#read, 0, 0, count, h1, tag, isMatch, count);
      if (found >= 0) return found;
      this.#readPart(page, 0, PAGE_WORDS);
    } else {
      this.#readPart(page, 0, PAGE_WORDS);
      this.#remember(page, spare);
    }
    return this.#find(this.#read, 0, first, SLOTS, h1, tag, isMatch);
  }

  /** Whether nothing more is to be learnt of a page. */
  #remembers(page: number, spare: number): boolean {
    if (this.#filter !== undefined) return this.#filter.knows(page);
    return !this.#isOwn || PageFilter.bytesFor(this.pages) > spare;
  }

  /** The page was read whole. */
  #remember(page: number, spare: number): void {
    if (this.#remembers(page, spare)) return;
    this.#filter ??= new PageFilter(this.pages);
    for (let at = 0; at < SLOTS * SLOT_WORDS; at += SLOT_WORDS) {
      const low = this.#read[at + 1]!;
      if (low !== 0)
        this.#filter.add(page, this.#read[at]!, (low >>> OFFSET_BITS) + ((this.#read[at + 2]! >>> 20) << 4));
    }
    this.#filter.learn(page);
  }

  #openFile(): boolean {
    if (this.#file !== undefined || this.#isGone) return this.#file !== undefined;
    try {
      this.#file = DataFile.open(this.file, false);
      this.#readBytes = new Uint8Array(PAGE);
      this.#read = new Uint32Array(this.#readBytes.buffer);
    } catch {
      this.#isGone = true;
    }
    return this.#file !== undefined;
  }

  #readPart(page: number, slot: number, words: number): void {
    this.#file!.readPart(PAGE * (1 + page) + slot * SLOT_WORDS * 4, this.#readBytes, 0, words * 4);
  }

  /**
   * Searches `count` slots from `first` on, going round after `slots`, of which the first is at `base`. 0 when the key is
   * not there; -1 when it may be beyond them.
   */
  #find(
    words: Uint32Array,
    base: number,
    first: number,
    slots: number,
    h1: number,
    tag: number,
    isMatch: IsMatch,
    count: number = SLOTS,
  ): number {
    let slot = first;
    for (let probe = 0; probe < count; probe++) {
      const at = base + slot * SLOT_WORDS;
      const low = words[at + 1]!;
      if (low === 0) return 0;
      if (words[at] === h1) {
        const high = words[at + 2]!;
        if ((low >>> OFFSET_BITS) + ((high >>> 20) << 4) === tag) {
          const position = (high & 0xfffff) * OFFSETS + (low & OFFSET_MASK);
          if (isMatch(position)) return position;
        }
      }
      if (++slot === slots) slot = 0;
    }
    return count === SLOTS ? 0 : -1;
  }

  /** The slot that holds `position` under this hash, or -1. */
  #slotOf(page: number, h1: number, tag: number, position: number): number {
    const words = this.#view(page);
    const base = this.#base(page);
    const offset = position % OFFSETS;
    const low = (offset | ((tag & 15) << OFFSET_BITS)) >>> 0;
    const high = (Math.floor(position / OFFSETS) | ((tag >>> 4) << 20)) >>> 0;
    let slot = (tag * SLOTS) >>> 16;
    for (let probe = 0; probe < SLOTS; probe++) {
      const at = base + slot * SLOT_WORDS;
      if (words[at + 1] === 0) return -1;
      if (words[at] === h1 && words[at + 1] === low && words[at + 2] === high) return slot;
      if (++slot === SLOTS) slot = 0;
    }
    return -1;
  }

  /** Puts `position` in place of `before` (0: a key that was not there). False when the page is full: grow first. */
  put(h1: number, tag: number, position: number, before: number): boolean {
    const page = this.#page(h1);
    if (this.#unchecked !== undefined && this.#unchecked[page] !== 0) this.#check(page);
    const words = this.#view(page);
    const base = this.#base(page);
    let slot = before === 0 ? -1 : this.#slotOf(page, h1, tag, before);
    const isNew = slot < 0;
    if (isNew) {
      slot = (tag * SLOTS) >>> 16;
      let probe = 0;
      while (words[base + slot * SLOT_WORDS + 1] !== 0) {
        if (++probe === SLOTS) return false;
        if (++slot === SLOTS) slot = 0;
      }
    }
    const at = base + slot * SLOT_WORDS;
    this.#begin(page);
    words[at] = h1;
    words[at + 1] = ((position % OFFSETS) | ((tag & 15) << OFFSET_BITS)) >>> 0;
    words[at + 2] = (Math.floor(position / OFFSETS) | ((tag >>> 4) << 20)) >>> 0;
    this.#end(page);
    if (isNew) {
      this.count++;
      this.#filter?.add(page, h1, tag);
    }
    return true;
  }

  /** As `put`, of a key that is not there, into a table that nobody else sees yet. */
  #place(h1: number, tag: number, position: number): boolean {
    const page = this.#page(h1);
    const words = this.#view(page);
    const base = this.#base(page);
    let slot = (tag * SLOTS) >>> 16;
    for (let probe = 0; words[base + slot * SLOT_WORDS + 1] !== 0; ) {
      if (++probe === SLOTS) return false;
      if (++slot === SLOTS) slot = 0;
    }
    const at = base + slot * SLOT_WORDS;
    words[at] = h1;
    words[at + 1] = ((position % OFFSETS) | ((tag & 15) << OFFSET_BITS)) >>> 0;
    words[at + 2] = (Math.floor(position / OFFSETS) | ((tag >>> 4) << 20)) >>> 0;
    this.count++;
    return true;
  }

  /** Takes the slot of `position` out and closes the gap. */
  remove(h1: number, tag: number, position: number): void {
    const page = this.#page(h1);
    if (this.#unchecked !== undefined && this.#unchecked[page] !== 0) this.#check(page);
    const words = this.#view(page);
    const base = this.#base(page);
    let gap = this.#slotOf(page, h1, tag, position);
    if (gap < 0) return;
    this.#begin(page);
    let slot = gap;
    /* In a full page no empty slot ends it: once round, all have moved that must. */
    for (let step = 1; step < SLOTS; step++) {
      if (++slot === SLOTS) slot = 0;
      const at = base + slot * SLOT_WORDS;
      const low = words[at + 1]!;
      if (low === 0) break;
      const home = (((low >>> OFFSET_BITS) + ((words[at + 2]! >>> 20) << 4)) * SLOTS) >>> 16;
      /* A slot moves into the gap when that lies between its home and where it is, going round. */
      if ((slot - home + SLOTS) % SLOTS < (slot - gap + SLOTS) % SLOTS) continue;
      words.copyWithin(base + gap * SLOT_WORDS, at, at + SLOT_WORDS);
      gap = slot;
    }
    words.fill(0, base + gap * SLOT_WORDS, base + (gap + 1) * SLOT_WORDS);
    this.#end(page);
    this.count--;
  }

  #begin(page: number): void {
    Atomics.add(this.#atomic[page >> PAGES_PER_VIEW_BITS]!, this.#base(page) + VERSION_WORD, 1);
  }

  #end(page: number): void {
    Atomics.add(this.#atomic[page >> PAGES_PER_VIEW_BITS]!, this.#base(page) + VERSION_WORD, 1);
  }

  /** Whether so many keys can be in it at all. */
  canHold(count: number): boolean {
    return count <= this.pages * SLOTS;
  }

  /** Whether `more` keys fit without growing, as far as the average tells. */
  hasRoom(more: number): boolean {
    return this.count + more <= this.pages * SLOTS * FULL;
  }

  /** The same keys in a larger file of the next generation. This one stays open. */
  grow(folder: string, identity: Identity, keys: number): Table {
    const wanted = Math.max(this.pages * GROWTH, keys / (SLOTS * FULL * 0.9));
    let pages = Math.max(FEWEST_PAGES, Math.ceil(wanted));
    for (let attempt = 0; attempt < 8; attempt++) {
      const grown = Table.create(folder, this.generation + 1 + attempt, pages, identity);
      if (this.#copyInto(grown)) return grown;
      grown.discard();
      pages = Math.ceil(pages * GROWTH);
    }
    throw new LimitError("index", `the index of ${folder} cannot hold keys whose hashes are so much alike`);
  }

  #copyInto(grown: Table): boolean {
    let copied = true;
    this.forEachSlot(
      (h1, tag, position) => {
        copied &&= grown.#place(h1, tag, position);
      },
      () => grown.trim(),
    );
    return copied;
  }

  /** Memory is given back on the way; `onTrim` may do the same. */
  forEachSlot(visit: (h1: number, tag: number, position: number) => void, onTrim: () => void = () => {}): void {
    for (let page = 0; page < this.pages; page++) {
      if (page % TRIM_PAGES === TRIM_PAGES - 1) {
        this.trim();
        onTrim();
      }
      if (this.#unchecked !== undefined && this.#unchecked[page] !== 0) this.#check(page);
      const words = this.#view(page);
      const base = this.#base(page);
      for (let slot = 0; slot < SLOTS; slot++) {
        const at = base + slot * SLOT_WORDS;
        const low = words[at + 1]!;
        if (low === 0) continue;
        const high = words[at + 2]!;
        const tag = (low >>> OFFSET_BITS) + ((high >>> 20) << 4);
        visit(words[at]!, tag, (high & 0xfffff) * OFFSETS + (low & OFFSET_MASK));
      }
    }
  }

  /** Whether a page was left in the middle of a change. */
  isTorn(): boolean {
    for (let page = 0; page < this.pages; page++)
      if (this.#view(page)[this.#base(page) + VERSION_WORD]! & 1) return true;
    return false;
  }

  /** Counts the keys anew. O(pages). */
  recount(): void {
    let count = 0;
    this.forEachSlot(() => {
      count++;
    });
    this.count = count;
  }

  #checks(): Uint32Array {
    return this.#mapping.view("u32", PAGE * (1 + this.pages), this.pages);
  }

  /** Compares each page with its checksum when it is first used. For an index that was closed cleanly. */
  checkPages(onDamage: (page: number) => void): void {
    this.#unchecked = new Uint8Array(this.pages).fill(1);
    this.#onDamage = onDamage;
  }

  /** Its pages have been changed since they had their checksums. */
  trustPages(): void {
    this.#unchecked = undefined;
  }

  #onDamage: (page: number) => void = () => {};

  #check(page: number): void {
    this.#compare(page, this.#mapping.bytes(PAGE * (1 + page), PAGE));
  }

  #compare(page: number, bytes: Uint8Array): void {
    this.#unchecked![page] = 0;
    if (checksum(bytes, 0, PAGE - 4) !== this.#checks()[page]) this.#onDamage(page);
  }

  /** Writes the checksums and waits until all is on the disk. */
  seal(sync: boolean): void {
    const checks = this.#checks();
    for (let page = 0; page < this.pages; page++) {
      if (page % TRIM_PAGES === TRIM_PAGES - 1) this.trim();
      if (this.#unchecked !== undefined && this.#unchecked[page] !== 0) continue;
      checks[page] = checksum(this.#mapping.bytes(PAGE * (1 + page), PAGE), 0, PAGE - 4);
    }
    if (sync) this.#mapping.flush();
  }

  close(): void {
    this.#views = [];
    this.#atomic = [];
    this.#file?.close();
    this.#isGone = true;
    this.#file = undefined;
    this.#mapping.close();
  }

  /** Closes it and removes its file; readers that have it mapped keep what they see. */
  discard(): void {
    this.close();
    builtin("fs").rmSync(this.file, { force: true });
  }

  /** A private copy of the pages as they are now, for a snapshot. */
  copyTo(folder: string, generation: number, identity: Identity): Table {
    const copy = Table.create(folder, generation, this.pages, identity);
    for (let page = 0; page < this.pages; page++) {
      if (this.#unchecked !== undefined && this.#unchecked[page] !== 0) this.#check(page);
      const words = this.#view(page).subarray(this.#base(page), this.#base(page) + PAGE_WORDS);
      copy.#view(page).set(words, copy.#base(page));
    }
    copy.count = this.count;
    return copy;
  }
}
