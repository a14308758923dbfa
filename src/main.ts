/*
 * Mappings and windows. The other capabilities have entry points of their own, so that importing outcore stays a
 * matter of a few milliseconds however many there are.
 */
export * from "./memory/main.ts";
export * from "./window/main.ts";
