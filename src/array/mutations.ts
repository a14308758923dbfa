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
  /** A superblock is written on the word of others that the home files are written. */
  trustHomes?: boolean;
  /** Records of others are synced, and not written again. */
  trustLog?: boolean;
  /** What was written before a sync that failed is taken for written. */
  trustFailed?: boolean;
  /** The name of a segment, or of a file of checksums, that somebody else has made is taken for durable. */
  trustNames?: boolean;
  /** A superblock is written over the older one though the newer may not be on the disk. */
  trustSuperblock?: boolean;
  /** A superblock that somebody has written who died or failed stays as it is. */
  leaveUnfinished?: boolean;
  /** Connections go on although home files are in doubt. */
  ignoreDoubt?: boolean;
  /** A commit does not ask what others have changed. */
  noConflicts?: boolean;
  /** Upkeep asks whether there is anything newer before it has the commit lock, and not after. */
  earlyLook?: boolean;
  /** A snapshot's slot is published outside the gate; called in between. */
  lateSlot?: (() => void) | undefined;
}

/** @internal Set by tests only. */
export const mutations: Mutations = {};
