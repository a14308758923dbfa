import { ControlFullError, InvalidArgumentError } from "../errors.ts";
import type { Words } from "../memory/words.ts";

/** A message that a reader sent to the server, or the server's answer. */
export interface ControlMessage {
  /** Who sent it; 0n when it left before its message was read (wire "shmx"). */
  readonly reader: bigint;
  /** What it means: a number of your own, from 1. */
  readonly type: number;
  /** A copy of what was sent. */
  readonly body: Uint8Array;
  /** Number of a request that wants an answer; 0 for none. */
  readonly request: number;
}

const READ = 0;
const WRITE = 8;
const DATA = 16;

/**
 * One direction of messages in shared memory: a counter of bytes read, one of bytes written, and a ring of bytes. One
 * writer, one reader; each number of the other side is checked before it is used. The head of a message is type and
 * length (wire "shmx"), or these, the reader's id, the request's number and 4 bytes of nothing (24 bytes).
 */
export class ControlRing {
  #words: Words;
  #base: number;
  #room: number;
  #long: boolean;

  /** @param bytes of the ring with its counters; a ring without room for a message takes none. */
  constructor(words: Words, base: number, bytes: number, long: boolean) {
    this.#words = words;
    this.#base = base;
    this.#room = Math.max(0, bytes - DATA);
    this.#long = long;
  }

  get #head(): number {
    return this.#long ? 24 : 8;
  }

  /** Bytes that wait to be read; NaN when the counters contradict each other. */
  get pending(): number {
    const waiting = this.#words.load64(this.#base + WRITE) - this.#words.load64(this.#base + READ);
    return waiting >= 0 && waiting <= this.#room ? waiting : Number.NaN;
  }

  /**
   * Writes one message.
   * @throws {ControlFullError} when the reader has not made room.
   */
  send(name: string, type: number, body: Uint8Array, reader = 0n, request = 0): void {
    if (!Number.isInteger(type) || type <= 0 || type > 0xffffffff)
      throw new InvalidArgumentError(`a message's type is an integer from 1 to 2^32 - 1, not ${String(type)}`);
    const room = this.#room;
    const need = Math.ceil((this.#head + body.length) / 16) * 16;
    if (need > room || !(this.pending >= 0)) throw new ControlFullError(name);
    const read = this.#words.load64(this.#base + READ);
    let write = this.#words.load64(this.#base + WRITE);
    const left = room - (write % room);
    if (write + need - read > room) throw new ControlFullError(name);
    if (need > left) {
      if (write + left + need - read > room) {
        /* SHMX writes the pad even when the message then does not fit; the pad alone changes nothing for the reader. */
        if (write + left - read > room) throw new ControlFullError(name);
        this.#pad(write, left);
        this.#words.store64(this.#base + WRITE, write + left);
        throw new ControlFullError(name);
      }
      this.#pad(write, left);
      write += left;
      this.#words.store64(this.#base + WRITE, write);
    }
    const message = new Uint8Array(this.#head + body.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, type, true);
    view.setUint32(4, body.length, true);
    if (this.#long) {
      view.setBigUint64(8, reader, true);
      view.setUint32(16, request, true);
    }
    message.set(body, this.#head);
    this.#words.copyIn(this.#base + DATA + (write % room), message);
    this.#words.store64(this.#base + WRITE, write + need);
  }

  #pad(write: number, left: number): void {
    if (left < 8) return;
    const head = new Uint8Array(8);
    new DataView(head.buffer).setUint32(4, left - 8, true);
    this.#words.copyIn(this.#base + DATA + (write % this.#room), head);
  }

  /**
   * Reads messages into `out` until it holds `most`. False when the ring was corrupt: what was in it is dropped, once.
   */
  poll(out: ControlMessage[], most: number, reader: bigint): boolean {
    const room = this.#room;
    if (room <= 0) return true;
    let read = this.#words.load64(this.#base + READ);
    const write = this.#words.load64(this.#base + WRITE);
    if (read === write) return true;
    let ok = write - read > 0 && write - read <= room && Number.isSafeInteger(write);
    const head = new Uint8Array(this.#head);
    const view = new DataView(head.buffer);
    while (ok && read !== write && out.length < most) {
      const left = room - (read % room);
      if (left < 8) {
        read += left;
        ok = read <= write;
        continue;
      }
      const at = this.#base + DATA + (read % room);
      this.#words.copyOut(at, head.subarray(0, Math.min(head.length, left)));
      const type = view.getUint32(0, true);
      const length = view.getUint32(4, true);
      if (type === 0) {
        const skip = Math.ceil((8 + length) / 16) * 16;
        read += Math.min(skip, left);
        ok = read <= write;
        continue;
      }
      const need = Math.ceil((this.#head + length) / 16) * 16;
      ok = need <= left && read + need <= write;
      if (!ok) break;
      const body = new Uint8Array(length);
      this.#words.copyOut(at + this.#head, body);
      const sender = this.#long ? view.getBigUint64(8, true) : reader;
      out.push({ reader: sender, type, body, request: this.#long ? view.getUint32(16, true) : 0 });
      read += need;
    }
    this.#words.store64(this.#base + READ, ok ? read : write);
    return ok;
  }
}
