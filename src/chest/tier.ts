import type { Lease } from "../memory/lease.ts";
import type { KeyBytes } from "./keys.ts";

/** One stored value as a tier describes it; reused for value after value, so copy what is to be kept. */
export interface StoredValue {
  /** The format byte of the value's encoding. */
  readonly format: number;
  /** Holds the encoded value, from `start` to `end`. */
  readonly bytes: Uint8Array;
  /** First byte of it. */
  readonly start: number;
  /** Byte behind it. */
  readonly end: number;
  /** The bytes are nobody else's: whoever reads them may keep them. */
  readonly owned: boolean;
  /** Number of the key in the order of insertion. */
  readonly sequence: number;
  /** Milliseconds since 1970, 0 for never. */
  readonly expires: number;
  /** Names that it was set with. */
  readonly tags: readonly string[];
}

/** What is to be stored. The bytes are only lent. */
export interface NewValue {
  /** The format byte of the value's encoding. */
  format: number;
  /** Holds the encoded value, from 0 to `length`. */
  bytes: Uint8Array;
  /** Bytes of it. */
  length: number;
  /** Number of the key in the order of insertion. */
  sequence: number;
  /** Milliseconds since 1970, 0 for never. */
  expires: number;
  /** Names that it is set with. */
  tags: readonly string[];
}

/** What a tier takes. */
export interface TierUsage {
  /** Bytes on the disk. */
  readonly disk: number;
  /** Of these, bytes that nothing refers to any more. */
  readonly dead: number;
  /** Bytes of mapped memory and buffers that the tier counts as resident. */
  readonly resident: number;
  /** Files on the disk. */
  readonly files: number;
}

/** Something wrong that was found in what is stored. */
export interface Damage {
  /** The file. */
  readonly path: string;
  /** Where the damaged bytes begin. */
  readonly offset: number;
  /** How many there are, as far as can be told. */
  readonly length: number;
  /** What is wrong. */
  readonly detail: string;
}

/**
 * Where values lie that are not in memory. A position is a number that stands for one stored value until it is replaced;
 * 0 stands for none. Changes are staged: nobody else sees them, and a crash takes them back, until `commit`.
 */
export interface ColdTier {
  /** "log", "folder" or another one's own. */
  readonly name: string;
  /** Nothing can be put or removed. */
  readonly readOnly: boolean;
  /** Number that the next new key gets: keys are iterated in this order. */
  nextSequence: number;
  /** Keys stored at the last commit. */
  readonly storedCount: number;
  /** Small values are read from it as quickly as from memory, and may be put there without being kept in memory. */
  readonly isQuick?: boolean;
  /** What was found to be damaged since it was opened. */
  readonly damage: readonly Damage[];
  /** Changes when nothing is left at positions that were given out. */
  readonly generation: number;
  /** Changes when values were moved to other positions than `find` and `put` have said. */
  readonly moves: number;
  /** Bytes that were staged since the last commit, and of memory that remembers them. */
  readonly staged: number;

  /**
   * Position of a key, 0 when there is none.
   * @throws {DamagedError} when what is damaged hides whether there is one.
   */
  find(key: KeyBytes): number;
  /** Sequence number of the value found last by `find`. */
  readonly foundSequence: number;
  /** When the value found last by `find` expires. */
  readonly foundExpires: number;
  /** Whether these two are not to be relied on, because what is stored is damaged: to be asked right after `find`. */
  readonly isFoundDamaged?: boolean;
  /**
   * The value at a position.
   * @throws {DamagedError} when what is stored there is not intact.
   */
  read(position: number): StoredValue;
  /**
   * The tags of the value at a position, without the value.
   * @throws {DamagedError} when what is stored there is not intact.
   */
  tagsAt(position: number): readonly string[];
  /** A view of the value without a copy, when the tier can give one: in an extent, and not compressed. */
  lease(position: number): { readonly lease: Lease; readonly format: number } | undefined;
  /** Stages a value in place of the one at `before`. @throws {DiskFullError} and nothing has changed. */
  put(key: KeyBytes, value: NewValue, before: number): number;
  /**
   * Stages a value that another tier has at `position`, in place of the one at `before`, without bringing its bytes into
   * memory. Undefined when that cannot be, and nothing has changed.
   */
  transfer?(key: KeyBytes, from: ColdTier, position: number, sequence: number, before: number): number | undefined;
  /**
   * Makes sure that removals of so many keys, with so many bytes in all, will not fail for want of room.
   * @throws {DiskFullError} and nothing has changed.
   */
  reserve?(removals: number, keyBytes: number): void;
  /** Stages the removal of the value at `before`. */
  remove(key: KeyBytes, before: number): void;
  /** Makes what was staged visible to others, with the number of keys there are now; `sync` waits for the disk. */
  commit(count: number, sync: boolean): void;
  /** Visits the live values whose sequence number is in [from, to). */
  scan(from: number, to: number, visit: (sequence: number, position: number) => void): void;
  /** Whether an encoded value is the one at a position. */
  matches(position: number, format: number, bytes: Uint8Array, length: number): boolean;
  /** The bytes of the key at a position that was given out; false when it is not told any more, because the key is gone. */
  keyAt(position: number, key: KeyBytes): boolean;
  /** Sees what another process committed. True when anything changed. */
  refresh(): boolean;
  /** Begins to read a value in. */
  prefetch(position: number): void;
  /** What it takes on the disk and in memory. */
  usage(): TierUsage;
  /** Bytes of mapped memory and buffers that are resident. */
  readonly resident: number;
  /** Whether so much is dead that compacting is worth it. */
  readonly isWasteful: boolean;
  /**
   * Works on freeing dead bytes for about this many milliseconds; calls `commit` before it removes anything. True when
   * there is nothing left to do.
   */
  compactStep(milliseconds: number, all: boolean, commit: () => void): boolean;
  /** Closes it; what is staged and not committed is given up. */
  close(): void;
  /** Closes it and removes everything stored. */
  drop(): void;
}
