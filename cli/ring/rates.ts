import { inspectRing, type RingInspector, type RingReport, ringRoom } from "../../src/ring/main.ts";

/** How a reader keeps up. */
export interface ReaderRate {
  readonly reader: bigint;
  readonly process: number;
  readonly delivery: string;
  /** Frames that it took, per second. */
  readonly rate: number;
  /** Frames that it has not taken yet. */
  readonly lag: number;
  readonly drops: number;
  /** Frames that it missed, per second. */
  readonly dropRate: number;
}

/** A ring in motion, between two looks. */
export interface Rates {
  readonly name: string;
  readonly wire: string;
  readonly ownerState: string;
  readonly published: number;
  /** Frames per second. */
  readonly rate: number;
  /** Bytes of the newest frame that could be read. */
  readonly frameBytes: number;
  readonly readers: readonly ReaderRate[];
  /** Shared memory. */
  readonly room: { readonly free: number; readonly total: number };
}

function between(before: RingReport, now: RingReport, seconds: number, frameBytes: number): Rates {
  const readers = now.connected.map(({ reader, process, delivery, seen, drops }) => {
    const old = before.connected.find((each) => each.reader === reader) ?? { seen, drops };
    const dropRate = Math.max(0, drops - old.drops) / seconds;
    return {
      reader,
      process,
      delivery,
      rate: Math.max(0, (seen - old.seen) / seconds - dropRate),
      lag: Math.max(0, now.published - seen),
      drops,
      dropRate,
    };
  });
  const { name, wire, ownerState, published } = now;
  const rate = Math.max(0, published - before.published) / seconds;
  return { name, wire, ownerState, published, rate, frameBytes, readers, room: ringRoom() };
}

/** Bytes of the newest frame; on wire "shmx" a slot's place says nothing of its frame. */
function newestBytes(inspector: RingInspector, { wire, published, slots }: RingReport): number {
  if (published === 0 || (wire === "shmx" && slots > 64)) return 0;
  if (wire === "native") return inspector.slot((published - 1) % slots).frame?.bytes ?? 0;
  let newest = { id: 0, bytes: 0 };
  for (const { frame } of inspector.slots()) if (frame !== undefined && frame.id > newest.id) newest = frame;
  return newest.bytes;
}

/** Looks at a ring every `interval` ms without joining it; ends when its owner is gone, or the signal says so. */
export async function* watchRates(
  name: string,
  interval: number,
  signal?: AbortSignal,
): AsyncGenerator<Rates, void, void> {
  const inspector = inspectRing(name);
  try {
    let before = inspector.inspect();
    let at = performance.now();
    while (!signal?.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, interval);
        signal?.addEventListener("abort", () => resolve(void clearTimeout(timer)), { once: true });
      });
      const now = inspector.inspect();
      const then = performance.now();
      yield between(before, now, (then - at) / 1000, newestBytes(inspector, now));
      if (now.ownerState !== "alive") return;
      before = now;
      at = then;
    }
  } finally {
    inspector.close();
  }
}
