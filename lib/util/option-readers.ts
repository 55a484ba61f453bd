/**
 * Readers of options: each validates a value and returns it, or throws an error that says what it got and what it
 * takes.
 */
import { OptionsInvalidError } from '../errors.js'
import { parseDuration, type CfAccessDuration } from './duration.js'
import { isObject } from './is-object.js'
import { ABSENT, describe, rejectUnknownNames, throwInvalidOption } from './option-errors.js'

/**
 * @param path the option's full name, such as `keys.maxAge`
 * @throws {OptionsInvalidError}
 */
export type Reader<Value> = (value: unknown, path: string) => Value

/** A reader for each option, by its name. */
export type ReaderTable = Readonly<Record<string, Reader<unknown>>>

/** The result of reading options by a table. */
export type Read<Table extends ReaderTable> = { readonly [Name in keyof Table]: ReturnType<Table[Name]> }

/**
 * Reads each option of a table. Only own members of `options` count.
 * @param path the option that holds these; the empty string for the outermost
 * @throws {OptionsInvalidError} for a name that is not in the table, and for a wrong value.
 */
export function readOptions<Table extends ReaderTable> (options: object, table: Table, path = ''): Read<Table> {
  const input = new Map<string, unknown>(Object.entries(options))
  rejectUnknownNames([...input.keys()], Object.keys(table), path === '' ? '' : `option "${path}"`)
  const values = Object.entries(table).map(([name, read]) =>
    [name, read(input.has(name) ? input.get(name) : ABSENT, path === '' ? name : `${path}.${name}`)])
  return Object.fromEntries(values) as Read<Table>
}

/** `null` where the option is absent. */
export function optional<Value> (read: Reader<Value>): Reader<Value | null> {
  return (value, path) => value === ABSENT ? null : read(value, path)
}

/** @param fallback what to read where the option is absent, as a user would write it */
export function withDefault<Value> (read: Reader<Value>, fallback: unknown): Reader<Value> {
  return (value, path) => read(value === ABSENT ? fallback : value, path)
}

/** An object of options; absent is the same as empty. */
export function group<Table extends ReaderTable> (table: Table, expected = membersOf(table)): Reader<Read<Table>> {
  return (value, path) => {
    const options = value === ABSENT ? {} : value
    return isObject(options) ? readOptions(options, table, path) : throwInvalidOption(path, value, expected)
  }
}

/** Such as `{ maxAge, timeout }`. */
export function membersOf (table: ReaderTable): string {
  return `{ ${Object.keys(table).join(', ')} }`
}

export function list<Value> (read: Reader<Value>, expected: string): Reader<Value[]> {
  return (value, path) => Array.isArray(value)
    ? Array.from(value, (item, i) => read(item, `${path}[${i}]`))
    : throwInvalidOption(path, value, expected)
}

export const boolean: Reader<boolean> = (value, path) =>
  typeof value === 'boolean' ? value : throwInvalidOption(path, value, 'true or false')

/** @param form what the whole text must match */
export function text (form: RegExp, expected: string): Reader<string> {
  return (value, path) => typeof value === 'string' && form.test(value)
    ? value
    : throwInvalidOption(path, value, expected)
}

export function integer ({ min, max }: { readonly min: number, readonly max: number }): Reader<number> {
  return (value, path) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max
    ? value as number
    : throwInvalidOption(path, value, `a whole number from ${min} to ${max}`)
}

/**
 * A duration with its unit, in milliseconds. A bare number is an error: Node.js would take it for milliseconds, a JWT
 * library for seconds. Bounds by default: `1ms`, and `24d`, the longest that a timer of Node.js can wait.
 */
export function duration (
  { min = '1ms', max = '24d' }: { readonly min?: CfAccessDuration, readonly max?: CfAccessDuration } = {}
): Reader<number> {
  const [least, most] = [parseDuration(min)!, parseDuration(max)!]
  return (value, path) => {
    const milliseconds = parseDuration(value)
    if (milliseconds !== null && milliseconds >= least && milliseconds <= most) return milliseconds
    const example = /^\d+$/.test(String(value))
      ? `with its unit: write "${value}s" or "${value}ms"`
      : 'such as "500ms", "30s" or "24h"'
    return throwInvalidOption(path, value, `a duration from ${min} to ${max}, ${example}`)
  }
}

/**
 * The own members of an object, at least one.
 * @param known the names it can have; `null` for any
 * @throws {OptionsInvalidError} for anything else.
 */
export function readMembers (
  value: unknown, name: string, known: readonly string[] | null, expected: string
): Map<string, unknown> {
  if (!isObject(value) || Object.keys(value).length === 0) {
    throw new OptionsInvalidError(`${name} is ${describe(value)}; it takes ${expected}.`)
  }
  if (known !== null) rejectUnknownNames(Object.keys(value), known, name)
  return new Map(Object.entries(value))
}
