import { builtin } from "../src/builtins.ts";
import { UnsupportedPlatformError } from "../src/errors.ts";

/** A platform that a library is built for: the name of its folder and package, and of the library file in it. */
export interface Target {
  readonly name: string;
  readonly file: string;
}

const files: Record<string, string> = {
  linux: "liboutcore.so",
  darwin: "liboutcore.dylib",
  win32: "outcore.dll",
};

/** True on Linux systems whose C library is musl: its loader lies in /lib, under a name that glibc systems lack. */
function isMusl(architecture: string): boolean {
  const loader = architecture === "x64" ? "/lib/ld-musl-x86_64.so.1" : "/lib/ld-musl-aarch64.so.1";
  const glibc = architecture === "x64" ? "/lib64/ld-linux-x86-64.so.2" : "/lib/ld-linux-aarch64.so.1";
  try {
    return builtin("fs").existsSync(loader) && !builtin("fs").existsSync(glibc);
  } catch {
    return false;
  }
}

/**
 * The target of this machine: `linux-x64-gnu`, `linux-arm64-musl`, `darwin-arm64`, `win32-x64` and so on.
 * @throws {UnsupportedPlatformError} on any other system or processor.
 */
export function hostTarget(
  platform: string = builtin("process").platform,
  architecture: string = builtin("process").arch,
): Target {
  const file = files[platform];
  if (file === undefined || (architecture !== "x64" && architecture !== "arm64"))
    throw new UnsupportedPlatformError(platform, architecture);
  const libc = platform !== "linux" ? "" : isMusl(architecture) ? "-musl" : "-gnu";
  return { name: `${platform}-${architecture}${libc}`, file };
}
