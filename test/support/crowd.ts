import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { finish, fixture, type RunResult, start } from "./run.ts";

export interface Member {
  readonly child: ChildProcess;
  readonly ended: Promise<RunResult>;
}

/** Processes of one script that are killed at random moments: each prints "ready", and "done ..." at its own end. */
export class Crowd {
  readonly #script: string;
  readonly #running = new Set<Member>();

  /** `name`: of a script under test/fixtures/. */
  constructor(name: string) {
    this.#script = fixture(name);
  }

  start(...args: string[]): Member {
    const child = start(this.#script, args);
    const member = { child, ended: finish(child, 3_600_000) };
    this.#running.add(member);
    return member;
  }

  /** Waits for its end: nothing is said but that it has begun, and what it did. */
  async fine(member: Member, role: string): Promise<void> {
    const { signal, stdout, stderr } = await member.ended;
    this.#running.delete(member);
    assert.match(stdout, /^(ready\n(done .*\n)?)?$/, role);
    assert.equal(stderr, "", role);
    if (signal === null) assert.match(stdout, /\ndone /, role);
  }

  /** Kills all that are left, and waits for their ends. */
  async end(): Promise<void> {
    for (const { child } of this.#running) child.kill("SIGKILL");
    await Promise.all([...this.#running].map(({ ended }) => ended));
    this.#running.clear();
  }
}
