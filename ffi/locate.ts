import { builtin } from "../src/builtins.ts";
import { LibraryNotFoundError } from "../src/errors.ts";
import { hostTarget } from "./target.ts";

/** An environment variable, or undefined where it is not set or the runtime keeps it from us. */
export function environment(name: string): string | undefined {
  try {
    return builtin("process").env[name] || undefined;
  } catch {
    return undefined;
  }
}

/**
 * Path of the C library: `OUTCORE_LIBRARY` when it is set (it names code that will run), else the library that
 * `build.ts` made in this source tree, else the native package of this platform, else one beside the executable.
 * @throws {LibraryNotFoundError} when none of these exists.
 * @throws {UnsupportedPlatformError} when there is no library for this platform.
 */
export function locateLibrary(): string {
  const named = environment("OUTCORE_LIBRARY");
  if (named !== undefined) {
    if (!builtin("fs").existsSync(named)) throw new LibraryNotFoundError([named]);
    return named;
  }
  const target = hostTarget();
  const tried: string[] = [];
  if (import.meta.url.startsWith("file:")) {
    const built = builtin("url").fileURLToPath(new URL(`../build/${target.name}/${target.file}`, import.meta.url));
    tried.push(built);
    if (builtin("fs").existsSync(built)) return built;
  }
  const packaged = `@outcore/${target.name}/${target.file}`;
  tried.push(packaged);
  let cause: unknown;
  try {
    return builtin("module")
      .createRequire(import.meta.url)
      .resolve(packaged);
  } catch (error) {
    cause = error;
  }
  /* A program made by `bun build --compile` or `deno compile` can be shipped with the library next to it. */
  try {
    const beside = builtin("path").join(builtin("path").dirname(builtin("process").execPath), target.file);
    tried.push(beside);
    if (builtin("fs").existsSync(beside)) return beside;
  } catch (error) {
    cause = error;
  }
  throw new LibraryNotFoundError(tried, cause);
}
