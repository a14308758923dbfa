import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "vitest";
import { native } from "../../ffi/load.ts";
import { ABI, type ArgumentType, symbols } from "../../ffi/symbols.ts";
import { root } from "../support/run.ts";

const header = readFileSync(path.join(root, "c", "outcore.h"), "utf8");

function argumentType(parameter: string): ArgumentType {
  if (parameter.includes("*")) return "buffer";
  if (/^double\b/.test(parameter)) return "f64";
  if (/^int32_t\b/.test(parameter)) return "i32";
  throw new Error(`"${parameter}" cannot cross the border`);
}

/** Every function of the header with its argument types. */
function declared(): Record<string, ArgumentType[]> {
  const found: Record<string, ArgumentType[]> = {};
  for (const [, name = "", list = ""] of header.matchAll(/^OC_API double (oc_\w+)\(([^)]*)\);/gm)) {
    const parameters = list.split(",").map((each) => each.trim());
    found[name] = parameters[0] === "void" ? [] : parameters.map(argumentType);
  }
  return found;
}

describe("the symbol table", () => {
  it("has the names and argument types of the header, in its order", () => {
    const table = Object.entries(symbols).map(([name, types]) => [name, [...types]]);
    assert.deepEqual(table, Object.entries(declared()));
  });

  it("leaves out no exported function, whatever it returns", () => {
    const exported = [...header.matchAll(/^OC_API .*?\b(oc_\w+)\(/gm)].map(([, name]) => name);
    assert.deepEqual(Object.keys(symbols), exported);
  });

  it("has the header's ABI number, and so has the library", () => {
    assert.equal(Number(/#define OC_ABI (\d+)/.exec(header)?.[1]), ABI);
    assert.equal(native().calls.oc_abi(), ABI);
  });

  it("is what the backend made functions of", () => {
    for (const name of Object.keys(symbols)) assert.equal(typeof native().calls[name as "oc_abi"], "function", name);
  });

  it("gives a function that takes a buffer a second argument", () => {
    for (const [name, types] of Object.entries(symbols))
      assert.ok(types.length !== 1 || (types as readonly string[])[0] !== "buffer", name);
  });
});
