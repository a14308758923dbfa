import { findCollector } from "./collect-deno.ts";
import type { Native } from "./native.ts";
import { type Calls, symbols } from "./symbols.ts";
import { watchSocket } from "./watch-socket.ts";

/** Deno's built-in FFI; needs an unscoped `--allow-ffi`, because views over memory do. */
export function open(path: string): Native {
  const table = Object.fromEntries(
    Object.entries(symbols).map(([name, parameters]) => [name, { parameters: [...parameters], result: "f64" }]),
  ) as unknown as Deno.ForeignLibraryInterface;
  const calls = Deno.dlopen(path, table).symbols as unknown as Calls;
  const { UnsafePointer, UnsafePointerView } = Deno;
  /* A permission for this file alone lets it be loaded, but not its memory be seen: better to hear it now. */
  UnsafePointer.create(1n);
  return {
    backend: "deno-ffi",
    runtime: `deno ${Deno.version.deno}`,
    libraryPath: path,
    calls,
    longestBuffer: 2 ** 45,
    cheapBufferCalls: false,
    checksumFrom: 24,
    collects: "now",
    findCollector,
    atomicLoadsWrite: false,
    buffer(address, length) {
      const pointer = UnsafePointer.create(BigInt(address));
      if (pointer === null) throw new TypeError("address 0 cannot be viewed");
      return UnsafePointerView.getArrayBuffer(pointer, length);
    },
    watch: watchSocket,
    permits: (name, path) => Deno.permissions.querySync({ name, path }).state === "granted",
  };
}
