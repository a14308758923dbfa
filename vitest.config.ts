import type { ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = {
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    execArgv: ["--expose-gc", "--disable-warning=ExperimentalWarning"],
    cache: false,
  },
};

export default config;
