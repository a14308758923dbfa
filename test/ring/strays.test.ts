import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { ReadOnlyError } from "../../src/errors.ts";
import { createRing, inspectRing, openRing } from "../../src/ring/main.ts";
import { freshName } from "./helpers.ts";

/* Several pages, so that the page that is written to is not the one with the slot's state. */
const COUNT = 8192;
const schema = { data: { type: "u32", capacity: COUNT } } as const;

describe("a write to a view of a frame that is read", () => {
  for (const wire of ["native", "shmx"] as const) {
    const rings = (what: string) => {
      const name = freshName(what);
      const server = createRing(name, { schema, wire, slots: 2 });
      const client = openRing(name, { schema });
      const publish = (value: number) => void server.publish({ data: new Uint32Array(COUNT).fill(value) });
      const close = () => {
        client.close();
        server.close();
      };
      return { name, server, client, publish, close };
    };

    it(`of wire ${wire} is told and taken back by the next take, and later frames show`, () => {
      const { client, publish, close } = rings("stray-take");
      try {
        publish(1);
        const view = client.take()?.get("data") as Uint32Array;
        view[5000] = 99;
        assert.equal(view[5000], 99);
        publish(2);
        publish(3);
        assert.throws(() => client.take(), ReadOnlyError);
        assert.equal(view[5000], 3, "the view shows the writer's memory again");
        for (let value = 4; value < 12; value++) {
          publish(value);
          const frame = client.take();
          assert.ok(frame?.valid);
          assert.ok(frame.get("data").every((each) => each === value));
        }
        assert.equal(client.drops, 2);
      } finally {
        close();
      }
    });

    it(`of wire ${wire} is told by valid, copy and latest, each time it happens`, () => {
      const { client, publish, close } = rings("stray-valid");
      try {
        publish(1);
        const frame = client.take();
        assert.ok(frame);
        const asks = [() => frame.valid, () => frame.copy("data"), () => frame.toObject(), () => client.latest()];
        for (const ask of asks) {
          frame.get("data")[3000] = 99;
          assert.throws(ask, ReadOnlyError);
          assert.equal(frame.get("data")[3000], 1);
          assert.ok(frame.valid);
        }
      } finally {
        close();
      }
    });

    it(`of wire ${wire} is told to who waits, and never reaches the writer or another reader`, async () => {
      const { name, client, publish, close } = rings("stray-wait");
      const other = openRing(name, { schema });
      try {
        publish(7);
        const view = client.take()?.get("data") as Uint32Array;
        view.fill(99);
        assert.ok(
          other
            .take()
            ?.get("data")
            .every((each) => each === 7),
        );
        await assert.rejects(client.next({ timeout: 5000 }), ReadOnlyError);
        view.fill(99);
        assert.throws(() => client.nextSync({ timeout: 5000 }), ReadOnlyError);
        publish(8);
        assert.ok(
          client
            .take()
            ?.get("data")
            .every((each) => each === 8),
        );
      } finally {
        other.close();
        close();
      }
    });

    it(`of wire ${wire} through an inspector is told by its next look`, () => {
      const { name, publish, close } = rings("stray-inspect");
      const inspector = inspectRing(name);
      try {
        publish(1);
        const seen = inspector.slot(0).frame;
        assert.ok(seen);
        (seen.get("data") as Uint32Array)[6000] = 99;
        assert.throws(() => inspector.slot(0), ReadOnlyError);
        assert.equal(inspector.slot(0).frame?.get("data")[6000], 1);
      } finally {
        inspector.close();
        close();
      }
    });
  }
});
