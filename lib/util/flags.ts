/** Reads the flags of a command line. */
import { parseArgs, type ParseArgsConfig } from 'node:util'
import { OptionsInvalidError } from '../errors.js'
import { rejectUnknownNames } from './option-errors.js'

type Flags = NonNullable<ParseArgsConfig['options']>

/** The flags and the other words of a command line. */
export type ParsedFlags<Options extends Flags> =
  ReturnType<typeof parseArgs<{ readonly options: Options, readonly allowPositionals: true }>>

/**
 * @param args without the names of Node.js and of the script
 * @throws {OptionsInvalidError} for an unknown flag, with the nearest known one, and for a malformed command line
 */
export function parseFlags<Options extends Flags> (args: string[], options: Options): ParsedFlags<Options> {
  const config = { args, options, allowPositionals: true } as const
  const { tokens } = parseArgs({ ...config, strict: false, tokens: true })
  const names = tokens.flatMap(token => token.kind === 'option' ? [token.rawName] : [])
  rejectUnknownNames(names, namesOf(options), '')
  try {
    return parseArgs(config)
  } catch (error) {
    throw new OptionsInvalidError(`${(error as Error).message}. See --help.`)
  }
}

function namesOf (options: Flags): string[] {
  const short = Object.values(options).flatMap(option => option.short === undefined ? [] : [`-${option.short}`])
  return [...Object.keys(options).map(name => `--${name}`), ...short]
}
