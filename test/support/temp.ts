import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { afterEach } from "vitest";

const folders = new Set<string>();

/* What a failed or ended run leaves is removed too. */
process.on("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A new empty folder. Call within a test or a hook; `cleanTemp` or the end of the process removes it. */
export function tempFolder(parent: string = tmpdir()): string {
  const folder = mkdtempSync(path.join(parent, "outcore-"));
  folders.add(folder);
  return folder;
}

/** A new empty folder in memory where there is such a place: for what syncs a lot and needs no disk to be right. */
export function tempMemoryFolder(): string {
  return tempFolder(existsSync("/dev/shm") ? "/dev/shm" : tmpdir());
}

/** Removes every folder that `tempFolder` made. */
export function cleanTemp(): void {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  folders.clear();
}

/** To be called once at the top of a test file: every test's folders are removed after it, whether it failed or not. */
export function cleanTempAfterEach(): void {
  afterEach(() => {
    cleanTemp();
  });
}

/** A file with `content` in a new folder, and its path. */
export function tempFile(content: string | Uint8Array, name = "file"): string {
  const file = path.join(tempFolder(), name);
  writeFileSync(file, content);
  return file;
}

/** Bytes that tell where they stand, none of them zero; the prime period never falls together with pages. */
export function pattern(length: number, start = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = ((start + i) % 251) + 1;
  return bytes;
}
