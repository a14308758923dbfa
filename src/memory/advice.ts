/** Kinds of advice, by number as in c/outcore.h. What a system lacks is ignored. */
export const adviceKinds: Readonly<Record<Advice, number>> = {
  /** No special treatment. */
  normal: 0,
  /** Will be read in order: read far ahead. */
  sequential: 1,
  /** Will be read here and there: do not read ahead. */
  random: 2,
  /** Will be needed soon: begin reading it in. */
  willneed: 3,
  /** Read it in now and enter it into the page table, waiting for it (Linux 5.14). */
  populate: 5,
  /** Use huge pages where possible. */
  hugepage: 7,
  /** Do not use huge pages. */
  nohugepage: 8,
  /** Will not be used soon: reclaim it first (Linux 5.4). */
  cold: 9,
  /** Write it out and reclaim it now (Linux 5.4). */
  pageout: 10,
  /** A child of this process shall not have it. */
  dontfork: 11,
  /** Leave it out of core dumps. */
  dontdump: 12,
};

/** A kind of advice for `Mapping.advise`. `dontneed` is left out: on Linux it destroys private changes; see `trim`. */
export type Advice =
  | "normal"
  | "sequential"
  | "random"
  | "willneed"
  | "populate"
  | "hugepage"
  | "nohugepage"
  | "cold"
  | "pageout"
  | "dontfork"
  | "dontdump";

export const ADVISE_DONTNEED = 4;
