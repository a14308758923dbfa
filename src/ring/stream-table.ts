import { SchemaError } from "../errors.ts";
import type { StreamSpec } from "./schema.ts";

/** The streams of a ring as its writer finds them: in order and by name. */
export class StreamTable<Spec extends StreamSpec> {
  readonly list: readonly Spec[];
  #byName: Map<string, Spec>;

  constructor(list: readonly Spec[]) {
    this.list = list;
    this.#byName = new Map(list.map((spec) => [spec.name, spec]));
  }

  /** @throws {SchemaError} when there is none of that name. */
  named(name: string): Spec {
    const spec = this.#byName.get(name);
    if (spec === undefined) throw new SchemaError(`the ring has no stream "${name}"`);
    return spec;
  }

  /** These streams and more. @throws {SchemaError} when a name or an id is there already. */
  and(added: readonly Spec[]): StreamTable<Spec> {
    const all = [...this.list, ...added];
    if (new Set(all.map(({ name }) => name)).size < all.length) throw new SchemaError("a stream of that name exists");
    if (new Set(all.map(({ id }) => id)).size < all.length) throw new SchemaError("two streams have the same id");
    return new StreamTable(all);
  }
}
