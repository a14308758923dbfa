import { Command } from "commander";
import { OutcoreError } from "../src/main.ts";
import { arrayCommand } from "./array.ts";
import { chestCommand } from "./chest.ts";
import { doctorCommand } from "./doctor.ts";
import { ringCommand } from "./ring.ts";
import { serveCommand } from "./serve.ts";
import { say } from "./terminal.ts";
import { arraysVictimCommand } from "./tour/arrays-victim.ts";
import { tourCommand } from "./tour/command.ts";
import { ringCameraCommand } from "./tour/ring-camera.ts";
import { version } from "./version.ts";

/** The command line: one command a file, each adds itself to the program. */
const program: Command = new Command("outcore")
  .description("Out-of-core and shared memory: see it work, and look after what it made")
  .version(version)
  .addCommand(tourCommand())
  .addCommand(ringCommand())
  .addCommand(serveCommand())
  .addCommand(arrayCommand())
  .addCommand(chestCommand())
  .addCommand(doctorCommand())
  .addCommand(arraysVictimCommand(), { hidden: true })
  .addCommand(ringCameraCommand(), { hidden: true });

program.parseAsync().catch((error: unknown) => {
  if (!(error instanceof OutcoreError)) throw error;
  say(`outcore: ${error.message} (${error.code})`);
  globalThis.process.exitCode = 1;
});
