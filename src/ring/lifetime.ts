import { LimitError, NameInUseError, NotFoundError, OutcoreError, PermissionError } from "../errors.ts";
import { Segment } from "../memory/segment.ts";

/** Word in the header of a "shmx" segment, where SHMX has padding, that says outcore made it. */
export const SHMX_MARK = 0x4354554f; /* "OUTC" */
const SHMX_MAGIC = 0x48494e415f53484dn;
const NATIVE_MAGIC = 0x474e4952_5243544fn;
const OWNER_LOCK: number = 2 ** 44;

/** What stands under a name: an outcore ring of a wire, a ring that SHMX itself made, or something else. */
export type SegmentKind = "native" | "shmx" | "shmx-foreign" | "other";

/** Looks at the first bytes. Never throws for what they are. */
export function kindOf(segment: Segment): SegmentKind {
  if (segment.size() < 128) return "other";
  const mapping = segment.map("read", 0, 128);
  const head = new DataView(mapping.bytes().slice().buffer);
  const magic = head.getBigUint64(0, true);
  if (magic === NATIVE_MAGIC) return "native";
  if (magic !== SHMX_MAGIC) return "other";
  return head.getUint32(20, true) === SHMX_MARK ? "shmx" : "shmx-foreign";
}

/** Whether an outcore owner is proven dead: the segment is outcore's and nobody holds the owner's lock. */
export function ownerDead(segment: Segment, kind: SegmentKind): boolean {
  return (kind === "native" || kind === "shmx") && !segment.held(OWNER_LOCK);
}

/**
 * Removes the name of what a dead outcore owner left; false when it lives, is not outcore's or is not ours to remove.
 * Of several who try at once one succeeds.
 */
export function removeDead(name: string): boolean {
  let segment: Segment;
  try {
    segment = Segment.open(name, true);
  } catch (error) {
    if (error instanceof NotFoundError) return true;
    /* Not ours to look at, or no file at all. */
    if (error instanceof OutcoreError && !(error instanceof LimitError)) return false;
    throw error;
  }
  try {
    const kind = kindOf(segment);
    if (kind !== "native" && kind !== "shmx") return false;
    if (!segment.lock(OWNER_LOCK)) return false;
    segment.unlink();
    return true;
  } catch (error) {
    /* The ring of another user, whose folder lets only its owner remove it. */
    if (error instanceof PermissionError) return false;
    throw error;
  } finally {
    segment.close();
  }
}

/**
 * Makes a segment that is whole before anybody sees it, owned by this process.
 * @throws {NameInUseError} when the name is taken by a living owner, or by something that is not an outcore ring.
 * @throws {DiskFullError} when shared memory is full.
 */
export function createOwned(name: string, length: number, mode: number, fill: (segment: Segment) => void): Segment {
  const segment = Segment.unnamed(name, length, mode);
  try {
    segment.lock(OWNER_LOCK);
    fill(segment);
    for (let attempt = 0; ; attempt++) {
      try {
        segment.link();
        return segment;
      } catch (error) {
        if (!(error instanceof NameInUseError) || attempt >= 8 || !removeDead(name)) throw error;
      }
    }
  } catch (error) {
    segment.close();
    throw error;
  }
}

export { OWNER_LOCK };
