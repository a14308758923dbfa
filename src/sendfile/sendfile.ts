import { InvalidArgumentError } from "../errors.ts";
import { AT_POSITION, sendOnce } from "../memory/endpoint.ts";

/** Options of `sendfile`. */
export interface SendfileOptions {
  /** Bytes that go before the file's. */
  readonly header?: Uint8Array;
  /** Bytes that follow once all `count` bytes, or all that the file has, were sent. */
  readonly trailer?: Uint8Array;
  /** FreeBSD's `SF_*` flags. No supported system has any: whatever is not 0 is refused. */
  readonly flags?: number;
}

const empty = new Uint8Array(0);

function checkNumber(name: string, value: number): void {
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError(`${name} must be an integer, not ${String(value)}`);
}

function checkDescriptor(name: string, value: number): void {
  if (!Number.isInteger(value) || value < -1 || value > 0x7fffffff)
    throw new InvalidArgumentError(`${name} is no descriptor: ${String(value)}`);
}

/**
 * Sends `count` bytes of the file `input`, from `offset` on, to the socket, pipe or file `out`: one system call, which
 * the kernel does without a copy through user space. Where `sendFile` is a transfer, this is a call: it never loops and
 * never waits on a socket in non-blocking mode.
 *
 * @param out descriptor to send to.
 * @param input descriptor of a regular file.
 * @param offset first byte, or null: read at the file's position and move it.
 * @param count bytes of the file; one call moves at most 2 147 479 552. 0 sends none.
 * @returns bytes sent, of header, file and trailer together: perhaps fewer than asked for, and 0 at the file's end. The
 * trailer goes out only with the last byte.
 * @throws {InvalidArgumentError} when a number is a fraction or not finite, or a flag is set.
 * @throws {PeerClosedError} when nobody takes the bytes any more.
 * @throws {SystemError} with the system's name of anything else, such as "EAGAIN", "EBADF" or "EINVAL" for an offset
 * below 0; nothing was sent then.
 */
export function sendfile(
  out: number,
  input: number,
  offset: number | null,
  count: number,
  options: SendfileOptions = {},
): number {
  const { header = empty, trailer = empty, flags = 0 } = options;
  checkDescriptor("out", out);
  checkDescriptor("input", input);
  if (offset !== null) checkNumber("offset", offset);
  checkNumber("count", count);
  if (count < 0) throw new InvalidArgumentError("count must not be below 0");
  if (flags !== 0) throw new InvalidArgumentError(`flags ${String(flags)}: this system has no flags for sendfile`);
  return sendOnce(out, input, offset ?? 0, count, offset === null ? AT_POSITION : 0, header, trailer);
}
