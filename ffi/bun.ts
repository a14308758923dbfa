import { builtin } from "../src/builtins.ts";
import type { Collection, Native, Watch } from "./native.ts";
import { type Calls, symbols } from "./symbols.ts";

interface BunFfi {
  dlopen(path: string, table: Record<string, { args: string[]; returns: string }>): { symbols: unknown };
  toArrayBuffer(address: number, offset: number, length: number): ArrayBuffer;
}

/** Bun's `net.Socket` never delivers from a descriptor; its own `connect` does. */
function watch(fd: number, onData: (bytes: Uint8Array) => void): Watch {
  let held = false;
  let closed = false;
  let socket: { ref(): void; unref(): void; end(): void } | undefined;
  const settle = () => {
    if (closed) socket?.end();
    else if (held) socket?.ref();
    else socket?.unref();
  };
  const { Bun: bun } = globalThis as unknown as { Bun: { connect(options: object): Promise<unknown> } };
  const connecting = bun.connect({
    fd,
    socket: {
      open(opened: typeof socket) {
        socket = opened;
        settle();
      },
      data: (_socket: unknown, bytes: Uint8Array) => onData(bytes),
      error() {},
      close() {},
    },
  });
  connecting.catch(() => {});
  return {
    ref() {
      held = true;
      settle();
    },
    unref() {
      held = false;
      settle();
    },
    close() {
      closed = true;
      settle();
    },
  };
}

/**
 * `Bun.gc(true)` throws compiled code away and gives free memory back to the system, which takes eight times as long and
 * has all memory that comes after be new.
 */
function findCollector(): (how: Collection) => void {
  const { Bun: bun } = globalThis as unknown as { Bun: { gc(now: boolean): unknown } };
  const engine = builtin("module").createRequire(import.meta.url)("bun:jsc") as { fullGC?(): unknown };
  return (how) => {
    if (how === "now" && engine.fullGC !== undefined) engine.fullGC();
    else bun.gc(how !== "soon");
  };
}

/** Bun's built-in FFI. JavaScriptCore's buffers end at 4 GiB. */
export function open(path: string): Native {
  const ffi = builtin("module").createRequire(import.meta.url)("bun:ffi") as BunFfi;
  const table = Object.fromEntries(
    Object.entries(symbols).map(([name, args]) => [name, { args: [...args], returns: "f64" }]),
  );
  const calls = ffi.dlopen(path, table).symbols as Calls;
  return {
    backend: "bun-ffi",
    runtime: `bun ${(builtin("process").versions as Record<string, string | undefined>).bun}`,
    libraryPath: path,
    calls,
    longestBuffer: 2 ** 32,
    cheapBufferCalls: true,
    checksumFrom: 16,
    collects: "both",
    findCollector,
    atomicLoadsWrite: true,
    buffer: (address, length) => ffi.toArrayBuffer(address, 0, length),
    watch,
    permits: () => true,
  };
}
