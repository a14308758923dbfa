export * from "../errors.ts";
export type { DirtyWay } from "../memory/private-view.ts";
export { type ArrayReference, BigArray } from "./big-array.ts";
export type { DType, DTypes, Scalar } from "./dtype.ts";
export type { Durability } from "./engine.ts";
export { NdView, type Values } from "./nd-view.ts";
export type { PageLogOptions } from "./page-log.ts";
export { fileArray, memoryArray, type PlainArray, type PlainOptions } from "./plain.ts";
export type { Index, Layout } from "./slicing.ts";
export {
  type ArrayOptions,
  type ArrayStore,
  openReference,
  openStore,
  type Savepoint,
  type StoreOptions,
  type Transaction,
} from "./store.ts";
