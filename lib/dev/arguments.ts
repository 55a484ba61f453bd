/** The command line and its configuration file, as options. */
import { readFile } from 'node:fs/promises'
import { parseArgs, type ParseArgsConfig } from 'node:util'
import { OptionsInvalidError } from '../errors.js'
import { faults } from '../testing/faults.js'
import { isObject } from '../util/is-object.js'
import { describe, rejectUnknownNames } from '../util/option-readers.js'
import type { AccessEdgeOptions } from './options.js'

const KINDS = Object.keys(faults).join(', ').replace(/(.{1,60})(?: |$)/g, `${' '.repeat(31)}$1\n`).trimEnd()

export const USAGE = `Usage: fastify-cf-access dev --to URL [options]

Stands in for Cloudflare Access in front of an application, on loopback, for development.

  --to URL                     the application, such as http://127.0.0.1:3000
  --port NUMBER                where to listen on 127.0.0.1; default 4000
  --user EMAIL[=GROUP,…]       a user to sign in as with one click; can be repeated
  --service-token ID=SECRET    a machine's credentials; may be repeated
  --audience TAG               the AUD tag of the application; default: one that stays the same
  --session TIME               how long a session lasts, such as 90s, 5m or 24h; default 24h
  --rotate SECONDS             new keys every so many seconds
  --outage [KIND]              the endpoints fail, by default "down"; one of
${KINDS}
  --keys FILE                  keeps the keys there, so that sessions outlive a restart
  --config FILE                all of this and more, as JSON: to, port, users, serviceTokens,
                               applications, session, rotate, outage, keys; flags go first
  --help, --version
`

const FLAGS = {
  to: { type: 'string' },
  port: { type: 'string' },
  user: { type: 'string', multiple: true },
  'service-token': { type: 'string', multiple: true },
  audience: { type: 'string' },
  session: { type: 'string' },
  rotate: { type: 'string' },
  outage: { type: 'string' },
  keys: { type: 'string' },
  config: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' }
} satisfies ParseArgsConfig['options']

type Flags = ReturnType<typeof parse>['values']

/** What the command line asks for. */
export type Command = 'help' | 'version' | { readonly dev: AccessEdgeOptions }

/**
 * @param args without the names of Node.js and of the script
 * @throws {OptionsInvalidError} for what cannot be understood. The options are still to be checked.
 */
export async function readArguments (args: readonly string[]): Promise<Command> {
  const { values, positionals: [command, stranger] } = parse(args)
  if (values.version === true) return 'version'
  if (values.help === true || (command === undefined && args.length === 0)) return 'help'
  if (command !== 'dev' || stranger !== undefined) {
    throw new OptionsInvalidError(`The command is ${describe(command === 'dev' ? stranger : command)}; it takes "dev" alone. See --help.`)
  }
  const file = values.config === undefined ? {} : await readConfig(values.config)
  return { dev: { ...file, ...optionsOf(values) } as AccessEdgeOptions }
}

function parse (args: readonly string[]) {
  try {
    return parseArgs({ args: args.flatMap(nameOutage), options: FLAGS, allowPositionals: true })
  } catch (error) {
    const [, stranger] = /^Unknown option '(--[^']+)'/.exec((error as Error).message) ?? []
    if (stranger !== undefined) rejectUnknownNames([stranger], Object.keys(FLAGS).map(name => `--${name}`), '')
    throw new OptionsInvalidError(`${(error as Error).message}. See --help.`)
  }
}

/** A flag has a value or has none, to the parser; this one may have. */
function nameOutage (arg: string, i: number, args: readonly string[]): string | string[] {
  return arg === '--outage' && !Object.hasOwn(faults, args[i + 1] ?? '') ? ['--outage', 'down'] : arg
}

function optionsOf ({ to, port, user, 'service-token': service, audience, session, rotate, outage, keys }: Flags): object {
  const options = {
    to,
    port: numberOf(port),
    users: user?.map(userOf),
    serviceTokens: service?.map(serviceTokenOf),
    applications: audience === undefined ? undefined : [{ path: '/', audience }],
    session,
    rotate: numberOf(rotate),
    outage,
    keys
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

/** Text that is not a number stays as it is, so that the error quotes it. */
function numberOf (text: string | undefined): number | string | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : text
}

function userOf (text: string): object {
  const [, email, groups] = /^([^=]*)(?:=(.*))?$/s.exec(text)!
  return groups === undefined ? { email } : { email, groups: groups.split(',').map(group => group.trim()).filter(group => group !== '') }
}

function serviceTokenOf (text: string): object {
  const end = text.indexOf('=')
  if (end === -1) throw new OptionsInvalidError(`Option "--service-token" is ${describe(text)}; it takes ID=SECRET.`)
  return { clientId: text.slice(0, end), clientSecret: text.slice(end + 1) }
}

async function readConfig (file: string): Promise<object> {
  try {
    const config = JSON.parse(await readFile(file, 'utf8')) as unknown
    if (isObject(config)) return config
  } catch (error) {
    throw new OptionsInvalidError(`Option "--config" names ${file}, which cannot be read: ${(error as Error).message}.`)
  }
  throw new OptionsInvalidError(`Option "--config" names ${file}, which does not hold a JSON object.`)
}
