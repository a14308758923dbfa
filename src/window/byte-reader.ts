/**
 * Typed reads at any offset, aligned or not, without allocation. `place` finds the bytes; what it found is read
 * through `placed`.
 */
export abstract class ByteReader {
  /** Holds the bytes that `place` found last. */
  protected placed: DataView = new DataView(new ArrayBuffer(8));

  /** Makes `bytes` bytes at `offset` readable through `placed` and returns where in it they are. */
  protected abstract place(offset: number, bytes: number): number;

  /** Unsigned byte at `offset`. */
  u8(offset: number): number {
    const at = this.place(offset, 1);
    return this.placed.getUint8(at);
  }

  /** Signed byte at `offset`. */
  i8(offset: number): number {
    const at = this.place(offset, 1);
    return this.placed.getInt8(at);
  }

  /** Unsigned 16-bit integer; little endian unless told otherwise. */
  u16(offset: number, littleEndian = true): number {
    const at = this.place(offset, 2);
    return this.placed.getUint16(at, littleEndian);
  }

  /** Signed 16-bit integer; little endian unless told otherwise. */
  i16(offset: number, littleEndian = true): number {
    const at = this.place(offset, 2);
    return this.placed.getInt16(at, littleEndian);
  }

  /** Unsigned 32-bit integer; little endian unless told otherwise. */
  u32(offset: number, littleEndian = true): number {
    const at = this.place(offset, 4);
    return this.placed.getUint32(at, littleEndian);
  }

  /** Signed 32-bit integer; little endian unless told otherwise. */
  i32(offset: number, littleEndian = true): number {
    const at = this.place(offset, 4);
    return this.placed.getInt32(at, littleEndian);
  }

  /** Unsigned 64-bit integer; little endian unless told otherwise. */
  u64(offset: number, littleEndian = true): bigint {
    const at = this.place(offset, 8);
    return this.placed.getBigUint64(at, littleEndian);
  }

  /** Signed 64-bit integer; little endian unless told otherwise. */
  i64(offset: number, littleEndian = true): bigint {
    const at = this.place(offset, 8);
    return this.placed.getBigInt64(at, littleEndian);
  }

  /** 32-bit floating point number; little endian unless told otherwise. */
  f32(offset: number, littleEndian = true): number {
    const at = this.place(offset, 4);
    return this.placed.getFloat32(at, littleEndian);
  }

  /** 64-bit floating point number; little endian unless told otherwise. */
  f64(offset: number, littleEndian = true): number {
    const at = this.place(offset, 8);
    return this.placed.getFloat64(at, littleEndian);
  }
}
