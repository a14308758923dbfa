export * from "../../errors.ts";
export type { Listener, ResponseLike } from "../target.ts";
export type { FileHandlerOptions } from "./answer.ts";
export { createFileHandler, type FileHandler, type NodeRequest, type NodeResponse } from "./handler.ts";
export { type FolderServer, type ServeOptions, serveFolder } from "./serve.ts";
