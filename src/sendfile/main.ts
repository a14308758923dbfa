export * from "../errors.ts";
export type { TransferOptions, TransferProgress } from "./control.ts";
export { type CopyFileOptions, type CopyFileResult, copyFile } from "./copy-file.ts";
export type { ByteRange, LastBytes } from "./ranges.ts";
export { type SendFileOptions, type SendFileResult, sendFile } from "./send-file.ts";
export { type SendfileOptions, sendfile } from "./sendfile.ts";
export type { DescriptorHolder, NamedBlob, SendSource, StatedFile } from "./source.ts";
export { proxy, type SpliceOptions, splice } from "./splice.ts";
export type {
  BunSocketLike,
  DenoConnLike,
  Listener,
  ResponseLike,
  SendTarget,
  ShownConnection,
  SocketLike,
} from "./target.ts";
export type { SendMethod } from "./transfer.ts";
