/** The options of the edge emulator, and the settings they become once checked. */
import { OptionsInvalidError } from '../errors.js'
import type { Outage } from '../testing/endpoints.js'
import { faults } from '../testing/faults.js'
import type { CfAccessDuration } from '../util/duration.js'
import { throwInvalidOption } from '../util/option-errors.js'
import {
  boolean, duration, group, integer, list, optional, readOptions, text, withDefault, type Reader
} from '../util/option-readers.js'
import { readApplications, type AccessApplication, type Applications } from './applications.js'
import type { SameSite } from './cookie.js'
import { readUpstream } from './upstream.js'
import { readUsers, type AccessUser, type Users } from './users.js'

/** The credentials of a machine. */
export interface AccessServiceToken {
  /** Ends in `.access`. */
  readonly clientId: string
  /** What `Cf-Access-Client-Secret` must be. */
  readonly clientSecret: string
}

/** The options of the edge emulator. */
export interface AccessEdgeOptions {
  /** Your app: `http://127.0.0.1:3000`. */
  readonly to: string
  /** The port to listen on, on the loopback addresses 127.0.0.1 and ::1; 0 for any free port. Default 4000. */
  readonly port?: number
  /** Users to sign in as with one click; any other address can be typed. Default: Alice, an admin, and Bob. */
  readonly users?: readonly AccessUser[]
  /** Default: none. */
  readonly serviceTokens?: readonly AccessServiceToken[]
  /**
   * Access applications. Of those with the request's hostname the longest matching path decides; a path in none is
   * public. Default: one, at `/` of `127.0.0.1`.
   */
  readonly applications?: readonly AccessApplication[]
  /** How long a session lasts; `'1s'` to `'30d'`. Default `'24h'`. */
  readonly session?: CfAccessDuration
  /** How often the keys are rotated; `'1s'` to `'24d'`. Default: never. */
  readonly rotate?: CfAccessDuration
  /** Makes the endpoints fail from the start. Default: they do not. */
  readonly outage?: Outage
  /**
   * A file for the keys, so that sessions outlive a restart. It is created if it does not exist. Default: new keys at
   * each start.
   */
  readonly keys?: string
  /** `SameSite` of the cookies. `'none'`, Access's default, makes them `Secure` as well. Default `'lax'`. */
  readonly sameSite?: 'lax' | 'none'
  /** `true`: clients other than browsers get 401 without a session, instead of the redirect. Default `false`. */
  readonly lenient?: boolean
  /** `true`: such clients get 401 and the challenge of Managed OAuth. Not together with `lenient`. Default `false`. */
  readonly managedOauth?: boolean
  /** Gets a line for each unusual request: a login, a rejection, an application that does not answer. Default: none. */
  readonly log?: (line: string) => void
  /** `true`: a line for every request. Default `false`. */
  readonly verbose?: boolean
}

export interface EdgeSettings {
  readonly to: string
  readonly port: number
  readonly users: Users
  /** Secrets by client ID. */
  readonly services: ReadonlyMap<string, string>
  readonly applications: Applications
  /** Milliseconds. */
  readonly session: number
  /** Milliseconds; `null` for never. */
  readonly rotate: number | null
  readonly outage: Outage | null
  /** `null`: not kept. */
  readonly keys: string | null
  readonly sameSite: SameSite
  readonly lenient: boolean
  readonly managedOauth: boolean
  readonly log: ((line: string) => void) | null
  readonly verbose: boolean
}

export const DEFAULT_SESSION = '24h'

const DEFAULT_USERS: readonly AccessUser[] = [
  { email: 'alice@example.com', name: 'Alice', groups: ['admins', 'staff'] },
  { email: 'bob@example.com', name: 'Bob', groups: ['staff'] }
]

// What a header can carry as it is; a comma would look like two of them.
const CLIENT_ID = /^[\x21-\x2b\x2d-\x7e]+\.access$/
const CLIENT_SECRET = /^[\x21-\x2b\x2d-\x7e]+$/

const readOutage: Reader<Outage> = (value, path) =>
  typeof value === 'function' || (typeof value === 'string' && Object.hasOwn(faults, value))
    ? value as Outage
    : throwInvalidOption(path, value, `one of ${Object.keys(faults).join(', ')}`)

const readSameSite: Reader<SameSite> = (value, path) =>
  value === 'lax' || value === 'none' ? value : throwInvalidOption(path, value, '"lax" or "none"')

const readLog: Reader<(line: string) => void> = (value, path) =>
  typeof value === 'function' ? value as (line: string) => void : throwInvalidOption(path, value, 'a function')

const readServiceToken = group({
  clientId: text(CLIENT_ID, 'a client ID, which ends in ".access"'),
  clientSecret: text(CLIENT_SECRET, 'text without blanks and commas')
})

const READERS = {
  to: readUpstream,
  port: withDefault(integer({ min: 0, max: 65_535 }), 4000),
  users: withDefault(readUsers, DEFAULT_USERS),
  serviceTokens: withDefault(list(readServiceToken, 'a list of { clientId, clientSecret }'), []),
  applications: withDefault(readApplications, [{ path: '/' }]),
  session: withDefault(duration({ min: '1s', max: '30d' }), DEFAULT_SESSION),
  rotate: optional(duration({ min: '1s' })),
  outage: optional(readOutage),
  keys: optional(text(/./s, 'the name of a file')),
  sameSite: withDefault(readSameSite, 'lax'),
  lenient: withDefault(boolean, false),
  managedOauth: withDefault(boolean, false),
  log: optional(readLog),
  verbose: withDefault(boolean, false)
}

/**
 * Checks the options and completes them.
 * @throws {OptionsInvalidError} with a sentence that names the option, what it is and what it takes.
 */
export function checkEdgeOptions (options: object): EdgeSettings {
  if (process.env['NODE_ENV'] === 'production') {
    throw new OptionsInvalidError(
      'The emulator of Cloudflare Access is for development; it does not start with NODE_ENV=production.')
  }
  const { serviceTokens, ...settings } = readOptions(options, READERS)
  const own = [settings.to, ...settings.applications.list.map(({ to }) => to)].find(to => isOwn(to, settings.port))
  if (own !== undefined) {
    throw new OptionsInvalidError(
      `Option "to" is ${own}, where the emulator itself is to listen; give it another "port".`)
  }
  if (settings.lenient && settings.managedOauth) {
    throw new OptionsInvalidError('Options "lenient" and "managedOauth" both say what clients without a session get; ' +
      'leave one out.')
  }
  return {
    ...settings,
    services: new Map(serviceTokens.map(({ clientId, clientSecret }) => [clientId, clientSecret]))
  }
}

function isOwn (to: string | null, port: number): boolean {
  if (to === null) return false
  const { hostname, port: own } = new URL(to)
  return own === String(port) && /^(?:(?:.+\.)?localhost|127\.0\.0\.1|\[::1\])$/.test(hostname)
}
