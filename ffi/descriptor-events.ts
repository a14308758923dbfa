import { builtin } from "../src/builtins.ts";

/** Tells when bytes arrive on a descriptor of ours. */
export interface DescriptorEvents {
  /** Keeps the process alive, as it does at first. */
  ref(): void;
  /** Lets the process end. */
  unref(): void;
  /** Closes the descriptor. */
  close(): void;
}

/** The part of Bun that is used. */
interface BunSockets {
  connect(options: {
    fd: number;
    socket: { data(): void; error(): void };
  }): Promise<{ ref(): void; unref(): void; terminate(): void }>;
}

/** Bun's `net.Socket({ fd })` never delivers data; its own sockets do. */
function listenInBun(fd: number, onBytes: () => void): DescriptorEvents {
  const { Bun } = globalThis as unknown as { Bun: BunSockets };
  let socket: Awaited<ReturnType<BunSockets["connect"]>> | undefined;
  let wanted: "ref" | "unref" | "close" = "ref";
  const apply = (): void => {
    if (wanted === "close") socket?.terminate();
    else socket?.[wanted]();
  };
  const set = (next: typeof wanted) => (): void => {
    wanted = next;
    apply();
  };
  void Bun.connect({ fd, socket: { data: onBytes, error: () => undefined } }).then((opened) => {
    socket = opened;
    apply();
  });
  return { ref: set("ref"), unref: set("unref"), close: set("close") };
}

/** Calls `onBytes` whenever bytes arrived on a stream socket that belongs to the result; the bytes are dropped. */
export function listenDescriptor(fd: number, onBytes: () => void): DescriptorEvents {
  if ((globalThis.process.versions as Record<string, string | undefined>).bun !== undefined)
    return listenInBun(fd, onBytes);
  const socket = new (builtin("net").Socket)({ fd, readable: true, writable: false });
  socket.on("data", onBytes);
  socket.on("error", () => undefined);
  return {
    ref: () => void socket.ref(),
    unref: () => void socket.unref(),
    close: () => void socket.destroy(),
  };
}
