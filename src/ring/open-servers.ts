import { builtin } from "../builtins.ts";

interface Closable {
  close(): void;
}

/* A server that nobody refers to any more still serves its readers: only `close` and the end of the process end it. */
const open = new Set<Closable>();
let hooked = false;

/** Keeps a server until `forget`, and closes it when the process ends by itself. */
export function remember(server: Closable): void {
  open.add(server);
  if (hooked) return;
  hooked = true;
  builtin("process").on("exit", () => {
    for (const each of [...open]) {
      try {
        each.close();
      } catch {
        /* The process ends; what is left is removed by the next create or by collectRings. */
      }
    }
  });
}

export function forget(server: Closable): void {
  open.delete(server);
}
