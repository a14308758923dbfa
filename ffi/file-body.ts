/** The part of Bun that is used. */
interface BunFiles {
  file(path: string): { slice(start: number, end: number): unknown };
}

/** Whatever `new Response` takes. */
export type ResponseBody = ConstructorParameters<typeof Response>[0];

/**
 * The response body by which a runtime's own HTTP server sends a file best, or undefined where it has none for this
 * range: Bun sends `Bun.file` by sendfile, Deno reads a whole file in Rust.
 *
 * @param isSame whether a device and inode are those of the file that is meant: the path may lead elsewhere by now.
 */
export function runtimeBody(
  path: string,
  start: number,
  end: number,
  whole: boolean,
  isSame: (device: number, inode: number) => boolean,
): ResponseBody | undefined {
  const { Bun } = globalThis as unknown as { Bun?: BunFiles };
  if (Bun !== undefined) return (whole ? Bun.file(path) : Bun.file(path).slice(start, end)) as ResponseBody;
  if (!("Deno" in globalThis) || !whole) return undefined;
  const file = Deno.openSync(path);
  const { dev, ino } = file.statSync();
  if (isSame(dev, ino ?? -1)) return file.readable as unknown as ResponseBody;
  file.close();
  return undefined;
}
