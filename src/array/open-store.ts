import { builtin } from "../builtins.ts";
import { InvalidArgumentError } from "../errors.ts";
import { pathOf } from "../memory/data-file.ts";
import type { ArrayReference } from "./big-array.ts";
import { checkOptions } from "./check-options.ts";
import type { DType } from "./dtype.ts";
import type { NdView } from "./nd-view.ts";
import { PageLog } from "./page-log.ts";
import { type FileReference, type PlainArray, reopenFile } from "./plain.ts";
import { ArrayStore } from "./store.ts";
import type { StoreOptions } from "./store-options.ts";

/**
 * Opens a store by path or `file:` URL, and makes one where there is none.
 *
 * @throws {InvalidArgumentError} for an option that has no such value.
 * @throws {NotFoundError} when there is none and `create` is false, or no snapshot of the name `at`.
 * @throws {PermissionError} when the folder may not be written to.
 * @throws {CorruptError | StoreFormatError} when it is damaged, or of a later version or another page size.
 *
 * @example
 * ```ts
 * import { openStore } from "outcore/array";
 * const store = openStore("/tmp/outcore-example-store");
 * const a = await store.transact(() =>
 *   store.names.includes("a") ? store.array("a", "f64") : store.create("a", { dtype: "f64", shape: 1_000_000 }),
 * );
 * const transaction = store.begin();
 * a.view([10, 20]).array.fill(1.5);
 * await transaction.commit();
 * store.close();
 * ```
 */
export function openStore(path: string | URL, options: StoreOptions = {}): ArrayStore {
  const text = typeof path === "string" && path.startsWith("file:") ? new URL(path) : path;
  if (typeof text === "string" && /^[a-z][a-z0-9+.-]*:\/\//i.test(text))
    throw new InvalidArgumentError(`no engine for ${text}; a store is a folder, by path or file: URL`);
  if (typeof text !== "string" && !(text instanceof URL))
    throw new InvalidArgumentError(`a store is a folder, by path or file: URL, not ${typeof text}`);
  const given = checkOptions(options);
  const { at, durability, reserve, spillBytes, spillInterval, ...engine } = given;
  return new ArrayStore(PageLog.open(builtin("path").resolve(pathOf(text) as string), engine, at), given);
}

/**
 * Opens what a reference names of an array of a store, in a connection of its own.
 * @throws {NotFoundError} when there is no such store or array.
 */
export function openReference(reference: ArrayReference, options?: StoreOptions): { store: ArrayStore; view: NdView };
/**
 * Opens what a reference names of an array over a file.
 * @throws {NotFoundError} when there is no such file. {StaleHandleError} when another has its place.
 */
export function openReference(reference: FileReference): { file: PlainArray<DType>; view: NdView };
export function openReference(
  reference: ArrayReference | FileReference,
  options: StoreOptions = {},
): { store?: ArrayStore; file?: PlainArray<DType>; view: NdView } {
  if (!Array.isArray(reference?.index)) throw new InvalidArgumentError("not a reference to an array");
  if (reference.kind === "outcore.file-array") {
    const file = reopenFile(reference);
    return closedOnError(file, () => ({ file, view: file.array.view(...reference.index) }));
  }
  if (reference.kind !== "outcore.array") throw new InvalidArgumentError("not a reference to an array");
  const store = openStore(reference.store, { ...options, create: false });
  return closedOnError(store, () => ({ store, view: store.array(reference.name).view(...reference.index) }));
}

function closedOnError<T>(opened: { close(): void }, work: () => T): T {
  try {
    return work();
  } catch (error) {
    opened.close();
    throw error;
  }
}
