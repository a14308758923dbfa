import { closeSync, openSync, readSync } from "node:fs";
import type { Context } from "../area.ts";
import { Peer } from "../peer.ts";
import { type Participant, timed } from "../rounds.ts";
import type { Setting } from "./setting.ts";

/** The offsets of a case, cut into as many slices as it has rounds. */
export interface Sequence {
  readonly offsets: Float64Array;
  /** The same as a file of doubles, for peers in other processes. */
  readonly path: string;
  /** Bytes of a read. */
  readonly length: number;
  /** Where all reads of this process go. It begins on a page: copies take longer to some addresses than to others. */
  readonly target: Uint8Array;
  /** Reads of a round. */
  readonly perRound: number;
}

/** What a peer does: `read` and `touch` at offsets, `whole` for the file in order, `open` and `view` for one read each. */
export type Operation = "read" | "touch" | "whole" | "open" | "view";

/** A peer in this process or another. */
export interface Reader {
  /** One round; undefined where the peer has no such operation. */
  participant(operation: Operation, sequence: Sequence, turn: number): Participant | undefined;
  end(): Promise<void>;
}

/**
 * Where the slice of a round begins. Participants are one slice apart, so that none finds in the processor's cache what
 * another has just read, and in the end all have read the same.
 */
export function sliceStart({ offsets, perRound }: Sequence, round: number, turn: number): number {
  return ((round + turn) * perRound) % offsets.length;
}

let sink = 0;

/** Keeps what was read from being optimized away. */
export function use(byte: number | undefined): void {
  sink = (sink + (byte ?? 0)) | 0;
}

/** The runtime's own fs.readSync. */
function readSyncReader({ file, size }: Setting): Reader {
  const fd = openSync(file, "r");
  const participant = (operation: Operation, sequence: Sequence, turn: number): Participant | undefined => {
    const { offsets, length, perRound, target } = sequence;
    switch (operation) {
      case "whole":
        return () =>
          timed(size / length, () => {
            for (let at = 0; at < size; at += length) readSync(fd, target, 0, length, at);
            use(target[0]);
          });
      case "open":
        return (round) => {
          const from = sliceStart(sequence, round, turn);
          return timed(perRound, () => {
            for (let i = from; i < from + perRound; i++) {
              const one = openSync(file, "r");
              readSync(one, target, 0, length, offsets[i] as number);
              closeSync(one);
            }
            use(target[0]);
          });
        };
      case "read":
        return (round) => {
          const from = sliceStart(sequence, round, turn);
          return timed(perRound, () => {
            for (let i = from; i < from + perRound; i++) readSync(fd, target, 0, length, offsets[i] as number);
            use(target[0]);
          });
        };
      default:
        return undefined;
    }
  };
  return { participant, end: async () => closeSync(fd) };
}

interface BunGlobal {
  readonly Bun?: { mmap(path: string): Uint8Array; gc(force: boolean): void };
}

/** Bun.mmap; for `whole` and `view` mapped anew, and left to the garbage collector as Bun does it. */
function bunMmapReader({ file, size }: Setting): Reader | undefined {
  const { Bun } = globalThis as unknown as BunGlobal;
  if (Bun === undefined) return undefined;
  let kept: Uint8Array | undefined;
  const participant = (operation: Operation, sequence: Sequence, turn: number): Participant | undefined => {
    const { offsets, length, perRound, target } = sequence;
    if (operation === "open") return undefined;
    if (operation === "whole")
      return () => {
        const cost = timed(size / length, () => {
          const mapped = Bun.mmap(file);
          for (let at = 0; at < size; at += length) target.set(mapped.subarray(at, at + length));
          use(target[0]);
        });
        Bun.gc(true);
        return cost;
      };
    if (operation === "view")
      return (round) => {
        const from = sliceStart(sequence, round, turn);
        const cost = timed(perRound, () => {
          for (let i = from; i < from + perRound; i++) use(Bun.mmap(file)[offsets[i] as number]);
        });
        Bun.gc(true);
        return cost;
      };
    kept ??= Bun.mmap(file);
    const mapped = kept;
    if (operation === "touch")
      return (round) => {
        const from = sliceStart(sequence, round, turn);
        return timed(perRound, () => {
          for (let i = from; i < from + perRound; i++) {
            const at = offsets[i] as number;
            use(mapped.subarray(at, at + length)[0]);
          }
        });
      };
    return (round) => {
      const from = sliceStart(sequence, round, turn);
      return timed(perRound, () => {
        for (let i = from; i < from + perRound; i++) {
          const at = offsets[i] as number;
          target.set(mapped.subarray(at, at + length));
        }
        use(target[0]);
      });
    };
  };
  return {
    participant,
    end: async () => {
      kept = undefined;
    },
  };
}

/** A program that speaks the protocol of bench/peers/peer.h. */
function programReader(command: string, args: readonly string[], operations: readonly Operation[]): Reader {
  const peer = new Peer(command, args);
  const participant = (operation: Operation, sequence: Sequence, turn: number): Participant | undefined => {
    if (!operations.includes(operation)) return undefined;
    const { path, length, perRound } = sequence;
    return (round) => peer.ask(operation, path, length, sliceStart(sequence, round, turn), perRound);
  };
  return { participant, end: () => peer.end() };
}

/** The peers that exist here, by name. */
export function readersFor(context: Context, setting: Setting): Record<string, Reader> {
  const { programs, prepared } = context;
  const { file } = setting;
  const readers: Record<string, Reader> = { readSync: readSyncReader(setting) };
  if (programs["c-pread"]) readers["c-pread"] = programReader(programs["c-pread"], [file], ["read", "whole", "open"]);
  if (programs["c-mmap"])
    readers["c-mmap"] = programReader(programs["c-mmap"], [file], ["read", "touch", "whole", "view"]);
  if (prepared.python)
    readers["py-mmap"] = programReader(
      String(prepared.python),
      [String(prepared.pythonPeer), file],
      ["read", "touch", "whole", "view"],
    );
  const bun = bunMmapReader(setting);
  if (bun !== undefined) readers["bun-mmap"] = bun;
  return readers;
}
