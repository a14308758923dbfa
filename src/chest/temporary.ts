import { builtin } from "../builtins.ts";
import { OutcoreError } from "../errors.ts";
import { FileLock } from "../memory/lock.ts";

const PREFIX = "outcore-chest-";
/** Locked by the thread whose folder it is: without the lock nobody needs it any more. */
const LOCK = "owner.lock";
const ATTEMPTS = 10;
/** Milliseconds between two looks for what processes left that were killed. */
const PAUSE = 60_000;

/** This thread's folder in one temporary folder of the system, as long as something is in it. */
interface Place {
  readonly parent: string;
  readonly folder: string;
  readonly lock: FileLock;
  readonly parts: Set<string>;
}

const places: Map<string, Place> = new Map();
const lookedAt: Map<string, number> = new Map();
let last = 0;
let isWatching = false;

const forgotten = new FinalizationRegistry<string>((folder) => {
  try {
    removeTemporary(folder);
  } catch {
    /* When the process ends it is tried again. */
  }
});

/**
 * A new folder in the system's temporary one. It is removed by `removeTemporary`, when its owner (`ownTemporary`) is collected,
 * when the process ends, or, when that was killed, by the next one that asks for such a folder.
 */
export function temporaryFolder(): string {
  const parent = builtin("os").tmpdir();
  const place = places.get(parent) ?? makePlace(parent);
  const folder = builtin("path").join(place.folder, String(++last));
  builtin("fs").mkdirSync(folder, { mode: 0o700 });
  place.parts.add(folder);
  return folder;
}

/** Whoever reads what is in the folder holds `owner`. */
export function ownTemporary(folder: string, owner: object): void {
  forgotten.register(owner, folder, owner);
}

/** `owner`: when it has one. May be called twice. */
export function removeTemporary(folder: string, owner?: object): void {
  if (owner !== undefined) forgotten.unregister(owner);
  builtin("fs").rmSync(folder, { recursive: true, force: true });
  for (const place of places.values())
    if (place.parts.delete(folder) && place.parts.size === 0) {
      places.delete(place.parent);
      place.lock.release();
      builtin("fs").rmSync(place.folder, { recursive: true, force: true });
    }
}

function makePlace(parent: string): Place {
  const fs = builtin("fs");
  for (let attempt = 1; ; attempt++) {
    const folder = fs.mkdtempSync(builtin("path").join(parent, PREFIX));
    try {
      const lock = FileLock.tryAcquire(builtin("path").join(folder, LOCK));
      const place: Place = { parent, folder, lock, parts: new Set() };
      places.set(parent, place);
      watch();
      sweep(place);
      return place;
    } catch (error) {
      fs.rmSync(folder, { recursive: true, force: true });
      /* Another process took it for one that was left, before it was locked. */
      const isTaken = error instanceof OutcoreError && (error.code === "LOCKED" || error.code === "NOT_FOUND");
      if (!isTaken || attempt === ATTEMPTS) throw error;
    }
  }
}

function watch(): void {
  if (isWatching) return;
  isWatching = true;
  builtin("process").on("exit", () => {
    for (const { folder } of places.values()) builtin("fs").rmSync(folder, { recursive: true, force: true });
  });
}

/** Removes what processes of this user left that were killed. */
function sweep({ parent, folder: own }: Place): void {
  const fs = builtin("fs");
  const now = performance.now();
  if (now < (lookedAt.get(parent) ?? 0)) return;
  lookedAt.set(parent, now + PAUSE);
  try {
    const { uid } = fs.lstatSync(own);
    for (const name of fs.readdirSync(parent)) {
      const folder = builtin("path").join(parent, name);
      if (name.startsWith(PREFIX) && folder !== own) removeLeft(folder, uid);
    }
  } catch {
    /* It may not be looked at. */
  }
}

function removeLeft(folder: string, uid: number): void {
  const fs = builtin("fs");
  try {
    const status = fs.lstatSync(folder);
    if (!status.isDirectory() || status.uid !== uid) return;
    const file = builtin("path").join(folder, LOCK);
    /* Killed before it had its lock: then nothing is in it. */
    if (!fs.existsSync(file)) fs.rmdirSync(folder);
    else if (!FileLock.isHeld(file)) {
      const lock = FileLock.tryAcquire(file);
      try {
        fs.rmSync(folder, { recursive: true, force: true });
      } finally {
        lock.release();
      }
    }
  } catch {
    /* It is in use, or goes just now. */
  }
}
