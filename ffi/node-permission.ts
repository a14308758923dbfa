import { builtin } from "../src/builtins.ts";

interface Permission {
  has(scope: string, reference: string): boolean;
}

/** What Node's permission model says of a path; without the model everything is allowed. */
export function permits(access: "read" | "write", path: string): boolean {
  const { permission } = builtin("process") as unknown as { permission?: Permission };
  return permission === undefined || permission.has(`fs.${access}`, path);
}
