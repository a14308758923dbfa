/** The part of Bun that is used. */
interface BunFiles {
  file(path: string): { slice(start: number, end: number): unknown };
}

/** Whatever `new Response` takes. */
export type ResponseBody = ConstructorParameters<typeof Response>[0];

/** A file that a runtime is to send, and what makes sure that it is this one. */
export interface FileToSend {
  /** Where it was found. The path may lead elsewhere by now. */
  readonly path: string;
  /** First byte. */
  readonly start: number;
  /** The byte behind the last. */
  readonly end: number;
  /** Whether that is all of it. */
  readonly whole: boolean;
  /** Whether a device and inode are the file's. */
  isSame(device: number, inode: number): boolean;
  /** A path that leads to the file and nowhere else, where there is one. */
  reopeningPath(): string | undefined;
}

/**
 * The response body by which a runtime's own HTTP server sends a file best, or undefined where it has none for this
 * range: Bun sends `Bun.file` by sendfile, Deno reads a whole file in Rust.
 */
export function runtimeBody(file: FileToSend): ResponseBody | undefined {
  const { Bun } = globalThis as unknown as { Bun?: BunFiles };
  if (Bun !== undefined) {
    const path = file.reopeningPath();
    if (path === undefined) return undefined;
    return (file.whole ? Bun.file(path) : Bun.file(path).slice(file.start, file.end)) as ResponseBody;
  }
  if (!("Deno" in globalThis) || !file.whole) return undefined;
  let opened: Deno.FsFile;
  try {
    opened = Deno.openSync(file.path);
  } catch {
    return undefined;
  }
  const { dev, ino } = opened.statSync();
  if (file.isSame(dev, ino ?? -1)) return opened.readable as unknown as ResponseBody;
  opened.close();
  return undefined;
}
