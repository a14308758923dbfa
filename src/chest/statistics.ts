/** What has happened so far, and how things stand. */
export interface ChestStatistics {
  /** Values asked for that were in memory. */
  readonly hits: number;
  /** Values asked for that were not in memory, but stored. */
  readonly misses: number;
  /** Values that left memory. */
  readonly spills: number;
  /** Encoded bytes written and read. */
  readonly bytesWritten: number;
  /** Encoded bytes read. */
  readonly bytesRead: number;
  /** Values that were changed in place and noticed. */
  readonly changesDetected: number;
  /** Values found to be over their time. */
  readonly expired: number;
  /** Commits so far. */
  readonly commits: number;
  /** Name of the policy. */
  readonly policy: string;
  /** Values in memory, and of these not stored yet. */
  readonly resident: number;
  /** Values in memory that are not stored yet, or changed since. */
  readonly dirty: number;
}

/** The counts behind `ChestStatistics`. */
export class Counters {
  hits = 0;
  misses = 0;
  spills = 0;
  bytesWritten = 0;
  bytesRead = 0;
  changesDetected = 0;
  expired = 0;
  commits = 0;
}
