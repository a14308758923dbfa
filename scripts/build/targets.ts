import { hostTarget as findHost } from "../../ffi/target.ts";

/** One platform the C library is built for. */
export interface Target {
  /** Folder under build/, and name of the npm package under @outcore/. */
  readonly name: string;
  readonly os: "linux" | "darwin" | "win32";
  readonly cpu: "x64" | "arm64";
  readonly libc?: "glibc" | "musl";
  /** File name of the library. */
  readonly file: string;
  /** What `zig cc -target` wants; glibc 2.17 is the oldest that any supported distribution has. */
  readonly zig: string;
}

const ZIG_CPU = { x64: "x86_64", arm64: "aarch64" } as const;

function linux(cpu: "x64" | "arm64", libc: "glibc" | "musl"): Target {
  const musl = libc === "musl";
  return {
    name: `linux-${cpu}-${musl ? "musl" : "gnu"}`,
    os: "linux",
    cpu,
    libc,
    file: "liboutcore.so",
    zig: `${ZIG_CPU[cpu]}-linux-${musl ? "musl" : "gnu.2.17"}`,
  };
}

function darwin(cpu: "x64" | "arm64"): Target {
  return { name: `darwin-${cpu}`, os: "darwin", cpu, file: "liboutcore.dylib", zig: `${ZIG_CPU[cpu]}-macos.11.0` };
}

function windows(cpu: "x64" | "arm64"): Target {
  return { name: `win32-${cpu}`, os: "win32", cpu, file: "outcore.dll", zig: `${ZIG_CPU[cpu]}-windows-gnu` };
}

export const TARGETS: readonly Target[] = [
  linux("x64", "glibc"),
  linux("arm64", "glibc"),
  linux("x64", "musl"),
  linux("arm64", "musl"),
  darwin("x64"),
  darwin("arm64"),
  windows("x64"),
  windows("arm64"),
];

/**
 * The target of the machine this runs on.
 * @throws {UnsupportedPlatformError} when there is none.
 */
export function hostTarget(): Target {
  const { name } = findHost();
  const found = TARGETS.find((target) => target.name === name);
  if (!found) throw new Error(`no target is named ${name}`);
  return found;
}
