/**
 * What deno.json puts in place of "vitest": the part of its interface that all three runners share, over Deno.test.
 * (Deno's own node:test would be shorter, but it passes files that throw while they load and tests that leave an
 * uncaught error behind.)
 */
import process from "node:process";

type Body = () => void | Promise<void>;
type Hook = "beforeAll" | "afterAll" | "beforeEach" | "afterEach";

interface Test {
  readonly name: string;
  readonly skip: boolean;
  readonly body: Body;
  readonly timeout: number;
}

interface Suite {
  readonly name: string;
  readonly skip: boolean;
  readonly parent: Suite | undefined;
  readonly hooks: Readonly<Record<Hook, Body[]>>;
  readonly entries: (Test | Suite)[];
}

interface Define {
  (name: string, body: Body, timeout?: number): void;
  readonly skip: Define;
  skipIf(condition: unknown): Define;
  runIf(condition: unknown): Define;
}

const DEFAULT_TIMEOUT = Number(process.env.OUTCORE_TEST_TIMEOUT ?? 60_000);

function suite(name: string, skip: boolean, parent?: Suite): Suite {
  return { name, skip, parent, hooks: { beforeAll: [], afterAll: [], beforeEach: [], afterEach: [] }, entries: [] };
}

/** The file, then while its body runs the suite that is being defined. */
const file: Suite = suite("", false);
let current: Suite = file;

/** From the file down to a suite. */
function lineage(of: Suite): Suite[] {
  return of.parent ? [...lineage(of.parent), of] : [of];
}

async function within(limit: number, body: Body): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the test took longer than ${limit} ms`)), limit);
  });
  try {
    await Promise.race([body(), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function runTest(test: Test, parent: Suite): Promise<void> {
  const suites = lineage(parent);
  try {
    for (const each of suites) for (const hook of each.hooks.beforeEach) await hook();
    await within(test.timeout, test.body);
  } finally {
    for (const each of suites.toReversed()) for (const hook of each.hooks.afterEach.toReversed()) await hook();
  }
}

function runsSomething(entry: Test | Suite): boolean {
  return !entry.skip && (!("entries" in entry) || entry.entries.some(runsSomething));
}

async function runSuite(of: Suite, context: Deno.TestContext): Promise<void> {
  const hooks = runsSomething(of) ? of.hooks : undefined;
  try {
    for (const hook of hooks?.beforeAll ?? []) await hook();
    for (const entry of of.entries) {
      const { name } = entry;
      if ("entries" in entry) await context.step(name, (inner) => runSuite(entry, inner));
      else await context.step({ name, ignore: entry.skip, fn: () => runTest(entry, of) });
    }
  } finally {
    for (const hook of hooks?.afterAll.toReversed() ?? []) await hook();
  }
}

/** Resources of one test may outlive it, as in the other runners: no leak checks. */
const lenient = { sanitizeOps: false, sanitizeResources: false };

function defineTest(name: string, body: Body, skip: boolean, timeout: number = DEFAULT_TIMEOUT): void {
  const test: Test = { name, skip, body, timeout };
  const parent = current;
  if (parent === file) Deno.test({ ...lenient, name, ignore: skip, fn: () => runTest(test, parent) });
  else parent.entries.push(test);
}

function defineSuite(name: string, body: Body, skip: boolean): void {
  const parent = current;
  const defined = suite(name, skip, parent);
  current = defined;
  try {
    void body();
  } finally {
    current = parent;
  }
  if (parent === file) Deno.test({ ...lenient, name, fn: (context) => runSuite(defined, context) });
  else parent.entries.push(defined);
}

function definer(define: (name: string, body: Body, skip: boolean, timeout?: number) => void, skip: boolean): Define {
  const call = (name: string, body: Body, timeout?: number): void => define(name, body, skip || current.skip, timeout);
  return Object.defineProperties(call, {
    skip: { get: () => definer(define, true) },
    skipIf: { value: (condition: unknown) => definer(define, skip || Boolean(condition)) },
    runIf: { value: (condition: unknown) => definer(define, skip || !condition) },
  }) as Define;
}

function hook(kind: Hook): (body: Body) => void {
  return (body) => {
    if (current !== file) current.hooks[kind].push(body);
    else if (kind === "beforeAll") Deno.test.beforeAll(body);
    else if (kind === "afterAll") Deno.test.afterAll(body);
    else file.hooks[kind].push(body);
  };
}

export const it: Define = definer(defineTest, false);
export const test: Define = it;
export const describe: Define = definer(defineSuite, false);
export const beforeAll: (body: Body) => void = hook("beforeAll");
export const afterAll: (body: Body) => void = hook("afterAll");
export const beforeEach: (body: Body) => void = hook("beforeEach");
export const afterEach: (body: Body) => void = hook("afterEach");
