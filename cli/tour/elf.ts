/** Typed reads at any offset: a window file, or a whole file in memory. */
export interface Readable {
  u8(offset: number): number;
  u16(offset: number): number;
  u32(offset: number): number;
  u64(offset: number): bigint;
}

/** What an ELF file says of itself. */
export interface ElfSummary {
  readonly sections: number;
  readonly symbols: number;
  readonly functions: number;
  /** The function with the most bytes. */
  readonly largest: { readonly name: string; readonly size: number };
  /** Sum over all symbols of value and size, modulo 2^53: two readings agree when it does. */
  readonly checksum: number;
}

const SYMBOL_TABLE = 2;
const DYNAMIC_SYMBOLS = 11;
const FUNCTION = 2;

/** True for the 64-bit little-endian ELF files that `elfSummary` reads. */
export function isElf(file: Readable, size: number): boolean {
  return size > 64 && file.u32(0) === 0x464c457f && file.u8(4) === 2 && file.u8(5) === 1;
}

function text(file: Readable, offset: number): string {
  let name = "";
  for (let at = offset; name.length < 200; at++) {
    const byte = file.u8(at);
    if (byte === 0) break;
    name += String.fromCharCode(byte);
  }
  return name;
}

/**
 * Sections and symbols, read field by field (ELF-64 Object File Format, version 1.5). Throws a RangeError when a table
 * points outside of the file, as untrusted files may.
 */
export function elfSummary(file: Readable, size: number): ElfSummary {
  const number = (offset: number) => Number(file.u64(offset));
  const inside = (offset: number, length: number) => {
    if (!(offset >= 0 && length >= 0 && offset + length <= size)) throw new RangeError("a table lies outside the file");
  };
  const sectionOffset = number(40);
  const sectionSize = file.u16(58);
  const sections = file.u16(60);
  inside(sectionOffset, sections * sectionSize);
  let symbols = 0;
  let functions = 0;
  let checksum = 0;
  let largest = { nameAt: -1, size: -1 };
  for (let s = 0; s < sections; s++) {
    const header = sectionOffset + s * sectionSize;
    const type = file.u32(header + 4);
    if (type !== SYMBOL_TABLE && type !== DYNAMIC_SYMBOLS) continue;
    const begin = number(header + 24);
    const length = number(header + 32);
    inside(begin, length);
    const strings = number(sectionOffset + file.u32(header + 40) * sectionSize + 24);
    for (let at = begin; at + 24 <= begin + length; at += 24) {
      const value = number(at + 8);
      const bytes = number(at + 16);
      symbols++;
      checksum = (checksum + value + bytes) % Number.MAX_SAFE_INTEGER;
      if ((file.u8(at + 4) & 15) !== FUNCTION) continue;
      functions++;
      if (bytes > largest.size) largest = { nameAt: strings + file.u32(at), size: bytes };
    }
  }
  const name = largest.nameAt >= 0 && largest.nameAt < size ? text(file, largest.nameAt) : "";
  return { sections, symbols, functions, largest: { name, size: Math.max(0, largest.size) }, checksum };
}
