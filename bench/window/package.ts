/**
 * Builds the npm packages as they would be published, with the C library of this machine alone.
 *
 *   package.ts FOLDER
 */
import process from "node:process";
import { compile, findCompiler } from "../../scripts/build/compile.ts";
import { writePackages } from "../../scripts/build/packages.ts";
import { hostTarget } from "../../scripts/build/targets.ts";

const target = hostTarget();
await writePackages(process.argv[2] ?? "", [{ target, library: compile(target, { compiler: findCompiler() }) }]);
