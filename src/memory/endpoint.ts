import { native } from "../../ffi/load.ts";
import type { Calls } from "../../ffi/symbols.ts";
import { ClosedError, InvalidArgumentError, PeerClosedError, SystemError, UnsupportedFileError } from "../errors.ts";
import { check, checkInteger, errnoName, errorFor } from "./check.ts";
import { DataFile } from "./data-file.ts";
import { type Job, JobKind } from "./job.ts";
import { forgetLeak, trackLeak } from "./leaks.ts";
import { startJob } from "./pump.ts";

/** Both ends of a connection, as every runtime tells them. */
export interface Connection {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

const gone = new Set(["EPIPE", "ECONNRESET", "ENOTCONN", "ESHUTDOWN", "ECONNABORTED", "ETIMEDOUT"]);
const SOCKET = 4;
const FIFO = 3;
const FILE = 1;
const status = new Float64Array(12);
const nothing = new Uint8Array(1);

/** The error for a failed transfer: `PeerClosedError` for whatever says that nobody takes the bytes any more. */
export function transferError(number: number, operation: string, name: string): Error {
  const errno = errnoName(number);
  if (gone.has(errno)) return new PeerClosedError(errno);
  return errorFor(errno, operation, name);
}

/** True when the error number says that the kernel cannot do it this way, so that another way is worth trying. */
export function isRefusal(number: number): boolean {
  return ["EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EPERM"].includes(errnoName(number));
}

/**
 * One end of a connection, a pipe, or a file that bytes are sent to: a duplicate of somebody's descriptor, so that it
 * goes on naming the same connection when the original number is closed and given to another.
 */
export class Endpoint {
  readonly kind: "socket" | "pipe" | "file";
  readonly name: string;
  #fd: number;
  #calls: Calls;
  #wasBlocking = false;

  private constructor(fd: number, name: string) {
    this.#fd = fd;
    this.#calls = native().calls;
    this.name = name;
    try {
      check(this.#calls.oc_stat(fd, status), "stat", name);
      const kind = status[1];
      if (kind !== SOCKET && kind !== FIFO && kind !== FILE)
        throw new UnsupportedFileError(name, "neither a socket, a pipe nor a file");
      this.kind = kind === SOCKET ? "socket" : kind === FIFO ? "pipe" : "file";
      if (this.kind === "socket") {
        const connected = this.#calls.oc_socket_check(fd, 0);
        if (connected < 0) throw transferError(-connected, "send to", name);
        this.#wasBlocking = check(this.#calls.oc_nonblocking(fd, 1), "set up", name) === 0;
      }
    } catch (error) {
      this.#calls.oc_close(fd, 0);
      throw error;
    }
    trackLeak(this, { what: name, descriptor: fd, quiet: true });
  }

  /**
   * The descriptor's other end. A socket in blocking mode is put into non-blocking mode until `close`.
   * @throws {PeerClosedError} when it is a socket that is not connected.
   */
  static ofDescriptor(descriptor: number): Endpoint {
    checkInteger("descriptor", descriptor);
    if (descriptor > 0x7fffffff) throw new InvalidArgumentError(`${descriptor} is not a descriptor`);
    const name = `descriptor ${descriptor}`;
    return new Endpoint(check(native().calls.oc_dup(descriptor, 0), "duplicate", name), name);
  }

  /**
   * The connection between two addresses, or undefined when this process has none such.
   * @param hint number to try first; the number that was found is told to `onFound`.
   * @param scan look through all descriptors when the hint is wrong.
   */
  static ofConnection(
    ends: Connection,
    hint: number | undefined,
    scan: boolean,
    onFound?: (number: number) => void,
  ): Endpoint | undefined {
    const found = new Float64Array(1);
    const text = (address: string): Uint8Array => new TextEncoder().encode(`${address}\0`);
    const fd = native().calls.oc_socket_find(
      text(ends.localAddress),
      ends.localPort,
      text(ends.remoteAddress),
      ends.remotePort,
      hint ?? -1,
      scan ? 1 : 0,
      found,
    );
    if (fd < 0) return undefined;
    onFound?.(found[0] ?? -1);
    return new Endpoint(fd, `${ends.remoteAddress}:${ends.remotePort}`);
  }

  /** Takes over a duplicate of our own making, of a connected stream in non-blocking mode. */
  static adopt(fd: number, name: string): Endpoint {
    return new Endpoint(fd, name);
  }

  /** The descriptor, for calls of this folder only. */
  get fd(): number {
    if (this.#fd < 0) throw new ClosedError(this.name);
    return this.#fd;
  }

  get closed(): boolean {
    return this.#fd < 0;
  }

  /** Sends bytes without waiting: how many were taken, 0 when none can be now. */
  send(bytes: Uint8Array, start: number, more: boolean): number {
    const sent = this.#calls.oc_send(this.fd, bytes, start, bytes.length - start, more ? 1 : 0);
    if (sent >= 0) return sent;
    if (errnoName(-sent) === "EAGAIN") return 0;
    throw transferError(-sent, "send to", this.name);
  }

  /** One sendfile call: bytes sent, or a negative error number. Waits only if the file is not in memory. */
  sendFile(file: DataFile, offset: number, count: number): number {
    return this.#calls.oc_sendfile(this.fd, file.fd, offset, count, 0, nothing, 0, 0);
  }

  /** Sends a part of a file in the pump: without a copy, or by reading and writing. */
  sendLater(file: DataFile, offset: number, count: number, copy: boolean): Job {
    return startJob(copy ? JobKind.copy : JobKind.sendfile, this.fd, file.fd, offset, 0, count);
  }

  /** Ends when bytes can be sent. */
  whenWritable(): Job {
    return startJob(JobKind.writable, this.fd, -1, 0, 0, 0);
  }

  /** Moves what arrives here to `target`, without a copy. */
  spliceTo(target: Endpoint, count: number): Job {
    return startJob(JobKind.splice, target.fd, this.fd, 0, 0, count);
  }

  /** Ends the connection: what the peer has not received is lost to it, and it hears of the end. */
  shutdown(how: "read" | "write" | "both" = "both"): void {
    this.#calls.oc_shutdown(this.fd, how === "read" ? 0 : how === "write" ? 1 : 2);
  }

  /** Lets go of the descriptor; the connection itself stays its owner's. */
  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    forgetLeak(this);
    if (this.#wasBlocking) this.#calls.oc_nonblocking(fd, 0);
    this.#calls.oc_close(fd, 0);
  }
}

/** Flag of `sendOnce`: read at the file's own position and move it. */
export const AT_POSITION = 1;

/**
 * One sendfile call between the user's own descriptors: `header`, `count` bytes of `input`, `trailer`.
 * @throws {PeerClosedError} when nobody takes the bytes any more.
 * @throws {SystemError} with the system's error name otherwise, "EAGAIN" when none can be sent now.
 */
export function sendOnce(
  out: number,
  input: number,
  offset: number,
  count: number,
  flags: number,
  header: Uint8Array,
  trailer: Uint8Array,
): number {
  let parts = nothing;
  if (header.length + trailer.length > 0) {
    parts = new Uint8Array(header.length + trailer.length);
    parts.set(header);
    parts.set(trailer, header.length);
  }
  const { calls } = native();
  const sent = calls.oc_sendfile(out, input, offset, count, flags, parts, header.length, trailer.length);
  if (sent >= 0) return sent;
  const errno = errnoName(-sent);
  if (gone.has(errno)) throw new PeerClosedError(errno);
  throw new SystemError(errno, "sendfile", `from descriptor ${input} to descriptor ${out}`);
}

/** A file that some descriptor of this process can read, found by device and inode; undefined when there is none. */
export function findOpenFile(device: number, inode: bigint): DataFile | undefined {
  const fd = native().calls.oc_file_find(device, Number(inode & 0xffffffffn), Number(inode >> 32n));
  return fd < 0 ? undefined : DataFile.adopt(fd, `inode ${inode}`, false);
}
