import type BufferModule from "node:buffer";
import type Crypto from "node:crypto";
import type Fs from "node:fs";
import type Http from "node:http";
import type Module from "node:module";
import type Net from "node:net";
import type Os from "node:os";
import type Path from "node:path";
import type Process from "node:process";
import type Url from "node:url";
import type V8 from "node:v8";
import type Vm from "node:vm";
import type Zlib from "node:zlib";

/** The builtin modules that are used, by name. */
interface Builtins {
  readonly buffer: typeof BufferModule;
  readonly crypto: typeof Crypto;
  readonly fs: typeof Fs;
  readonly http: typeof Http;
  readonly module: typeof Module;
  readonly net: typeof Net;
  readonly os: typeof Os;
  readonly path: typeof Path;
  readonly process: typeof Process;
  readonly url: typeof Url;
  readonly v8: typeof V8;
  readonly vm: typeof Vm;
  readonly zlib: typeof Zlib;
}

const loaded: { -readonly [Name in keyof Builtins]?: Builtins[Name] } = {};

/**
 * One of Node's builtin modules, loaded at the first call for it. A static import would be paid for by everyone who
 * imports outcore: the first `node:` import of a process takes 25 ms in Deno, 3 to 5 in Bun and Node. For the same
 * reason no module here calls this while it loads.
 */
export function builtin<Name extends keyof Builtins>(name: Name): Builtins[Name] {
  const known: Builtins[Name] | undefined = loaded[name];
  if (known !== undefined) return known;
  const found = globalThis.process.getBuiltinModule(`node:${name}`) as unknown as Builtins[Name];
  loaded[name] = found as never;
  return found;
}
