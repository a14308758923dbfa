/** What a case's figure must not exceed: `atMost` times a peer's, or `atMost` itself when no peer is named. */
export interface Target {
  readonly peer?: string;
  readonly atMost: number;
}

/** Costs of one case in its unit: lower is better. */
export interface Figures {
  readonly ours: number;
  readonly peers: Readonly<Record<string, number>>;
  /** 99th percentiles, where `ours` and `peers` are medians. */
  readonly p99?: { readonly ours: number; readonly peers: Readonly<Record<string, number>> };
}

/** What a case is given; a plain object, because it travels to the process that runs the cases. */
export interface Context {
  /** Short rounds and a small file. */
  readonly quick: boolean;
  /** A folder for files, removed at the end of the run. */
  readonly folder: string;
  /** Path of each built peer program, by name. */
  readonly programs: Readonly<Record<string, string>>;
  /** What `Area.prepare` returned. */
  readonly prepared: Readonly<Record<string, string | number>>;
}

export interface Case {
  readonly name: string;
  readonly unit: "ns" | "rate" | "MiB" | "us" | "count" | "s" | "bytes";
  readonly target?: Target | ((context: Context) => Target);
  /** Further targets, shown below the case. */
  readonly more?: readonly Target[];
  /** Runs in the runtime that is measured; undefined when this machine lacks what the case needs. */
  run(context: Context): Promise<Figures | undefined>;
}

/** One module `bench/AREA.ts` exports one of these as `area`. */
export interface Area {
  /** Peers in C, as `bench/peers/NAME.c`, built before the cases run. */
  readonly programs: readonly string[];
  /** Peers in C that need a library: built with these flags where it is installed, else left out. */
  readonly optional?: Readonly<Record<string, readonly string[]>>;
  /** Makes what all runtimes share, once per run, in Bun. */
  prepare(context: Context): Promise<Context["prepared"]>;
  readonly cases: readonly Case[];
}

/** What the runner prints for a case, one JSON object per line. */
export interface CaseResult extends Figures {
  readonly case: string;
  readonly unit: Case["unit"];
  readonly target?: Target;
  readonly more?: readonly Target[];
}
