import { builtin } from "../../builtins.ts";
import { NameInUseError } from "../../errors.ts";
import type { OpenLog } from "./open-log.ts";
import { segmentName } from "./segment.ts";

/** Copies what belongs to the last commit, segment by segment; cloned by the file system where it can. */
export async function backup(log: OpenLog, folder: string): Promise<void> {
  const { mkdirSync, readdirSync, promises, constants } = builtin("fs");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (readdirSync(folder).length > 0) throw new NameInUseError(folder);
  for (const { segment, length } of log.committedParts()) {
    const target = builtin("path").join(folder, segmentName(segment.id));
    await promises.copyFile(segment.path, target, constants.COPYFILE_FICLONE);
    await promises.truncate(target, length);
    const handle = await promises.open(target, "r+");
    await handle.sync();
    await handle.close();
  }
}
