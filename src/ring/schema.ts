import { InvalidArgumentError, SchemaError } from "../errors.ts";
import { type ElementArrays, type ElementType, elementOf, type StreamLayout } from "./element.ts";

/** A stream as it is declared. */
export interface StreamDeclaration {
  /** What one number is. */
  readonly type: ElementType;
  /** Numbers of an element. Default 1. */
  readonly components?: number;
  /** Default "vector" with more than one component, else "scalar". */
  readonly layout?: StreamLayout;
  /** Elements that a frame can hold at most. Default 1. Wire "shmx" only uses it to compute a frame's capacity. */
  readonly capacity?: number;
  /** Number by which the stream is known on the wire. Default: its place in the schema, from 1. */
  readonly id?: number;
  /** Bytes of your own that readers get with the schema. */
  readonly extra?: Uint8Array;
}

/** Streams by name. Declared `as const` it gives the types of frames. */
export type Schema = Readonly<Record<string, StreamDeclaration>>;

/** A stream as it is described in a ring. */
export interface StreamSpec {
  /** Its name. */
  readonly name: string;
  /** Its number on the wire. */
  readonly id: number;
  /** What one number is. */
  readonly type: ElementType;
  /** Numbers of an element. */
  readonly components: number;
  /** How they lie. */
  readonly layout: StreamLayout;
  /** Bytes of an element. */
  readonly bytesPerElement: number;
  /** Elements at most; 0 where the wire does not say. */
  readonly capacity: number;
  /** Bytes that the writer added. */
  readonly extra: Uint8Array;
}

/** The typed array of a stream of a schema. */
export type StreamOf<S extends Schema, K extends keyof S> = ElementArrays[S[K]["type"]];

/** What may be published for a stream: a typed array of its kind, or plain numbers. */
export type StreamInput<S extends Schema, K extends keyof S> =
  | StreamOf<S, K>
  | readonly (StreamOf<S, K> extends BigInt64Array | BigUint64Array ? bigint : number)[];

/** Values of a frame to publish; a stream that is left out is not in the frame. */
export type FrameInput<S extends Schema> = { readonly [K in keyof S]?: StreamInput<S, K> };

const LONGEST_NAME = 1024;

function integer(what: string, value: number, least: number, most: number): void {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new InvalidArgumentError(`${what} must be an integer from ${least} to ${most}, not ${String(value)}`);
}

/** A stream's description from its declaration (SHMX: create_stream_spec). */
export function createStreamSpec(name: string, declaration: StreamDeclaration, id: number): StreamSpec {
  const { type, components = 1, capacity = 1, extra = new Uint8Array(0) } = declaration;
  const layout = declaration.layout ?? (components > 1 ? "vector" : "scalar");
  const { bytes } = elementOf(type);
  if (typeof name !== "string" || name === "" || new TextEncoder().encode(name).length > LONGEST_NAME)
    throw new InvalidArgumentError(`"${name}" cannot name a stream: 1 to ${LONGEST_NAME} bytes`);
  if (layout !== "scalar" && layout !== "vector") throw new InvalidArgumentError(`no layout "${String(layout)}"`);
  integer(`components of ${name}`, components, 1, 65536);
  integer(`capacity of ${name}`, capacity, 0, 2 ** 46);
  integer(`id of ${name}`, declaration.id ?? id, 0, 2 ** 32 - 1);
  if (!(extra instanceof Uint8Array) || extra.length > 65536)
    throw new InvalidArgumentError(`extra of ${name} must be at most 65536 bytes`);
  return {
    name,
    id: declaration.id ?? id,
    type,
    components,
    layout,
    bytesPerElement: bytes * components,
    capacity,
    extra,
  };
}

/**
 * The streams of a schema in order.
 * @throws {SchemaError} when two have one id.
 */
export function specsOf(schema: Schema, firstId = 1): StreamSpec[] {
  const specs = Object.entries(schema).map(([name, stream], i) => createStreamSpec(name, stream, firstId + i));
  if (new Set(specs.map(({ id }) => id)).size < specs.length) throw new SchemaError("two streams have the same id");
  return specs;
}

/**
 * Compares what a reader expects with what a ring has.
 * @throws {SchemaError} when a stream is missing or of another type, naming it.
 */
export function checkSchema(expected: Schema, found: readonly StreamSpec[]): void {
  for (const [name, declared] of Object.entries(expected)) {
    const spec = found.find((each) => each.name === name);
    if (spec === undefined) throw new SchemaError(`the ring has no stream "${name}"`);
    const components = declared.components ?? 1;
    if (spec.type !== declared.type || spec.components !== components)
      throw new SchemaError(
        `stream "${name}" is ${spec.type} x ${spec.components}, not ${declared.type} x ${components}`,
      );
  }
}

/** `value` rounded up to a multiple of `to`. */
export function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

/**
 * Bytes of a frame in which every stream is full: what `frameBytes` must be at least (wire "shmx"), or what the streams
 * take of a slot (wire "native").
 */
export function frameCapacity(schema: Schema, wire: "shmx" | "native" = "native"): number {
  let bytes = 0;
  for (const { capacity, bytesPerElement } of specsOf(schema)) {
    const data = capacity * bytesPerElement;
    bytes += wire === "shmx" ? roundUp(24 + data, 16) : roundUp(data, 64);
  }
  return bytes;
}
