/** Makes what JSON can hold unchangeable, all the way down. */

/** @returns whether all of it could be frozen: not what is nested deeper than `depth`. */
export function freezeDeep (value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (depth === 0) return false
  Object.freeze(value)
  return Object.values(value).every(member => freezeDeep(member, depth - 1))
}
