import process from "node:process";
import { bytes, say, table } from "../terminal.ts";
import { servePage } from "./page.ts";
import { type Rates, watchRates } from "./rates.ts";
import { json, readerName, shown } from "./text.ts";

export interface HzOptions {
  json?: boolean;
  seconds: number;
  every: number;
  page?: number;
}

/** A signal that comes with Ctrl+C or after some time, whichever is first. */
export function untilAsked(ms: number): AbortSignal {
  const stop = new AbortController();
  const abort = (): void => stop.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, abort);
  if (ms < 2 ** 31) setTimeout(abort, ms).unref();
  return stop.signal;
}

function show({ name, wire, ownerState, published, rate, frameBytes, readers, room }: Rates): void {
  say(
    `${shown(name, 40)}, wire ${wire}: ${rate.toFixed(1)} frames/s, ${bytes(rate * frameBytes)}/s, ${published} so far`,
  );
  if (readers.length > 0)
    table(
      ["reader", "process", "delivery", "frames/s", "lag", "drops", "drops/s"],
      readers.map((each) => [
        readerName(each.reader),
        each.process === 0 ? "-" : String(each.process),
        each.delivery,
        each.rate.toFixed(1),
        String(each.lag),
        String(each.drops),
        each.dropRate.toFixed(1),
      ]),
    );
  else say("No readers.");
  say(`${bytes(room.free)} of ${bytes(room.total)} shared memory are free.`);
  if (ownerState !== "alive") say(`The owner is gone (${ownerState}).`);
}

/** `outcore ring hz NAME`: drawn anew in a terminal, one block after another elsewhere. */
export async function hz(name: string, options: HzOptions): Promise<void> {
  const live = process.stdout.isTTY === true && !options.json;
  const signal = untilAsked(options.seconds * 1000);
  if (options.page !== undefined) {
    await servePage(name, options.every * 1000, options.page, signal);
    return;
  }
  for await (const rates of watchRates(name, options.every * 1000, signal)) {
    if (options.json) json(rates);
    else {
      if (live) process.stdout.write("\u001b[H\u001b[2J");
      show(rates);
      if (!live) say();
    }
  }
}
