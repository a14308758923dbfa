import { SystemError } from "../errors.ts";
import type { Applier } from "./applier.ts";
import type { History } from "./history.ts";
import { mutations } from "./mutations.ts";
import type { PageLogOptions } from "./page-log-options.ts";
import type { Settler } from "./settler.ts";
import type { SharedState } from "./shared-state.ts";

interface UpkeepParts {
  readonly options: Required<PageLogOptions>;
  readonly history: History;
  readonly shared: SharedState;
  readonly applier: Applier;
  readonly settler: Settler;
  /** What the connection is at: a transaction, nothing, or nothing ever again. */
  state(): "busy" | "idle" | "ended";
  /** After a checkpoint. */
  shortened(): void;
  /** The disk has failed. */
  failed(error: SystemError): void;
}

/** A store that was forgotten is collected all the same. */
function after(upkeep: WeakRef<Upkeep>, delay: number): ReturnType<typeof setTimeout> {
  return setTimeout(() => upkeep.deref()?.tend(true), delay);
}

/** What is done between commits: settles, makes room in the log, checkpoints when it has become long or nothing happens. */
export class Upkeep {
  readonly #parts: UpkeepParts;
  #next: ReturnType<typeof setImmediate> | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  /** There was a commit: on the next turn of the event loop. */
  soon(): void {
    this.#next ??= setImmediate(() => {
      this.#next = undefined;
      this.tend(false);
    });
  }

  #later(): void {
    clearTimeout(this.#idle);
    this.#idle = after(new WeakRef(this), this.#parts.options.checkpointDelay);
    (this.#idle as { unref?: () => void }).unref?.();
  }

  /** What is due. `idle`: nobody has committed for a while. */
  tend(idle: boolean): void {
    const { options, history, shared, applier, settler } = this.#parts;
    const state = this.#parts.state();
    if (state === "ended") return;
    /* Who has died between a sync of his record and telling of it has left one that counts. */
    const isNewest = (): boolean =>
      shared.head === history.shown.txid &&
      shared.durable <= shared.head &&
      shared.sequence === history.superblock.sequence;
    if (state === "busy" || (mutations.earlyLook && !isNewest()) || !shared.tryCommitLock()) {
      this.#later();
      return;
    }
    try {
      /* What others have committed is not read here: views stay as they are. Only with the lock is it known whether there is any. */
      if (!mutations.earlyLook && !isNewest()) {
        this.#later();
        return;
      }
      settler.settle(true);
      if (idle || history.logBytes > options.segmentBytes / 2) {
        applier.checkpoint();
        this.#parts.shortened();
      }
      if (!idle) history.log.makeRoom(history.cursor);
    } catch (error) {
      /* No room on the disk is told by the commit that needs it. */
      if (error instanceof SystemError) this.#parts.failed(error);
    } finally {
      shared.commitUnlock();
    }
    if (!idle && history.logBytes > 0) this.#later();
  }

  stop(): void {
    clearImmediate(this.#next);
    clearTimeout(this.#idle);
  }
}
