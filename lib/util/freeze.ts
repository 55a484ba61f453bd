/** Freezes a JSON value at every level. */

/** @returns whether all of it was frozen; `false` for a value nested deeper than `depth` */
export function freezeDeep (value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (depth === 0) return false
  Object.freeze(value)
  return Object.values(value).every(member => freezeDeep(member, depth - 1))
}
