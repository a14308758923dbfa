import { type DirtyWay, PrivateView } from "../memory/private-view.ts";

/** How a PageLog works; all have defaults. */
export interface PageLogOptions {
  /** Make the store when there is none. Default true. */
  create?: boolean;
  /** Bytes of a log segment; half of one begins a checkpoint. Default 64 MiB. */
  segmentBytes?: number;
  /** Bytes the log may reach while a snapshot keeps it from being shortened. Default 16 GiB. */
  logLimit?: number;
  /** Milliseconds after which another's snapshot no longer keeps the log. Default Infinity. */
  maxSnapshotAge?: number;
  /** Milliseconds to wait for locks. Default 10 000. */
  lockTimeout?: number;
  /** Bytes from which on fresh pages go to the array's own file at once, past the log. Default 1 MiB. */
  directBytes?: number;
  /** Bytes of images up to which a record is one write; those of a longer one are written before its head. Default 256 KiB. */
  gatheredBytes?: number;
  /** Milliseconds without commits after which the home files are brought up to date. Default 1000. */
  checkpointDelay?: number;
  /** How changed pages are found. Default: the best that the system has. */
  dirtyWay?: DirtyWay;
}

/** Options with their defaults. */
export function withDefaults(options: PageLogOptions): Required<PageLogOptions> {
  return {
    create: true,
    segmentBytes: 2 ** 26,
    logLimit: 2 ** 34,
    maxSnapshotAge: Number.POSITIVE_INFINITY,
    lockTimeout: 10_000,
    directBytes: 2 ** 20,
    gatheredBytes: 2 ** 18,
    checkpointDelay: 1000,
    dirtyWay: PrivateView.way(),
    ...options,
  };
}

/** Layers of a view beyond which it is set up anew. */
export const MOST_LAYERS = 8192;

/** Layers that are worth it to set a view up anew when the process has hardly any mappings left. */
export const FEW_LAYERS = 256;
