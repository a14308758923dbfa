/**
 * One ring with streams of many kinds, as a robot would publish them: what is not in a frame is not there, what is there
 * has the typed array of its type.
 *
 *   ring-many-streams.ts
 */
import process from "node:process";
import { createRing, fromBf16, openRing, toBf16 } from "../src/ring/main.ts";

const schema = {
  tick: { type: "u64" },
  joints: { type: "f64", capacity: 7 },
  cloud: { type: "f32", components: 3, capacity: 1000, extra: new TextEncoder().encode("unit=m") },
  depth: { type: "u16", capacity: 64 * 48 },
  mask: { type: "bool", capacity: 64 * 48 },
  features: { type: "bf16", capacity: 128 },
} as const;

const name = `robot-${process.pid}`;
const server = createRing(name, { schema });
const client = openRing(name, { schema, delivery: "queue" });

for (let i = 1; i <= 3; i++) {
  const loan = server.begin();
  loan.get("tick")[0] = BigInt(i);
  loan.get("joints").fill(i / 10);
  /* Each frame has as many points as were seen; every third has a picture. */
  const points = loan.get("cloud", 100 * i);
  for (let k = 0; k < points.length; k++) points[k] = k / 3;
  if (i === 3) {
    loan.get("depth").fill(1500);
    loan.get("mask").fill(1);
    loan.get("features").set(toBf16(Array.from({ length: 128 }, (_, k) => k / 2)));
  }
  loan.publish(i / 100);
}

for (const { name: stream, type, components, capacity } of client.streams())
  console.log(`${stream.padEnd(9)}${type.padEnd(5)}x ${components}, room for ${capacity}`);
for (let frame = client.take(); frame !== undefined; frame = client.take()) {
  const parts = frame.names().map((stream) => `${stream} ${frame?.count(stream as keyof typeof schema)}`);
  console.log(`frame ${frame.id} at ${frame.time} s, ${frame.bytes} bytes: ${parts.join(", ")}`);
  if (frame.has("features")) console.log(`feature 127 is ${fromBf16(frame.get("features"))[127]}`);
}
client.close();
server.close();
