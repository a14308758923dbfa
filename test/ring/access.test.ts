import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import process from "node:process";
import { describe, it } from "vitest";
import {
  InvalidArgumentError,
  NameInUseError,
  NotFoundError,
  OutcoreError,
  RingVersionError,
} from "../../src/errors.ts";
import { collectRings, createRing, inspectRing, listRings, openRing } from "../../src/ring/main.ts";
import { run, fixture as script } from "../support/run.ts";
import { exists, freshName, here, peer, plant, unplant } from "./helpers.ts";

const schema = { number: { type: "u32" } } as const;
const root = process.getuid?.() === 0;
const canMount = spawnSync("unshare", ["-rm", "true"], { stdio: "ignore" }).status === 0;

describe("rings of another user", () => {
  it("are refused, read or shared as their mode says, and are never removed", async () => {
    const prefix = freshName("other");
    const servers = (["private", "readable", "writable"] as const).map((kind, i) => {
      const mode = [0o600, 0o644, 0o666][i] as number;
      const server = createRing(`${prefix}${kind}`, { schema, mode });
      server.publish({ number: [7] });
      /* The mask of the process may have narrowed it. Without another user, mode 0 keeps this one out. */
      chmodSync(`/dev/shm/${prefix}${kind}`, kind === "private" && !root ? 0 : mode);
      return server;
    });
    const dead = [0o600, 0o666].map(async (mode, i) => {
      const name = `${prefix}${["dead", "dead-writable"][i]}`;
      const owner = peer(here(), "hold", name);
      assert.equal(await owner.line(), "ready");
      owner.kill();
      await owner.exit;
      chmodSync(`/dev/shm/${name}`, mode);
    });
    await Promise.all(dead);
    try {
      const { code, stdout, stderr } = await run(script("ring-other-user.ts"), [prefix]);
      assert.equal(code, 0, stderr);
      const { seen, collected } = JSON.parse(stdout);
      const refused = { latest: "PERMISSION", reliable: "PERMISSION", observe: "PERMISSION", inspect: "PERMISSION" };
      assert.deepEqual(seen.private, { ...refused, create: "NAME_IN_USE", listed: false });
      if (root) {
        const readOnly = { number: 7, send: "INVALID_ARGUMENT" };
        assert.deepEqual(seen.readable, {
          latest: readOnly,
          reliable: "PERMISSION",
          observe: readOnly,
          inspect: "alive",
          create: "NAME_IN_USE",
          listed: true,
        });
        assert.deepEqual(seen.writable.latest, { number: 7, send: null });
        assert.deepEqual(seen.writable.reliable, { number: 7, send: null });
        assert.equal(seen.writable.create, "NAME_IN_USE");
        assert.deepEqual(seen.dead, { ...refused, create: "NAME_IN_USE", listed: false });
        /* The folder lets only its owner remove it. */
        assert.equal(seen["dead-writable"].inspect, "owner-dead");
        assert.equal(seen["dead-writable"].create, "NAME_IN_USE");
        assert.deepEqual(collected, []);
        assert.ok(exists(`${prefix}dead-writable`));
      }
    } finally {
      for (const server of servers) server.close();
      for (const kind of ["dead", "dead-writable"]) unplant(`${prefix}${kind}`);
    }
  });
});

describe("shared memory without room", () => {
  it.skipIf(!canMount)("is an error that leaves nothing, and does not touch the rings that are there", async () => {
    const { code, signal, stdout, stderr } = await run(script("ring-full.ts"));
    assert.deepEqual({ stdout: stdout.trim(), code, signal }, { stdout: "survived", code: 0, signal: null }, stderr);
  });
});

describe("names of rings", () => {
  const refusedNames = ["", "/", "a/b", "/a/b", "a/", "//a", "..", ".", "a\0b", "x".repeat(256), "\u00e9".repeat(128)];

  for (const [i, name] of refusedNames.entries()) {
    const shown = name.length > 20 ? `of ${new TextEncoder().encode(name).length} bytes (${i})` : JSON.stringify(name);
    it(`${shown} is refused by server, reader and inspector`, () => {
      for (const wire of ["native", "shmx"] as const)
        assert.throws(() => createRing(name, { schema, wire }), InvalidArgumentError);
      assert.throws(() => openRing(name), InvalidArgumentError);
      assert.throws(() => inspectRing(name), InvalidArgumentError);
    });
  }

  it("of 255 bytes work, with and without the slash of SHMX in front, and one that is not there is told", () => {
    const name = freshName("n").padEnd(255, "\u00e9").slice(0, 100);
    const longest = `${name}${"x".repeat(255 - new TextEncoder().encode(name).length)}`;
    const server = createRing(`/${longest}`, { schema });
    const client = openRing(longest);
    server.publish({ number: [1] });
    assert.equal(client.latest()?.id, 1);
    client.close();
    server.close();
    assert.throws(() => openRing(longest), NotFoundError);
  });
});

describe("a native ring of another version", () => {
  it("is refused by reader and inspector, which name both, and its name stays taken", () => {
    const name = freshName("version");
    const server = createRing(name, { schema });
    const planted = freshName("newer");
    try {
      const head = inspectRing(name);
      const bytes = new Uint8Array(head.inspect().bytes);
      head.close();
      new DataView(bytes.buffer).setBigUint64(0, 0x474e4952_5243544fn, true);
      for (const version of [0, 2, 0xffffffff]) {
        new DataView(bytes.buffer).setUint32(8, version, true);
        plant(planted, bytes);
        for (const look of [() => openRing(planted), () => inspectRing(planted)])
          assert.throws(look, (error: Error) => {
            assert.ok(error instanceof RingVersionError);
            return error.message.includes(`native ${version}`) && error.message.includes("native 1");
          });
      }
    } finally {
      server.close();
      unplant(planted);
    }
  });
});

describe("what else stands in shared memory", () => {
  it("is refused or passed over: a FIFO, a folder, links", () => {
    const prefix = freshName("else");
    const folder = "/dev/shm";
    execFileSync("mkfifo", [`${folder}/${prefix}-fifo`]);
    mkdirSync(`${folder}/${prefix}-folder`);
    symlinkSync("/etc/passwd", `${folder}/${prefix}-link`);
    symlinkSync(`${prefix}-loop`, `${folder}/${prefix}-loop`);
    try {
      for (const kind of ["fifo", "folder", "link", "loop"]) {
        const name = `${prefix}-${kind}`;
        assert.throws(() => openRing(name), OutcoreError, kind);
        assert.throws(() => openRing(name, { observe: true }), OutcoreError, kind);
        assert.throws(() => inspectRing(name), OutcoreError, kind);
        assert.throws(() => createRing(name, { schema }), NameInUseError, kind);
      }
      assert.deepEqual(
        listRings().filter(({ name }) => name.startsWith(prefix)),
        [],
      );
      assert.deepEqual(collectRings(prefix), []);
    } finally {
      for (const kind of ["fifo", "folder", "link", "loop"])
        rmSync(`${folder}/${prefix}-${kind}`, { recursive: true, force: true });
    }
  });
});

describe("a ring that a thread forgets", () => {
  it("closes its descriptor once: when it is collected, and not again at the thread's end", async () => {
    const { code, signal, stdout, stderr } = await run(script("ring-collected.ts"), [freshName("collected")]);
    assert.deepEqual({ stdout: stdout.trim(), code, signal }, { stdout: "closed", code: 0, signal: null }, stderr);
  });
});
