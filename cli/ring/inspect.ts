import { inspectRing } from "../../src/ring/main.ts";
import { bytes, heading, say, table } from "../terminal.ts";
import { json, readerName, shown } from "./text.ts";

/** `outcore ring inspect NAME` */
export function inspect(name: string, options: { json?: boolean }): void {
  const inspector = inspectRing(name);
  try {
    const report = inspector.inspect();
    const slots = inspector
      .slots()
      .map(({ slot, state, frame }) => ({ slot, state, frame: frame?.id, time: frame?.time, bytes: frame?.bytes }));
    const messages = report.connected.map(({ slot }) => inspector.peekControl(slot).length);
    if (options.json) {
      json({ ...report, layout: inspector.layout(), slotStates: slots, messages });
      return;
    }
    say(`${shown(report.name, 60)}, wire ${report.wire}, session ${report.session.toString(16)}`);
    say(report.owner === 0 ? "owner unknown: made by SHMX" : `owner ${report.owner}: ${report.ownerState}`);
    say(
      `${report.published} frames published, ${report.slots} slots of ${bytes(report.frameBytes)}, ${bytes(report.bytes)} in all`,
    );
    heading("Streams");
    table(
      ["stream", "id", "type", "components", "capacity"],
      report.streams.map((stream) => [
        shown(stream.name, 40),
        String(stream.id),
        stream.type,
        String(stream.components),
        stream.capacity === 0 ? "-" : String(stream.capacity),
      ]),
    );
    heading("Slots");
    table(
      ["slot", "state", "frame", "time", "bytes"],
      slots.map(({ slot, state, frame, time, bytes: size }) => [
        String(slot),
        state,
        String(frame ?? ""),
        time === undefined ? "" : String(Number(time.toPrecision(12))),
        size === undefined ? "" : bytes(size),
      ]),
    );
    heading(`Readers, ${report.connected.length} of ${report.readerSlots}`);
    if (report.connected.length > 0)
      table(
        ["reader", "process", "delivery", "seen", "lag", "drops", "messages"],
        report.connected.map(({ reader, process, delivery, seen, drops }, i) => [
          readerName(reader),
          process === 0 ? "-" : String(process),
          delivery,
          String(seen),
          String(Math.max(0, report.published - seen)),
          String(drops),
          String(messages[i]),
        ]),
      );
  } finally {
    inspector.close();
  }
}
