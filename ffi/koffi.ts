import { builtin } from "../src/builtins.ts";
import { ForeignBufferError } from "../src/errors.ts";
import type { Native } from "./native.ts";
import { permits } from "./node-permission.ts";
import { ABI, type Calls, symbols } from "./symbols.ts";
import { watchSocket } from "./watch-socket.ts";

/** The part of koffi that is used. */
export interface Koffi {
  load(path: string): { func(name: string, result: string, args: string[]): unknown };
  view(address: bigint, length: number): ArrayBuffer;
}

const types = { i32: "int", f64: "double", buffer: "void *" } as const;

/** The koffi package, or undefined when it is not installed. */
export function findKoffi(): Koffi | undefined {
  try {
    return builtin("module").createRequire(import.meta.url)("koffi") as Koffi;
  } catch (error) {
    if ((error as { code?: string }).code === "MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}

/**
 * Node through koffi.
 * @throws {ForeignBufferError} where the engine forbids buffers over foreign memory, as Electron's does.
 */
export function open(path: string, koffi: Koffi): Native {
  const library = koffi.load(path);
  const calls = Object.fromEntries(
    Object.entries(symbols).map(([name, args]) => [
      name,
      library.func(
        name,
        "double",
        args.map((type) => types[type]),
      ),
    ]),
  ) as unknown as Calls;
  const buffer = (address: number, length: number) => koffi.view(BigInt(address), length);
  /* A library of another ABI may answer with anything; it is refused by who called this. */
  if (calls.oc_abi() === ABI) {
    try {
      buffer(calls.oc_shared(), 8);
    } catch (cause) {
      throw new ForeignBufferError(cause);
    }
  }
  return {
    backend: "koffi",
    runtime: `node ${builtin("process").versions.node}`,
    libraryPath: path,
    calls,
    longestBuffer: 2 ** 45,
    cheapBufferCalls: false,
    checksumFrom: 96,
    collects: "never",
    findCollector: () => undefined,
    atomicLoadsWrite: false,
    buffer,
    watch: watchSocket,
    permits,
  };
}
