/** Reads the command line and the configuration file as options. */
import { readFile } from 'node:fs/promises'
import type { ParseArgsConfig } from 'node:util'
import { OptionsInvalidError } from '../errors.js'
import { faults } from '../testing/faults.js'
import { parseFlags, type ParsedFlags } from '../util/flags.js'
import { isObject } from '../util/is-object.js'
import { describe } from '../util/option-errors.js'
import type { AccessEdgeOptions } from './options.js'
import type { RunCommand } from './run.js'

const KINDS = Object.keys(faults).join(', ').replace(/(.{1,60})(?: |$)/g, `${' '.repeat(31)}$1\n`).trimEnd()

export const USAGE = `Usage: fastify-cf-access dev --to URL [options] [-- COMMAND]

Emulates Cloudflare Access in front of your app, on loopback, for development. A COMMAND that starts your app is run
beside it, such as node server.js, with CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD set; both end together.

  --to URL                     your app, such as http://127.0.0.1:3000
  --port NUMBER                the port to listen on, on 127.0.0.1 and ::1; default 4000
  --user EMAIL[=GROUP,…]       a user to sign in as with one click; can be repeated
  --service-token ID=SECRET    the credentials of a machine; can be repeated
  --path PATH                  the path that is protected; default /, everything
  --group NAME                 admits only users in this group; can be repeated
  --audience TAG               the AUD tag; default: one that stays the same
  --session TIME               how long a session lasts, such as 90s, 5m or 24h; default 24h
  --rotate TIME                how often the keys are rotated, such as 60s or 1h
  --outage [KIND]              the endpoints fail, by default "down"; one of
${KINDS}
  --keys FILE                  keeps the keys in this file, so that sessions outlive a restart
  --same-site lax|none         of the cookies; "none" is Access's default, and Secure; default lax
  --lenient                    clients other than browsers get 401 without a session, no redirect
  --managed-oauth              such clients get 401 and the challenge of Managed OAuth
  --verbose                    a line for every request, not only for unusual ones
  --config FILE                all of this and more, as JSON, by the names of createAccessEdge();
                               flags take precedence
  --help, --version
`

const FLAGS = {
  to: { type: 'string' },
  port: { type: 'string' },
  user: { type: 'string', multiple: true },
  'service-token': { type: 'string', multiple: true },
  path: { type: 'string' },
  group: { type: 'string', multiple: true },
  audience: { type: 'string' },
  session: { type: 'string' },
  rotate: { type: 'string' },
  outage: { type: 'string' },
  keys: { type: 'string' },
  'same-site': { type: 'string' },
  lenient: { type: 'boolean' },
  'managed-oauth': { type: 'boolean' },
  verbose: { type: 'boolean' },
  config: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' }
} satisfies ParseArgsConfig['options']

type Flags = ReturnType<typeof parse>['values']

/** A parsed command line. */
export type Command = 'help' | 'version' | {
  readonly dev: AccessEdgeOptions
  /** What stands behind `--`: the application's own command. */
  readonly run?: RunCommand
}

/**
 * @param args without the names of Node.js and of the script
 * @throws {OptionsInvalidError} for a malformed command line. The options themselves are not checked yet.
 */
export async function readArguments (args: readonly string[]): Promise<Command> {
  const end = args.indexOf('--')
  const { values, positionals: [command, extra] } = parse(end === -1 ? args : args.slice(0, end))
  if (values.version === true) return 'version'
  if (values.help === true || (command === undefined && args.length === 0)) return 'help'
  if (command !== 'dev' || extra !== undefined) {
    throw new OptionsInvalidError(
      `The command is ${describe(command === 'dev' ? extra : command)}; it takes "dev" or "doctor". See --help.`)
  }
  const file = values.config === undefined ? {} : await readConfig(values.config)
  const dev = { ...file, ...optionsOf(values) } as AccessEdgeOptions
  return end === -1 ? { dev } : { dev, run: runCommandOf(args.slice(end + 1)) }
}

function runCommandOf ([program, ...args]: readonly string[]): RunCommand {
  if (program !== undefined) return [program, ...args]
  throw new OptionsInvalidError('Nothing follows "--"; it takes the command that starts your app.')
}

function parse (args: readonly string[]): ParsedFlags<typeof FLAGS> {
  return parseFlags(args.flatMap(nameOutage), FLAGS)
}

/** To the parser a flag either has a value or has none; the value of this one is optional. */
function nameOutage (arg: string, i: number, args: readonly string[]): string | string[] {
  return arg === '--outage' && !Object.hasOwn(faults, args[i + 1] ?? '') ? ['--outage', 'down'] : arg
}

function optionsOf ({ port, user, path, group, audience, ...flags }: Flags): object {
  const isOneApplication = path !== undefined || group !== undefined || audience !== undefined
  return withoutAbsent({
    to: flags.to,
    port: numberOf(port),
    users: user?.map(userOf),
    serviceTokens: flags['service-token']?.map(serviceTokenOf),
    applications: isOneApplication ? [applicationOf(path, group, audience)] : undefined,
    session: flags.session,
    rotate: flags.rotate,
    outage: flags.outage,
    keys: flags.keys,
    sameSite: flags['same-site'],
    lenient: flags.lenient,
    managedOauth: flags['managed-oauth'],
    verbose: flags.verbose
  })
}

function applicationOf (path = '/', group: string[] | undefined, audience: string | undefined): object {
  return withoutAbsent({ path, audience, policy: group === undefined ? undefined : { include: { group } } })
}

function withoutAbsent (options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

/** Text that is not a number is returned unchanged, so that the error quotes it. */
function numberOf (text: string | undefined): number | string | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : text
}

function userOf (text: string): object {
  const [, email, groups] = /^([^=]*)(?:=(.*))?$/s.exec(text)!
  return groups === undefined
    ? { email }
    : { email, groups: groups.split(',').map(group => group.trim()).filter(group => group !== '') }
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
  throw new OptionsInvalidError(`Option "--config" names ${file}, which does not contain a JSON object.`)
}
