import { builtin } from "../builtins.ts";

const folders = new Set<string>();
let watching = false;

/** A new folder that is removed when the process ends, if not before. */
export function temporaryFolder(): string {
  const folder = builtin("fs").mkdtempSync(builtin("path").join(builtin("os").tmpdir(), "outcore-chest-"));
  folders.add(folder);
  if (!watching) {
    watching = true;
    builtin("process").on("exit", () => {
      for (const each of folders) builtin("fs").rmSync(each, { recursive: true, force: true });
    });
  }
  return folder;
}

export function removeTemporary(folder: string): void {
  builtin("fs").rmSync(folder, { recursive: true, force: true });
  folders.delete(folder);
}
