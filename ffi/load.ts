import { builtin } from "../src/builtins.ts";
import {
  AbiMismatchError,
  FfiPermissionError,
  InvalidArgumentError,
  LibraryNotFoundError,
  OutcoreError,
  UnsupportedRuntimeError,
} from "../src/errors.ts";
import { open as openBun } from "./bun.ts";
import { open as openDeno } from "./deno.ts";
import { findKoffi, open as openKoffi } from "./koffi.ts";
import { environment, locateLibrary } from "./locate.ts";
import type { Native } from "./native.ts";
import { findNodeFfi, open as openNode } from "./node.ts";
import { ABI } from "./symbols.ts";

const oldest = { bun: [1, 3], deno: [2, 4], node: [22, 12] } as const;

/** @throws {UnsupportedRuntimeError} when `version` is older than what the runtime `name` must be. */
export function requireVersion(name: keyof typeof oldest, version: string): void {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [needMajor, needMinor] = oldest[name];
  if (major < needMajor || (major === needMajor && minor < needMinor))
    throw new UnsupportedRuntimeError(`${name} ${version}`, `${name} >= ${needMajor}.${needMinor}`);
}

/** Node's backend: koffi, or `node:ffi` when koffi is absent or `OUTCORE_BACKEND` asks for it. */
function openInNode(path: string): Native {
  const wanted = environment("OUTCORE_BACKEND");
  if (wanted !== undefined && wanted !== "koffi" && wanted !== "node-ffi")
    throw new InvalidArgumentError(`OUTCORE_BACKEND is "${wanted}"; it can be "koffi" or "node-ffi"`);
  const koffi = wanted === "node-ffi" ? undefined : findKoffi();
  if (koffi !== undefined) return openKoffi(path, koffi);
  const ffi = wanted === "koffi" ? undefined : findNodeFfi();
  if (ffi !== undefined) return openNode(path, ffi);
  throw new UnsupportedRuntimeError(
    `node ${builtin("process").versions.node} without an FFI`,
    wanted === "node-ffi" ? "node >= 26 with node:ffi" : 'the package "koffi" (npm install koffi), or node >= 26',
  );
}

function open(path: string): Native {
  const versions = builtin("process").versions as Record<string, string | undefined>;
  if (versions.bun !== undefined) {
    requireVersion("bun", versions.bun);
    return openBun(path);
  }
  if (versions.deno !== undefined) {
    requireVersion("deno", versions.deno);
    return openDeno(path);
  }
  requireVersion("node", builtin("process").versions.node);
  return openInNode(path);
}

/**
 * Loads the library at `path` in the runtime that this is, and checks that it speaks our ABI.
 * @throws {UnsupportedRuntimeError} when the runtime is too old or has no FFI.
 * @throws {FfiPermissionError} when Deno or Node was started without the permission.
 * @throws {LibraryNotFoundError} when the file is not a library of this platform.
 * @throws {AbiMismatchError} when the library is of another version.
 * @throws {ForeignBufferError} when the engine forbids buffers over foreign memory.
 */
export function loadLibrary(path: string): Native {
  let native: Native;
  try {
    native = open(path);
  } catch (cause) {
    if (cause instanceof OutcoreError) throw cause;
    const { name, code, message } = cause as { name?: string; code?: string; message?: string };
    if (name === "NotCapable" || code === "ERR_ACCESS_DENIED" || code === "ERR_DLOPEN_DISABLED")
      throw new FfiPermissionError(cause);
    /* An older library lacks a symbol of the table; the runtimes tell it in words only. */
    if (/symbol|oc_\w+|GetProcAddress/i.test(message ?? "") && !/cannot open|no such file/i.test(message ?? ""))
      throw new AbiMismatchError(path, undefined, ABI, cause);
    throw new LibraryNotFoundError([path], cause);
  }
  const abi = native.calls.oc_abi();
  if (abi !== ABI) throw new AbiMismatchError(path, abi, ABI);
  return native;
}

let loaded: Native | undefined;

/** The library of this thread, loaded at the first call. Throws what `locateLibrary` and `loadLibrary` throw. */
export function native(): Native {
  loaded ??= loadLibrary(locateLibrary());
  return loaded;
}
