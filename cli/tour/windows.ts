import { bytes, duration, heading, paragraph, rate, say } from "../terminal.ts";
import type { Chapter, TourContext } from "./chapter.ts";
import type { ElfSummary } from "./elf.ts";
import type { FoundFile } from "./files.ts";
import { agree, type Job, printJobs, type Taken, take } from "./job.ts";
import { randomReads } from "./random.ts";
import { type Found, fullTextSearch } from "./search.ts";
import { elfSymbols, largestElf } from "./symbols.ts";

function place(context: TourContext, file: FoundFile): string {
  const { path } = file;
  const short = path.startsWith(context.folder) ? path.slice(context.folder.length + 1) : path;
  return `${short.length <= 60 ? short : `...${short.slice(-57)}`}, ${bytes(file.size)}`;
}

/** Runs our way of a job and says what it found. */
interface Step {
  readonly title: string;
  readonly job: Job;
  tell(taken: Taken): void;
}

function steps(context: TourContext): Step[] {
  const { files, total, pattern, budget } = context;
  const search = fullTextSearch(files, total, pattern, budget);
  const all: Step[] = [
    {
      title: `Search ${files.length} files for "${pattern}"`,
      job: search,
      tell({ answer, milliseconds }) {
        const found = answer as Found;
        say(
          `  ${found.matches} matches in ${found.files} files, ${duration(milliseconds)} (${rate(total, milliseconds)})`,
        );
      },
    },
  ];
  const elf = largestElf(files, budget);
  if (elf !== undefined)
    all.push({
      title: "Sections and symbols of the largest ELF file",
      job: elfSymbols(elf, budget),
      tell({ answer }) {
        const { sections, symbols, functions, largest } = answer as ElfSummary;
        say(`  ${place(context, elf)}`);
        say(`  ${sections} sections, ${symbols} symbols, ${functions} functions`);
        if (functions > 0) say(`  largest function: ${largest.name.slice(0, 44)} (${bytes(largest.size)})`);
      },
    });
  const largest = files[0];
  const random = largest === undefined ? undefined : randomReads(largest, budget);
  if (largest !== undefined && random !== undefined)
    all.push({
      title: "Random reads of 1 KiB in the largest file",
      job: random,
      tell({ milliseconds }) {
        say(`  ${place(context, largest)}`);
        say(`  ${random.bytes / 1024} reads, ${Math.round((milliseconds * 1024 * 1e6) / random.bytes)} ns each`);
      },
    });
  return all;
}

/** Chapter one: files larger than the memory they may take. */
export const windowsChapter: Chapter = {
  name: "windows",
  title: "Windows: read files in less memory than they take",
  run(context) {
    const plan = steps(context);
    /* Through windows first, all of it: what readFile leaves to the garbage collector would blur the memory. */
    const ours = plan.map(({ title, job, tell }) => {
      heading(title);
      const first = take("first pass", job.bytes, job.ours);
      tell(first);
      const second = take("second pass", job.bytes, job.ours);
      return agree(first, second) ? { ...second, memory: Math.max(first.memory, second.memory) } : first;
    });
    heading("The same the plain way");
    paragraph("readFile for the search and the symbols, readSync for the random reads.");
    const rows = plan.map(({ job }, i) => ({
      job,
      ours: ours[i] as Taken,
      plain: take(job.name, job.bytes, job.plain),
    }));
    heading("Both ways, on a warm page cache");
    printJobs(rows);
    say();
    paragraph(
      `memory: growth of resident memory at its peak while the job ran. Budget ${bytes(context.budget)}, files ${bytes(context.total)}. equal: both ways gave the same answer, in this run.`,
    );
    return Promise.resolve(rows.every((row) => agree(row.ours, row.plain)));
  },
};
