/**
 * Looks at a ring without joining it: where its parts lie, what is in each slot, who reads it.
 *
 *   ring-inspector.ts [RING]        without a name: one that it makes itself
 */
import process from "node:process";
import { createRing, inspectRing, openRing } from "../src/ring/main.ts";

const schema = { celsius: { type: "f32" }, points: { type: "f64", components: 2, capacity: 8 } } as const;

function inspect(name: string): void {
  const inspector = inspectRing(name);
  const report = inspector.inspect();
  console.log(`${name}: wire ${report.wire}, owner ${report.ownerState}, ${report.published} frames published`);
  for (const { name: part, offset, bytes } of inspector.layout())
    console.log(`${String(offset).padStart(8)} ${part}, ${bytes} bytes`);
  for (const { slot, state, frame } of inspector.slots())
    console.log(`slot ${slot}: ${frame === undefined ? state : `frame ${frame.id} with ${frame.names().join(", ")}`}`);
  for (const reader of report.connected) {
    const waiting = inspector.peekControl(reader.slot).map(({ type }) => type);
    console.log(`reader in process ${reader.process}: ${reader.delivery}, seen ${reader.seen}, messages ${waiting}`);
  }
  inspector.close();
}

const [given] = process.argv.slice(2);
if (given !== undefined) inspect(given);
else {
  const name = `inspected-${process.pid}`;
  const server = createRing(name, { schema });
  const client = openRing(name, { schema });
  for (let i = 1; i <= 5; i++) server.publish({ celsius: [20 + i], ...(i % 2 === 0 ? { points: [i, i] } : {}) });
  client.take();
  client.send(7);
  inspect(name);
  client.close();
  server.close();
}
