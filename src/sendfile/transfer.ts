import { SendfileUnavailableError, TruncatedError } from "../errors.ts";
import { errnoName } from "../memory/check.ts";
import type { DataFile } from "../memory/data-file.ts";
import { type Endpoint, isRefusal, transferError } from "../memory/endpoint.ts";
import type { Control } from "./control.ts";
import type { Piece } from "./ranges.ts";
import type { OpenTarget } from "./target.ts";

/** How the bytes of a file went out: without a copy, through a buffer of ours, or through the runtime's own stream. */
export type SendMethod = "sendfile" | "copy" | "stream";

/** Buffers of the copy loop. */
const COPY = 256 * 1024;
const COPY_WATCHED = 32 * 1024;

/** The first call is made at once, in the JavaScript thread: most responses are smaller, and need no other thread. */
const AT_ONCE = 256 * 1024;

/** Below this reading and sending costs no more than sendfile, and header and body leave in one call. */
export const SMALL_BODY: number = 8192;

async function sendBytes(endpoint: Endpoint, bytes: Uint8Array, more: boolean, control: Control): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    control.check();
    const sent = endpoint.send(bytes, at, more);
    at += sent;
    control.add(sent);
    if (sent === 0) await control.run(endpoint.whenWritable());
  }
}

/** One transfer of pieces of a file to a target. */
export class Transfer {
  method: SendMethod;
  readonly #target: OpenTarget;
  readonly #file: DataFile;
  readonly #control: Control;
  readonly #fallback: boolean;

  constructor(target: OpenTarget, file: DataFile, control: Control, fallback: boolean) {
    this.#target = target;
    this.#file = file;
    this.#control = control;
    this.#fallback = fallback;
    this.method = target.endpoint === undefined ? "stream" : "sendfile";
    if (target.endpoint === undefined && !fallback) throw new SendfileUnavailableError(target.reason);
  }

  async send(pieces: readonly Piece[]): Promise<void> {
    const { endpoint } = this.#target;
    for (const [index, piece] of pieces.entries()) {
      this.#control.check();
      const more = index + 1 < pieces.length;
      if (!(piece instanceof Uint8Array)) await this.#sendPart(piece.offset, piece.length, more);
      else if (endpoint === undefined) await this.#stream(piece);
      else await sendBytes(endpoint, piece, more, this.#control);
    }
  }

  async #sendPart(offset: number, length: number, more: boolean): Promise<void> {
    const { endpoint } = this.#target;
    const small = length <= SMALL_BODY && this.#fallback;
    for (let done = 0; done < length; ) {
      this.#control.check();
      const at = offset + done;
      const step = this.#control.step(length - done);
      let moved: number;
      if (endpoint === undefined || small) moved = await this.#sendRead(endpoint, at, step, more);
      else {
        moved = this.method === "sendfile" ? this.#tryAtOnce(endpoint, at, step) : 0;
        if (moved < step) moved += await this.#sendLater(endpoint, at + moved, step - moved);
      }
      done += moved;
      await this.#control.pace();
    }
  }

  /** Reads, and gives the bytes to the stream or, where there is few of them, to the socket. */
  async #sendRead(endpoint: Endpoint | undefined, offset: number, step: number, more: boolean): Promise<number> {
    /* A stream tells only when it took all of what it was given: smaller pieces let a slow peer show that it lives. */
    const most = endpoint === undefined && this.#control.idles ? COPY_WATCHED : COPY;
    const bytes = new Uint8Array(Math.min(step, most));
    this.#file.readInto(offset, bytes);
    if (endpoint === undefined) await this.#stream(bytes);
    else await sendBytes(endpoint, bytes, more, this.#control);
    return bytes.length;
  }

  async #stream(bytes: Uint8Array): Promise<void> {
    this.#control.begun = true;
    await this.#target.write(bytes);
    this.#control.add(bytes.length);
  }

  #tryAtOnce(endpoint: Endpoint, offset: number, step: number): number {
    const sent = endpoint.sendFile(this.#file, offset, Math.min(step, AT_ONCE));
    if (sent > 0) this.#control.add(sent);
    if (sent === 0) throw this.#truncated(offset);
    if (sent < 0 && errnoName(-sent) !== "EAGAIN") this.#refused(sent);
    return Math.max(0, sent);
  }

  async #sendLater(endpoint: Endpoint, offset: number, count: number): Promise<number> {
    const job = endpoint.sendLater(this.#file, offset, count, this.method === "copy");
    const { moved, outcome } = await this.#control.run(job);
    this.#control.add(moved);
    if (outcome === "end") throw this.#truncated(offset + moved);
    if (outcome !== "done") this.#refused(outcome);
    return moved;
  }

  /** Goes on by copying when the kernel refuses, at the byte where it did; throws when something else is wrong. */
  #refused(result: number): void {
    const number = -result;
    if (this.method !== "sendfile" || !isRefusal(number)) throw transferError(number, "send", this.#file.path);
    if (!this.#fallback) throw new SendfileUnavailableError("the system refuses it", errnoName(number));
    this.method = "copy";
  }

  #truncated(offset: number): TruncatedError {
    return new TruncatedError(this.#file.path, offset, this.#file.size());
  }
}
