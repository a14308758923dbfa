/** Counts the mapped memory that was touched, and gives all of it back when it is more than allowed. */
export class MappedMemory {
  touched = 0;
  #limit: number;
  #trim: () => void;

  constructor(limit: number, trim: () => void) {
    this.#limit = limit;
    this.#trim = trim;
  }

  touch(bytes: number): void {
    this.touched += bytes;
    if (this.touched > this.#limit) this.trim();
  }

  trim(): void {
    this.#trim();
    this.touched = 0;
  }
}
