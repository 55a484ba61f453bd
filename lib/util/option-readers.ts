/** Readers of options, with errors that say what came and what is expected. */
import { inspect } from 'node:util'
import { OptionsInvalidError } from '../errors.js'
import { isObject } from './is-object.js'
import { nearestName } from './nearest-name.js'

/** A value as it was written, in short. */
export function describe (value: unknown): string {
  const text = inspect(value, { depth: 0, breakLength: Infinity, maxArrayLength: 3, maxStringLength: 80 })
  return text.length > 120 ? `${text.slice(0, 120)}…` : text
}

/**
 * @param path what the names belong to; the empty string for the plugin's own options
 * @throws {OptionsInvalidError} for the first name that is not known, with the known one nearest to it.
 */
export function rejectUnknownNames (names: readonly string[], known: readonly string[], path: string): void {
  const stranger = names.find(name => !known.includes(name))
  if (stranger === undefined) return
  const nearest = nearestName(stranger, known)
  const hint = nearest === null ? `the known ones are ${known.join(', ')}` : `did you mean "${nearest}"?`
  throw new OptionsInvalidError(`${path === '' ? 'Option' : `In ${path},`} "${stranger}" is not known; ${hint}`)
}

/**
 * The own members of an object, at least one.
 * @param known the names it may have; `null` for any
 * @throws {OptionsInvalidError} for anything else.
 */
export function readMembers (value: unknown, name: string, known: readonly string[] | null, expected: string): Map<string, unknown> {
  if (!isObject(value) || Object.keys(value).length === 0) {
    throw new OptionsInvalidError(`${name} is ${describe(value)}; it takes ${expected}.`)
  }
  if (known !== null) rejectUnknownNames(Object.keys(value), known, name)
  return new Map(Object.entries(value))
}

/** @throws {OptionsInvalidError} always. */
export function throwInvalidOption (name: string, value: unknown, expected: string): never {
  throw new OptionsInvalidError(`Option "${name}" is ${describe(value)}; it takes ${expected}.`)
}

/**
 * A whole number, or `fallback` where none is given.
 * @throws {OptionsInvalidError} for anything else.
 */
export function readNumber (
  input: ReadonlyMap<string, unknown>, name: string, fallback: number, min: number, max: number, unit: string, path = ''
): number {
  if (!input.has(name)) return fallback
  const value = input.get(name)
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max
    ? value as number
    : throwInvalidOption(path + name, value, `a whole number of ${unit} from ${min} to ${max}`)
}
