import process from "node:process";

/** Flags with which a runtime runs a script in TypeScript with everything allowed and nothing else to say. */
export function flagsFor(kind: "bun" | "deno" | "node"): string[] {
  switch (kind) {
    case "bun":
      return [];
    case "deno":
      return ["run", "--no-check", "-A", "--quiet"];
    case "node":
      return ["--disable-warning=ExperimentalWarning", "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON"];
  }
}

/** The same for the runtime that this runs in. */
export function runtimeFlags(): string[] {
  const versions = process.versions as Record<string, string | undefined>;
  return flagsFor(versions.bun !== undefined ? "bun" : versions.deno !== undefined ? "deno" : "node");
}
