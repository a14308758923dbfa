/** Parts of a protocol that a test leaves out, to see that its explorer notices. */
export interface Mutations {
  /** A commit does not wait for the log. */
  noLogSync?: boolean;
  /** A checkpoint does not wait for the home files. */
  noHomeSync?: boolean;
  /** Pages that go home at once are not waited for. */
  noDirectSync?: boolean;
  /** Recovery believes every image. */
  noPageSums?: boolean;
  /** What lies above the high water stays. */
  noTruncate?: boolean;
  /** What a failed commit wrote stays in the log. */
  noUnwrite?: boolean;
  /** Home files do not wait for older snapshots. */
  ignoreSnapshots?: boolean;
  /** Segments go although snapshots keep records in them from being applied. */
  recycleEarly?: boolean;
  /** A commit does not ask what others have changed. */
  noConflicts?: boolean;
  /** A snapshot's slot is published outside the gate; called in between. */
  lateSlot?: (() => void) | undefined;
}

/** @internal Set by tests only. */
export const mutations: Mutations = {};
