import { writeFileSync } from "node:fs";
import { Mapping } from "../../src/memory/main.ts";
import { openWindows, type WindowFile, type WindowManager } from "../../src/window/main.ts";
import type { Case, Context, Figures, Target } from "../area.ts";
import { interleave, type Participant, type RoundOptions, timed } from "../rounds.ts";
import { type Operation, readersFor, type Sequence, sliceStart, use } from "./readers.ts";
import {
  fewPlaces,
  hot,
  inWindows,
  managerFor,
  offsetsPath,
  type Pattern,
  type Setting,
  settingOf,
  settle,
  uniform,
  WINDOW,
} from "./setting.ts";

interface ReadCase {
  readonly name: string;
  readonly target?: Target;
  readonly pattern: (setting: Setting) => Pattern;
  readonly length: number;
  readonly perRound: number;
  /** What the peers do. */
  readonly operation: Operation;
  /** Brings the windows into the state that is measured. */
  prepare?(file: WindowFile, setting: Setting, sequence: Sequence): void;
  /** Our round. Default: copying reads at the offsets. */
  ours?(file: WindowFile, setting: Setting, sequence: Sequence): Participant;
  /** Whether every use must find its window resident. */
  readonly allHits?: boolean;
}

/** Many short rounds: what slows the machine down for a while then slows all of them. */
const ROUNDS: RoundOptions = { rounds: 61, warmup: 9 };
const QUICK: RoundOptions = { rounds: 31, warmup: 9 };
/** A round is the whole file. */
const WHOLE: RoundOptions = { rounds: 15, warmup: 2 };
/** Windows that the hit cases read: few, or the processor's address cache would be measured instead. */
const FEW = 8;

/** Copying reads at the offsets of each round. */
function copying(file: WindowFile, _setting: Setting, sequence: Sequence): Participant {
  const { offsets, perRound, target } = sequence;
  return (round) => {
    const from = sliceStart(sequence, round, 0);
    return timed(perRound, () => {
      for (let i = from; i < from + perRound; i++) file.readInto(offsets[i] as number, target);
      use(target[0]);
    });
  };
}

function leasing(file: WindowFile, _setting: Setting, sequence: Sequence): Participant {
  const { offsets, length, perRound } = sequence;
  return (round) => {
    const from = sliceStart(sequence, round, 0);
    return timed(perRound, () => {
      for (let i = from; i < from + perRound; i++) {
        const lease = file.lease(offsets[i] as number, length);
        use(lease.bytes[0]);
        lease.release();
      }
    });
  };
}

/** The whole file in order, opened anew each time: nothing of it is resident at the start. */
function scanning(_file: WindowFile, setting: Setting, { length, target }: Sequence): Participant {
  const { file: path, size, budget } = setting;
  return () =>
    timed(size / length, () => {
      const file = openWindows(path, { windowSize: WINDOW, budget });
      for (let at = 0; at < size; at += length) file.readInto(at, target);
      use(target[0]);
      file.close();
    });
}

function opening(manager: WindowManager, path: string, sequence: Sequence, view: boolean): Participant {
  const { offsets, length, perRound, target } = sequence;
  return (round) => {
    const from = sliceStart(sequence, round, 0);
    return timed(perRound, () => {
      for (let i = from; i < from + perRound; i++) {
        const file = manager.open(path);
        if (view) use(file.view(offsets[i] as number, length)[0]);
        else file.readInto(offsets[i] as number, target);
        file.close();
      }
      use(target[0]);
    });
  };
}

/** Reads the whole sequence once, so that admission has made up its mind. */
function readAll(file: WindowFile, _setting: Setting, { offsets, target }: Sequence): void {
  for (const offset of offsets) file.readInto(offset, target);
}

const CASES: readonly ReadCase[] = [
  {
    name: "hit-lease",
    target: { atMost: 250 },
    pattern: () => fewPlaces(FEW),
    length: 1024,
    perRound: 5000,
    operation: "touch",
    prepare: (file) => settle(file, FEW),
    ours: leasing,
    allHits: true,
  },
  {
    name: "hit-read-1k",
    target: { peer: "readSync", atMost: 0.4 },
    pattern: () => inWindows(FEW),
    length: 1024,
    perRound: 5000,
    operation: "read",
    prepare: (file) => settle(file, FEW),
    allHits: true,
  },
  {
    name: "uniform-1k",
    target: { peer: "readSync", atMost: 1 },
    pattern: uniform,
    length: 1024,
    perRound: 5000,
    operation: "read",
    prepare: readAll,
  },
  {
    name: "uniform-64k",
    target: { peer: "readSync", atMost: 1.05 },
    pattern: uniform,
    length: 65_536,
    perRound: 500,
    operation: "read",
    prepare: readAll,
  },
  {
    name: "hot-1k",
    target: { peer: "readSync", atMost: 0.6 },
    pattern: hot,
    length: 1024,
    perRound: 5000,
    operation: "read",
    prepare: readAll,
  },
  {
    name: "whole-64k",
    target: { peer: "c-mmap", atMost: 1.1 },
    pattern: uniform,
    length: 65_536,
    perRound: 1,
    operation: "whole",
    ours: scanning,
  },
  {
    name: "open-first-read",
    target: { atMost: 25_000 },
    pattern: uniform,
    length: 1024,
    perRound: 200,
    operation: "open",
    ours: (file, setting, sequence) => opening(managerFor(setting), file.path, sequence, false),
  },
  {
    name: "open-first-view",
    target: { atMost: 100_000 },
    pattern: uniform,
    length: 1024,
    perRound: 100,
    operation: "view",
    ours: (file, setting, sequence) => opening(managerFor(setting), file.path, sequence, true),
  },
];

async function measure(each: ReadCase, context: Context): Promise<Figures> {
  const setting = settingOf(context);
  const plan = each.operation === "whole" ? WHOLE : context.quick ? QUICK : ROUNDS;
  const count = each.perRound * (plan.rounds + plan.warmup);
  const offsets = each.pattern(setting)(count, each.length, 42);
  const path = offsetsPath(context, each.name);
  writeFileSync(path, new Uint8Array(offsets.buffer));
  const memory = Mapping.anonymous(each.length);
  const target = memory.bytes(0, each.length);
  const sequence: Sequence = { offsets, path, length: each.length, perRound: each.perRound, target };

  const manager = managerFor(setting);
  const readers = readersFor(context, setting);
  try {
    const file = manager.open(setting.file);
    each.prepare?.(file, setting, sequence);
    const before = manager.stats.misses;
    const participants: Record<string, Participant> = {
      ours: (each.ours ?? copying)(file, setting, sequence),
    };
    let turn = 0;
    for (const [name, reader] of Object.entries(readers)) {
      const participant =
        reader.participant(each.operation, sequence, ++turn) ??
        (each.operation === "touch" || each.operation === "view"
          ? reader.participant(each.operation === "touch" ? "read" : "open", sequence, turn)
          : undefined);
      if (participant) participants[name] = participant;
    }
    const { ours = Number.NaN, ...peers } = await interleave(participants, plan);
    const misses = manager.stats.misses - before;
    if (each.allHits && misses > 0) throw new Error(`${each.name}: ${misses} uses missed`);
    return { ours, peers };
  } finally {
    manager.close();
    memory.close();
    for (const reader of Object.values(readers)) await reader.end();
  }
}

/** Cases that read the file, in ns per read. */
export const readCases: readonly Case[] = CASES.map((each) => ({
  name: each.name,
  unit: "ns",
  ...(each.target && { target: each.target }),
  run: (context) => measure(each, context),
}));
