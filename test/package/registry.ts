import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** A package to serve: its manifest, and the tarball that `npm pack` made of it. */
export interface ServedPackage {
  readonly manifest: Manifest;
  readonly tarball: string;
}

export interface Registry {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * An npm registry on the loopback interface that holds the given packages and nothing else. Parts of a package for
 * other platforms are left out of what it says: Deno wants to know of each of them.
 */
export function startRegistry(packages: readonly ServedPackage[]): Promise<Registry> {
  const byName = new Map(packages.map((each) => [each.manifest.name, each]));
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const [name = "", file] = decodeURIComponent(pathname.slice(1)).split("/-/");
    const found = byName.get(name);
    if (!found) return void response.writeHead(404, { "content-type": "application/json" }).end("{}");
    const bytes = readFileSync(found.tarball);
    if (file) return void response.writeHead(200, { "content-type": "application/octet-stream" }).end(bytes);
    const { version, optionalDependencies = {} } = found.manifest;
    const parts = Object.entries(optionalDependencies).filter(([part]) => byName.has(part));
    const dist = {
      tarball: `http://${request.headers.host}/${name}/-/package.tgz`,
      integrity: `sha512-${createHash("sha512").update(bytes).digest("base64")}`,
    };
    const manifest = { ...found.manifest, optionalDependencies: Object.fromEntries(parts), dist };
    const packument = { name, "dist-tags": { latest: version }, versions: { [version]: manifest } };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(packument));
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () =>
      resolve({
        url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
        close: () => new Promise((closed) => server.close(() => closed())),
      }),
    );
  });
}
