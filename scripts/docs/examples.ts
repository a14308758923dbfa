import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { ROOT } from "../build/compile.ts";

/**
 * A block of TypeScript in README.md or docs/*.md.
 *
 * The words after its fence's `ts` say how it is treated: none, it is run; `no-run`, its types are checked only;
 * `continue`, it goes on where the block above ended. A comment `<!-- setup ... -->` right above the fence holds
 * code that is run before it, unseen by the reader.
 */
export interface Example {
  /** "docs/window.md:42", the line of its fence. */
  readonly name: string;
  readonly code: string;
  readonly setup: string;
  readonly runs: boolean;
}

const BLOCK = /(?:^<!-- setup\n([\s\S]*?)-->\n+)?^```ts\b([^\n]*)\n([\s\S]*?)^```$/gm;

function documents(): string[] {
  const pages = (folder: string): string[] =>
    existsSync(path.join(ROOT, folder))
      ? readdirSync(path.join(ROOT, folder)).filter((file) => file.endsWith(".md"))
      : [];
  return ["README.md", ...pages("docs").map((file) => `docs/${file}`)].filter((file) =>
    existsSync(path.join(ROOT, file)),
  );
}

function examplesOf(document: string): Example[] {
  const text = readFileSync(path.join(ROOT, document), "utf8").replaceAll("\r\n", "\n");
  const examples: Example[] = [];
  for (const match of text.matchAll(BLOCK)) {
    const [whole, setup = "", words = "", code = ""] = match;
    const fence = match.index + whole.indexOf("```ts");
    const name = `${document}:${text.slice(0, fence).split("\n").length}`;
    const unknown = words.split(/\s+/).find((word) => word && word !== "no-run" && word !== "continue");
    if (unknown) throw new Error(`${name}: "${unknown}" after \`\`\`ts is neither no-run nor continue`);
    const before = words.includes("continue") ? examples.at(-1) : undefined;
    examples.push({
      name,
      code: before ? `${before.code}\n${code}` : code,
      setup: before ? `${before.setup}\n${setup}` : setup,
      runs: !words.includes("no-run"),
    });
  }
  return examples;
}

/** Every example of the documentation, in the order of its pages. */
export function findExamples(): Example[] {
  return documents().flatMap(examplesOf);
}

/** Examples as files in a folder of their own under build/, where "outcore" means this source tree. */
export class ExampleFolder {
  readonly folder: string;

  constructor() {
    const parent = path.join(ROOT, "build", "examples");
    mkdirSync(parent, { recursive: true });
    this.folder = mkdtempSync(path.join(parent, "run-"));
  }

  /** @returns the path of a file that does what the example shows. */
  write(example: Example): string {
    const base = path.join(this.folder, example.name.replaceAll(/[^\w]+/g, "-"));
    writeFileSync(`${base}.setup.ts`, `${example.setup}\nexport {};\n`);
    const first = `import "./${path.basename(base)}.setup.ts";`;
    writeFileSync(`${base}.ts`, `${first} export {};\n${example.code}`);
    return `${base}.ts`;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
