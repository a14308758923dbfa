import { builtin } from "../src/builtins.ts";
import type { Native, Watch } from "./native.ts";
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

/** Bun's built-in FFI. JavaScriptCore's buffers end at 4 GiB. */
export function open(path: string): Native {
  const ffi = builtin("module").createRequire(import.meta.url)("bun:ffi") as BunFfi;
  const table = Object.fromEntries(
    Object.entries(symbols).map(([name, args]) => [name, { args: [...args], returns: "f64" }]),
  );
  const calls = ffi.dlopen(path, table).symbols as Calls;
  const { Bun: bun } = globalThis as unknown as { Bun: { gc(now: boolean): unknown } };
  return {
    backend: "bun-ffi",
    runtime: `bun ${(builtin("process").versions as Record<string, string | undefined>).bun}`,
    libraryPath: path,
    calls,
    longestBuffer: 2 ** 32,
    cheapBufferCalls: true,
    checksumFrom: 16,
    collects: "both",
    findCollector: () => (now) => void bun.gc(now),
    atomicLoadsWrite: true,
    buffer: (address, length) => ffi.toArrayBuffer(address, 0, length),
    watch,
    permits: () => true,
  };
}
