/** A typed array's type: its number in the format, bytes of an element, and how to lay one over a buffer. */
export interface ElementKind {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  over(buffer: ArrayBufferLike, offset: number, count: number): ArrayBufferView;
}

type ViewConstructor = {
  new (buffer: ArrayBufferLike, offset: number, count: number): ArrayBufferView;
  readonly BYTES_PER_ELEMENT: number;
};

const { Float16Array } = globalThis as unknown as { Float16Array?: ViewConstructor };

/** Where the number of a type is its place. Float16Array exists from Node 24 on. */
const types: readonly (readonly [string, ViewConstructor | undefined])[] = [
  ["Uint8Array", Uint8Array],
  ["Int8Array", Int8Array],
  ["Uint8ClampedArray", Uint8ClampedArray],
  ["Uint16Array", Uint16Array],
  ["Int16Array", Int16Array],
  ["Uint32Array", Uint32Array],
  ["Int32Array", Int32Array],
  ["BigUint64Array", BigUint64Array],
  ["BigInt64Array", BigInt64Array],
  ["Float32Array", Float32Array],
  ["Float64Array", Float64Array],
  ["Float16Array", Float16Array],
];

/** By their numbers. */
export const elementKinds: readonly (ElementKind | undefined)[] = types.map(
  ([name, Type], id) =>
    Type && {
      id,
      name,
      size: Type.BYTES_PER_ELEMENT,
      over: (buffer: ArrayBufferLike, offset: number, count: number) => new Type(buffer, offset, count),
    },
);

const byName = new Map(elementKinds.filter((kind) => kind !== undefined).map((kind) => [kind.name, kind]));

const { get: nameOf } = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
) as { get: () => string | undefined };

/** The type of a typed array; undefined for everything else. A Buffer is a Uint8Array. */
export function kindOf(value: unknown): ElementKind | undefined {
  const name = nameOf.call(value as object);
  return name === undefined ? undefined : byName.get(name);
}
