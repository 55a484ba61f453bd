/** Reads the command line of the doctor. */
import { text } from 'node:stream/consumers'
import { OptionsInvalidError } from '../errors.js'
import { parseFlags } from '../util/flags.js'
import type { DoctorOptions } from './doctor.js'

export const USAGE = `Usage: fastify-cf-access doctor [options]

Says why requests are rejected: checks the settings, the team's keys, the clock, and what you give it below.

  --team NAME                  the team name or domain; several with commas, or by repeating it;
                               default: the environment variable CF_ACCESS_TEAM_DOMAIN
  --audience TAG               the AUD tag, or several; default: CF_ACCESS_AUD
  --token -                    checks a token, which is read from standard input
  --url URL                    asks your app's public URL, as https://app.example.com/path, without a
                               session: Access must answer, for this team and this AUD tag
  --origin URL                 with --url: asks your app directly, as http://10.0.0.5:3000, without a
                               token: it must not answer around the edge
  --clock-tolerance TIME       by how much clocks can differ, such as 30s or 2m; default 30s
  --json                       prints { "ok", "checks" } and nothing else
  --help

It shows no token, no signature and no e-mail address. The exit code is 0 when all checks pass, else 1.

  fastify-cf-access doctor --team acme --audience TAG --url https://app.example.com/admin
  pbpaste | fastify-cf-access doctor --team acme --audience TAG --token -

A token is the value of the cookie CF_Authorization of your app's hostname, in the browser's developer tools, or of the
request header Cf-Access-Jwt-Assertion, which your app gets.
`

const FLAGS = {
  team: { type: 'string', multiple: true },
  audience: { type: 'string', multiple: true },
  token: { type: 'string' },
  url: { type: 'string' },
  origin: { type: 'string' },
  'clock-tolerance': { type: 'string', default: '30s' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' }
} as const

/** Where a token is read from. */
export type Input = AsyncIterable<string | Uint8Array>

/** A parsed command line. */
export type Command = 'help' | { readonly options: DoctorOptions, readonly isJson: boolean }

/**
 * @param args what follows the name of the command
 * @param input is called only with `--token -`
 * @throws {OptionsInvalidError} for a malformed command line. No message quotes a token.
 */
export async function readArguments (args: readonly string[], input: () => Input): Promise<Command> {
  const { values, positionals } = parseFlags([...args], FLAGS)
  if (values.help === true) return 'help'
  if (positionals.length > 0) throw new OptionsInvalidError('The doctor takes flags only. See --help.')
  const url = values.url === undefined ? null : readUrl(values.url, '--url')
  const origin = values.origin === undefined ? null : readOrigin(values.origin, url)
  const settings = { team: values.team, audience: values.audience, clockTolerance: values['clock-tolerance'] }
  const token = values.token === undefined ? null : await readToken(values.token, input)
  return { options: { settings, token, url, origin }, isJson: values.json === true }
}

function readUrl (value: string, flag: string): URL {
  const url = /^https?:\/\//i.test(value) && URL.canParse(value) ? new URL(value) : null
  if (url !== null && url.username === '' && url.password === '') return url
  throw new OptionsInvalidError(`Option "${flag}" takes an http or https URL without credentials.`)
}

function readOrigin (value: string, url: URL | null): URL {
  const origin = readUrl(value, '--origin')
  if (url === null) throw new OptionsInvalidError('Option "--origin" needs "--url" too, which says what to ask for.')
  if (origin.href === `${origin.origin}/`) return origin
  throw new OptionsInvalidError('Option "--origin" takes a URL without a path, such as http://10.0.0.5:3000.')
}

async function readToken (value: string, input: () => Input): Promise<string> {
  if (value !== '-') {
    throw new OptionsInvalidError('Option "--token" takes only "-", and reads the token from standard input: ' +
      'a token on the command line ends up in the history of the shell and in the list of processes.')
  }
  const token = (await text(input())).trim()
  if (token === '') throw new OptionsInvalidError('Standard input has no token.')
  return token
}
