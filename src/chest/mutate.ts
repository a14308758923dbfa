import type { Core } from "./core.ts";
import type { Key } from "./keys.ts";

/**
 * Calls `change` with the value of a key and stores what it returns, or the value itself. What the function sets or deletes
 * itself comes before that; the value's time and tags stay.
 */
export function mutate<K extends Key, V>(
  core: Core<K, V>,
  key: K,
  change: (value: V | undefined) => unknown,
): V | undefined {
  const value = core.get(key, true);
  let about = core.about(key);
  const watch = { key: core.key.set(key).text(), changed: false };
  core.watched.push(watch);
  let result: unknown;
  try {
    result = change(value);
  } finally {
    core.watched.splice(core.watched.indexOf(watch), 1);
  }
  if (watch.changed) {
    /* The function has set or deleted the key itself: what it returns comes after that. */
    if (result === undefined) return core.get(key, true);
    about = core.about(key);
  }
  const next = (result === undefined ? value : result) as V;
  if (next === undefined && about === undefined) return undefined;
  if (about === undefined) core.put(key, next);
  else core.put(key, next, about);
  core.afterChange();
  return next;
}
