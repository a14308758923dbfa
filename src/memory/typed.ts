/** Element names and the typed arrays that they stand for. */
export interface ElementTypes {
  /** `Uint8Array`. */
  readonly u8: Uint8ArrayConstructor;
  /** `Int8Array`. */
  readonly i8: Int8ArrayConstructor;
  /** `Uint16Array`. */
  readonly u16: Uint16ArrayConstructor;
  /** `Int16Array`. */
  readonly i16: Int16ArrayConstructor;
  /** `Uint32Array`. */
  readonly u32: Uint32ArrayConstructor;
  /** `Int32Array`. */
  readonly i32: Int32ArrayConstructor;
  /** `BigUint64Array`. */
  readonly u64: BigUint64ArrayConstructor;
  /** `BigInt64Array`. */
  readonly i64: BigInt64ArrayConstructor;
  /** `Float32Array`. */
  readonly f32: Float32ArrayConstructor;
  /** `Float64Array`. */
  readonly f64: Float64ArrayConstructor;
}

/** The constructors by name. */
export const elements: ElementTypes = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  u64: BigUint64Array,
  i64: BigInt64Array,
  f32: Float32Array,
  f64: Float64Array,
};

/** Short name of an element type: u8 to u64, i8 to i64, f32, f64. */
export type ElementName = keyof ElementTypes;

/** The typed array that an element name stands for. */
export type ElementArray<Name extends ElementName> = InstanceType<ElementTypes[Name]>;
