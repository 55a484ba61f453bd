/** Errors of options: each says which option it is, what it got and what it takes. */
import { inspect } from 'node:util'
import { OptionsInvalidError } from '../errors.js'
import { nearestName } from './nearest-name.js'

/** Stands for an option that is absent. An explicit `undefined` is different: a setting that was lost, so an error. */
export const ABSENT = Symbol('absent')

/** A value as it was written, shortened. */
export function describe (value: unknown): string {
  const text = inspect(value, { depth: 0, breakLength: Infinity, maxArrayLength: 3, maxStringLength: 80 })
  return text.length > 120 ? `${text.slice(0, 120)}…` : text
}

/** @throws {OptionsInvalidError} always. */
export function throwInvalidOption (path: string, value: unknown, expected: string): never {
  const found = value === ABSENT ? 'missing' : describe(value)
  throw new OptionsInvalidError(`Option "${path}" is ${found}; it takes ${expected}.`)
}

/**
 * @param owner what the names belong to; the empty string for the outermost options
 * @throws {OptionsInvalidError} for the first unknown name, with the nearest known one.
 */
export function rejectUnknownNames (names: readonly string[], known: readonly string[], owner: string): void {
  const unknown = names.find(name => !known.includes(name))
  if (unknown === undefined) return
  const nearest = nearestName(unknown, known)
  const hint = nearest === null ? `the known ones are ${known.join(', ')}` : `did you mean "${nearest}"?`
  throw new OptionsInvalidError(`${owner === '' ? 'Option' : `In ${owner},`} "${unknown}" is not known; ${hint}`)
}
