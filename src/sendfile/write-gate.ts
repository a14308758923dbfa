import { builtin } from "../builtins.ts";
import { PeerClosedError } from "../errors.ts";

type Done = (error?: Error | null) => void;

/** What implements a stream, as Node documents it for its authors. */
interface Implementation {
  _write(chunk: Uint8Array, encoding: string, done: Done): void;
  _writev?: unknown;
  write(chunk: Uint8Array, done: Done): boolean;
  uncork(): void;
  readonly writableCorked?: number;
}

/** The turn of one transfer among all that is written to a stream. */
export interface GateTurn {
  /** When everything that was written before has left the stream; rejects when it ends before. */
  readonly reached: Promise<void>;
  /** Writes in this turn: before whatever was written to the stream since it was taken. */
  write(bytes: Uint8Array): Promise<void>;
  /** Lets the stream go on with what was written since. */
  leave(): void;
}

const failed = (error: unknown): PeerClosedError => {
  const { code } = error as { code?: string };
  return new PeerClosedError(code?.startsWith("E") && !code.startsWith("ERR_") ? code : "EPIPE", error);
};

/**
 * Holds a stream's writes back from some point on. A marker, an empty chunk, is written to the stream; when the stream
 * hands it to its implementation, all before it has been taken. As long as the marker counts as being written, the
 * stream keeps what the application writes, as it does for a slow peer: `write` tells when to stop, `end` waits.
 */
class WriteGate {
  readonly #stream: Implementation;
  readonly #markers = new Map<Uint8Array, (done: Done) => void>();
  readonly #write: Implementation["_write"];
  readonly #own: readonly [PropertyDescriptor | undefined, PropertyDescriptor | undefined];
  readonly #shadow: Implementation["_write"];

  constructor(stream: Implementation) {
    this.#stream = stream;
    this.#write = stream._write;
    this.#own = [Object.getOwnPropertyDescriptor(stream, "_write"), Object.getOwnPropertyDescriptor(stream, "_writev")];
    this.#shadow = (chunk, encoding, done) => {
      const arrived = this.#markers.get(chunk);
      if (arrived === undefined) this.#write.call(stream, chunk, encoding, done);
      else {
        this.#forget(chunk);
        arrived(done);
      }
    };
    stream._write = this.#shadow;
    /* Without it a stream hands over one chunk at a time, so that nothing behind a marker leaves with what is before. */
    stream._writev = null;
  }

  /** While markers are on their way. Whoever shadowed these meanwhile keeps his, and they lead here. */
  #forget(marker: Uint8Array): void {
    this.#markers.delete(marker);
    const stream = this.#stream;
    if (this.#markers.size > 0 || stream._write !== this.#shadow) return;
    gates.delete(stream);
    for (const [name, before] of [
      ["_writev", this.#own[1]],
      ["_write", this.#own[0]],
    ] as const)
      if (before === undefined) delete (stream as Partial<Implementation>)[name];
      else Object.defineProperty(stream, name, before);
  }

  enter(): GateTurn {
    const { Buffer } = builtin("buffer");
    const stream = this.#stream;
    const marker = Buffer.alloc(0);
    let held: Done | undefined;
    let left = false;
    const reached = new Promise<void>((resolve, reject) => {
      this.#markers.set(marker, (done) => {
        if (left) {
          done();
          return;
        }
        held = done;
        resolve();
      });
      stream.write(marker, (error) => {
        if (!error) return;
        this.#forget(marker);
        reject(failed(error));
      });
    });
    reached.catch(() => undefined);
    return {
      reached,
      write: (bytes) =>
        new Promise((resolve, reject) => {
          const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
          this.#write.call(stream, chunk, "buffer", (error) => (error ? reject(failed(error)) : resolve()));
        }),
      leave() {
        left = true;
        const done = held;
        held = undefined;
        done?.();
      },
    };
  }
}

const gates = new WeakMap<object, WriteGate>();

/**
 * Takes a turn among the writes of a stream that is neither ended nor destroyed: behind what was written before this
 * call, ahead of what is written after it. What the application held back by `cork` is let go, as `end` does.
 */
export function enterGate(stream: object): GateTurn {
  const implementation = stream as Implementation;
  while ((implementation.writableCorked ?? 0) > 0) implementation.uncork();
  let gate = gates.get(stream);
  if (gate === undefined) {
    gate = new WriteGate(implementation);
    gates.set(stream, gate);
  }
  return gate.enter();
}
