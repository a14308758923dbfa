import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** A child process that answers each line of standard input with one line: a cost, or a message that says why not. */
export class Peer {
  #child: ChildProcess;
  #lines: AsyncIterator<string>;
  #ended: Promise<void>;
  #name: string;

  constructor(command: string, args: readonly string[]) {
    this.#name = command;
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once("close", () => resolve());
      child.once("error", () => resolve());
    });
    if (child.stdout === null) throw new Error("no pipe");
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** Has one round done and returns its cost. */
  async ask(...words: readonly (string | number)[]): Promise<number> {
    const [cost = Number.NaN] = await this.askAll(...words);
    return cost;
  }

  /** The same where the answer is several numbers. */
  async askAll(...words: readonly (string | number)[]): Promise<number[]> {
    this.#child.stdin?.write(`${words.join(" ")}\n`);
    const { value, done } = await this.#lines.next();
    const costs = String(value).split(" ").map(Number);
    if (done || !costs.every(Number.isFinite)) throw new Error(`${this.#name}: ${done ? "ended" : value}`);
    return costs;
  }

  async end(): Promise<void> {
    this.#child.stdin?.end();
    await this.#ended;
  }
}
