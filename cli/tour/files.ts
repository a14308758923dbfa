import fs from "node:fs";
import { join } from "node:path";

/** A regular file of the folder. */
export interface FoundFile {
  readonly path: string;
  readonly size: number;
}

/** Every regular file below a folder, largest first; symbolic links are not followed, unreadable folders left out. */
export function filesBelow(folder: string): FoundFile[] {
  const found: FoundFile[] = [];
  const open = [folder];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    let entries: fs.Dirent[];
    try {
      entries = fs.readdirSync(at, { withFileTypes: true });
    } catch {
      continue;
    }
    for (const entry of entries) {
      const path = join(at, entry.name);
      if (entry.isDirectory()) open.push(path);
      else if (entry.isFile()) {
        const { size } = fs.statSync(path);
        if (size > 0) found.push({ path, size });
      }
    }
  }
  return found.sort((a, b) => b.size - a.size || (a.path < b.path ? -1 : 1));
}
