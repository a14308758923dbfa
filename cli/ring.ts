import { Command, InvalidArgumentError as InvalidOption, Option } from "commander";
import { hz } from "./ring/hz.ts";
import { inspect } from "./ring/inspect.ts";
import { collect, list } from "./ring/list.ts";
import { record, replay } from "./ring/record.ts";

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidOption("It must be a number above 0.");
  return value;
}

function portNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65535) throw new InvalidOption("It must be from 0 to 65535.");
  return value;
}

/** An option without a limit unless one is given. */
const most = (flags: string, text: string, otherwise: string): Option =>
  new Option(flags, text).argParser(positive).default(Number.POSITIVE_INFINITY, otherwise);

/** `outcore ring ...`: looks after rings. */
export function ringCommand(): Command {
  const command = new Command("ring").description("look at rings in shared memory, record and replay them");
  const sub = (name: string, text: string) => command.command(name).description(text);
  sub("ls", "list rings and the room left").option("--json", "as JSON").action(list);
  sub("inspect", "show schema, slots and readers").argument("<name>").option("--json", "as JSON").action(inspect);
  sub("hz", "rates, lag and drops of each reader, live")
    .argument("<name>")
    .addOption(most("--seconds <n>", "how long", "until Ctrl+C"))
    .option("--every <n>", "seconds between two looks", positive, 1)
    .option("--json", "as JSON, one line a look")
    .option("--page <port>", "as a page in a browser of this machine; 0 takes any port that is free", portNumber)
    .action(hz);
  sub("record", "write frames to a file")
    .argument("<name>")
    .argument("<file>")
    .addOption(most("--frames <n>", "at most so many", "until the ring is closed"))
    .addOption(most("--seconds <n>", "at most so long", "until the ring is closed"))
    .option("--json", "as JSON")
    .action(record);
  sub("replay", "publish a recording")
    .argument("<file>")
    .option("--name <name>", "another name for the ring")
    .option("--wire <wire>", "native or shmx; default: as it was recorded")
    .option("--speed <x>", "times as fast", positive, 1)
    .option("--wait <n>", "readers to wait for first", positive, 0)
    .option("--json", "as JSON")
    .action(replay);
  sub("gc", "remove what dead owners left")
    .option("--prefix <text>", "only names that begin with it", "")
    .option("--json", "as JSON")
    .action(collect);
  return command;
}
