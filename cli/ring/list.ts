import { collectRings, listRings, type RingEntry, ringRoom } from "../../src/ring/main.ts";
import { bytes, paragraph, say, table } from "../terminal.ts";
import { json, shown } from "./text.ts";

function ownerOf({ foreign, ownerState, problem }: RingEntry): string {
  if (problem !== undefined) return "damaged";
  return foreign ? "SHMX" : ownerState;
}

/** `outcore ring ls` */
export function list(options: { json?: boolean }): void {
  const rings = listRings();
  const room = ringRoom();
  if (options.json) {
    json({ rings, room });
    return;
  }
  if (rings.length === 0) say("No rings.");
  else
    table(
      ["ring", "wire", "owner", "frames", "readers", "size"],
      rings.map((ring) => [
        shown(ring.name),
        ring.wire,
        ownerOf(ring),
        String(ring.report?.published ?? "?"),
        String(ring.report?.connected.length ?? "?"),
        bytes(ring.bytes),
      ]),
    );
  for (const { name, problem } of rings) if (problem !== undefined) paragraph(`${shown(name)}: ${shown(problem, 400)}`);
  if (rings.some(({ ownerState }) => ownerState === "owner-dead"))
    say("outcore ring gc removes what dead owners left.");
  say(`${bytes(room.free)} of ${bytes(room.total)} shared memory are free.`);
}

/** `outcore ring gc` */
export function collect(options: { json?: boolean; prefix: string }): void {
  const removed = collectRings(options.prefix);
  if (options.json) {
    json({ removed });
    return;
  }
  if (removed.length === 0) say("Nothing to remove.");
  for (const name of removed) say(`Removed ${shown(name, 60)}.`);
}
