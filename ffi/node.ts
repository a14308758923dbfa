import { builtin } from "../src/builtins.ts";
import type { Native } from "./native.ts";
import { permits } from "./node-permission.ts";
import { type Calls, symbols } from "./symbols.ts";
import { watchSocket } from "./watch-socket.ts";

/** The part of `node:ffi` that is used. */
export interface NodeFfi {
  dlopen(path: string, table: Record<string, { arguments: string[]; return: string }>): { functions: unknown };
  toArrayBuffer(address: bigint, length: number, copy: boolean): ArrayBuffer;
}

const types = { i32: "i32", f64: "f64", buffer: "buffer" } as const;

/** Node's own FFI, or undefined where this Node has none (before 26, or built or started without it). */
export function findNodeFfi(): NodeFfi | undefined {
  return builtin("process").getBuiltinModule?.("node:ffi") as unknown as NodeFfi | undefined;
}

/** Node 26 and later through `node:ffi`. Every call with a buffer has a second argument: with only one it leaks. */
export function open(path: string, ffi: NodeFfi): Native {
  const table = Object.fromEntries(
    Object.entries(symbols).map(([name, args]) => [
      name,
      { arguments: args.map((type) => types[type]), return: "f64" },
    ]),
  );
  const calls = ffi.dlopen(path, table).functions as Calls;
  return {
    backend: "node-ffi",
    runtime: `node ${builtin("process").versions.node}`,
    libraryPath: path,
    calls,
    longestBuffer: 2 ** 45,
    cheapBufferCalls: false,
    checksumFrom: 160,
    collects: "never",
    findCollector: () => undefined,
    atomicLoadsWrite: false,
    buffer: (address, length) => ffi.toArrayBuffer(BigInt(address), length, false),
    watch: watchSocket,
    permits,
  };
}
