import { readFileSync } from "node:fs";

export type Outcome = "passed" | "failed" | "skipped";

/** Outcome of every test of one runtime, keyed "suite > inner suite > test". */
export type Outcomes = Map<string, Outcome>;

/** Between the names of suites and test. */
export const SEPARATOR = " > ";
const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function unescapeXml(text: string): string {
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (all, hex: string, decimal: string, name: string) => {
    if (hex) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (decimal) return String.fromCodePoint(Number(decimal));
    return ENTITIES[name] ?? all;
  });
}

interface JunitCase {
  /** Names of the suites it stands in, the file's first. */
  readonly suites: readonly string[];
  readonly name: string;
  readonly outcome: Outcome;
}

function junitCases(xml: string): JunitCase[] {
  const cases: JunitCase[] = [];
  const suites: string[] = [];
  const tags = /<testsuite\b([^>]*)>|<(\/)testsuite>|<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g;
  const nameOf = (attributes: string): string => unescapeXml(/\bname="([^"]*)"/.exec(attributes)?.[1] ?? "");
  for (const [, suite, end, test, body = ""] of xml.matchAll(tags)) {
    if (suite !== undefined) {
      // A suite without tests may be one self-closing tag.
      if (!suite.endsWith("/")) suites.push(nameOf(suite));
    } else if (end) suites.pop();
    else {
      const outcome = /<(failure|error)\b/.test(body) ? "failed" : /<skipped\b/.test(body) ? "skipped" : "passed";
      cases.push({ suites: [...suites], name: nameOf(test ?? ""), outcome });
    }
  }
  return cases;
}

/** Several tests may share a name (a loop, or two files): each is counted. */
function add(outcomes: Outcomes, name: string, outcome: Outcome): void {
  let key = name;
  for (let copy = 2; outcomes.has(key); copy++) key = `${name} (${copy})`;
  outcomes.set(key, outcome);
}

/** Bun: suites are nested elements, one per file outermost. */
export function readBun(report: string): Outcomes {
  const outcomes: Outcomes = new Map();
  for (const { suites, name, outcome } of junitCases(report)) {
    add(outcomes, [...suites.slice(1), name].join(SEPARATOR), outcome);
  }
  return outcomes;
}

/** Deno: a suite is a test case too, with its tests as "suite > test" beside it; suites are left out. */
export function readDeno(report: string): Outcomes {
  const cases = junitCases(report);
  const suites = new Set<string>();
  for (const { name } of cases) {
    for (let at = name.indexOf(SEPARATOR); at >= 0; at = name.indexOf(SEPARATOR, at + 1)) suites.add(name.slice(0, at));
  }
  const outcomes: Outcomes = new Map();
  for (const { name, outcome } of cases) if (!suites.has(name)) add(outcomes, name, outcome);
  return outcomes;
}

interface VitestReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly {
      readonly ancestorTitles: readonly string[];
      readonly title: string;
      readonly status: string;
    }[];
  }[];
}

/** Vitest: a file that fails to load has no tests and counts as one failure. */
export function readVitest(report: string): Outcomes {
  const outcomes: Outcomes = new Map();
  for (const { name, status, assertionResults } of (JSON.parse(report) as VitestReport).testResults) {
    if (assertionResults.length === 0 && status === "failed") add(outcomes, `${name} loads`, "failed");
    for (const test of assertionResults) {
      const outcome = test.status === "passed" || test.status === "failed" ? test.status : "skipped";
      add(outcomes, [...test.ancestorTitles, test.title].join(SEPARATOR), outcome);
    }
  }
  return outcomes;
}

/** Outcomes from the report file that the runtime's runner wrote. */
export function readReport(kind: "bun" | "deno" | "node", file: string): Outcomes {
  const readers = { bun: readBun, deno: readDeno, node: readVitest };
  return readers[kind](readFileSync(file, "utf8"));
}
