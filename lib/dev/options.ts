/** What the emulator for the edge is given, and the settings it becomes once checked. */
import { OptionsInvalidError } from '../errors.js'
import type { Outage } from '../testing/endpoints.js'
import { faults } from '../testing/faults.js'
import { DURATION_TAKES, readDuration } from '../util/duration.js'
import { readMembers, readNumber, throwInvalidOption, rejectUnknownNames } from '../util/option-readers.js'
import { readApplications, type AccessApplication, type Applications } from './applications.js'
import { readUsers, type AccessUser, type Users } from './users.js'

/** A credential of a machine's. */
export interface AccessServiceToken {
  /** Ends in `.access`. */
  readonly clientId: string
  /** What `Cf-Access-Client-Secret` must be. */
  readonly clientSecret: string
}

/** What the emulator is to do. */
export interface AccessEdgeOptions {
  /** The application to stand in front of: `http://127.0.0.1:3000`. */
  readonly to: string
  /** Where to listen on 127.0.0.1; 0 for wherever there is room. Default 4000. */
  readonly port?: number
  /** Who one can be at a click; any other address can be typed. Default: Alice, an admin, and Bob. */
  readonly users?: readonly AccessUser[]
  /** Default: none. */
  readonly serviceTokens?: readonly AccessServiceToken[]
  /** By path, the longest decides; what is in none is public. Default: one, at `/`. */
  readonly applications?: readonly AccessApplication[]
  /** How long a session lasts: seconds, or text such as `5m`. Default `24h`. */
  readonly session?: number | string
  /** New keys every so many seconds. Default: never. */
  readonly rotate?: number
  /** Makes the endpoints fail from the start. Default: they do not. */
  readonly outage?: Outage
  /** A file to keep the keys in, so that sessions outlive a restart. It is made when it is not there. Default: new keys at each start. */
  readonly keys?: string
}

export interface EdgeSettings {
  readonly to: string
  readonly port: number
  readonly users: Users
  /** Secrets by client ID. */
  readonly services: ReadonlyMap<string, string>
  readonly applications: Applications
  /** Seconds. */
  readonly session: number
  /** Seconds; 0 for never. */
  readonly rotate: number
  readonly outage: Outage | null
  /** `null`: kept nowhere. */
  readonly keys: string | null
}

const NAMES = ['to', 'port', 'users', 'serviceTokens', 'applications', 'session', 'rotate', 'outage', 'keys']

const ORIGIN = /^https?:\/\/[^/?#@\\\s]+\/?$/i

const DEFAULTS = {
  port: 4000,
  users: [
    { email: 'alice@example.com', name: 'Alice', groups: ['admins', 'staff'] },
    { email: 'bob@example.com', name: 'Bob', groups: ['staff'] }
  ],
  serviceTokens: [],
  applications: [{ path: '/' }],
  session: '24h'
}

/**
 * Checks the options and completes them.
 * @throws {OptionsInvalidError} with a sentence that names the option, what it is and what it takes.
 */
export function checkEdgeOptions (options: object): EdgeSettings {
  if (process.env['NODE_ENV'] === 'production') {
    throw new OptionsInvalidError('This stands in for Cloudflare Access in development; it does not start with NODE_ENV=production.')
  }
  rejectUnknownNames(Object.keys(options), NAMES, '')
  const given = new Map<string, unknown>(Object.entries({ ...DEFAULTS, ...options }))
  const to = readTarget(given.get('to'))
  const port = readPort(given.get('port'))
  if (isOwn(to, port)) throw new OptionsInvalidError(`Option "to" is ${to}, where the emulator itself is to listen; give it another "port".`)
  return {
    to,
    port,
    users: readUsers(given.get('users')),
    services: readServiceTokens(given.get('serviceTokens')),
    applications: readApplications(given.get('applications')),
    session: readDuration(given.get('session')) ?? throwInvalidOption('session', given.get('session'), DURATION_TAKES),
    rotate: readNumber(given, 'rotate', 0, 1, 86_400, 'seconds'),
    outage: given.has('outage') ? readOutage(given.get('outage')) : null,
    keys: given.has('keys') ? readFileName(given.get('keys')) : null
  }
}

function readTarget (value: unknown): string {
  return typeof value === 'string' && ORIGIN.test(value) && URL.canParse(value)
    ? new URL(value).origin
    : throwInvalidOption('to', value, 'the address of your application without a path, such as "http://127.0.0.1:3000"')
}

function isOwn (to: string, port: number): boolean {
  const { hostname, port: own } = new URL(to)
  return own === String(port) && /^(?:localhost|127\.0\.0\.1)$/.test(hostname)
}

function readPort (value: unknown): number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65_535
    ? value as number
    : throwInvalidOption('port', value, 'a port, or 0 for wherever there is room')
}

function readServiceTokens (value: unknown): Map<string, string> {
  if (!Array.isArray(value)) return throwInvalidOption('serviceTokens', value, 'a list of { clientId, clientSecret }')
  return new Map(value.map((token, i) => {
    const name = `serviceTokens[${i}]`
    const given = readMembers(token, name, ['clientId', 'clientSecret'], 'a service token { clientId, clientSecret }')
    const [clientId, clientSecret] = [given.get('clientId'), given.get('clientSecret')]
    return [
      isWord(clientId) && clientId.endsWith('.access') ? clientId : throwInvalidOption(`${name}.clientId`, clientId, 'a client ID, which ends in ".access"'),
      isWord(clientSecret) ? clientSecret : throwInvalidOption(`${name}.clientSecret`, clientSecret, 'text without blanks and commas')
    ]
  }))
}

/** What a header can carry as it is; a comma would look like two of them. */
function isWord (value: unknown): value is string {
  return typeof value === 'string' && /^[\x21-\x2b\x2d-\x7e]+$/.test(value)
}

function readOutage (value: unknown): Outage {
  return typeof value === 'function' || (typeof value === 'string' && Object.hasOwn(faults, value))
    ? value as Outage
    : throwInvalidOption('outage', value, `one of ${Object.keys(faults).join(', ')}`)
}

function readFileName (value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : throwInvalidOption('keys', value, 'the name of a file')
}
